"""What the router says of itself and its cluster: `ClusterStatus`, `Describe`, and the facts that admission needs."""

from importlib import metadata

import grpc
from niyama.v1 import describe_pb2, inference_pb2
from niyama_runtime import wire

from niyama_router.admission import ModelFacts
from niyama_router.attainment import Attainment
from niyama_router.directory import Directory
from niyama_router.load_store import BoardSource
from niyama_router.replica_client import ReplicaClients
from niyama_router.rules import LiveRules
from niyama_router.settings import RouterSettings

__all__ = ["ClusterView", "model_facts"]

_VERSION = metadata.version("niyama")
_DESCRIBE_SECONDS = 1.0
_USUAL_BYTES_PER_TOKEN = 4.0


def model_facts(directory: Directory) -> ModelFacts:
    """Return what the replicas report of their model: of a mix the longest context, the mean ratio."""
    loads = [known.load for known in directory.replicas()]
    ratios = [load.bytes_per_token for load in loads if load.bytes_per_token > 0]
    return ModelFacts(
        bytes_per_token=sum(ratios) / len(ratios) if ratios else _USUAL_BYTES_PER_TOKEN,
        context_tokens=max((load.context_tokens for load in loads), default=0),
    )


class ClusterView:
    """The cluster as this router sees it."""

    def __init__(
        self,
        settings: RouterSettings,
        live: LiveRules,
        *,
        directory: Directory,
        clients: ReplicaClients,
        attainment: Attainment,
        board: BoardSource | None,
    ) -> None:
        """Look at these parts."""
        self._settings = settings
        self._live = live
        self._directory = directory
        self._clients = clients
        self._attainment = attainment
        self._board = board

    @property
    def board_up(self) -> bool | None:
        """Whether Redis answers; None without a load board."""
        return None if self._board is None else self._board.is_connected

    def status(self, now: float) -> inference_pb2.ClusterStatusResponse:
        """Return how classes and replicas fare."""
        rules = self._live.rules
        return inference_pb2.ClusterStatusResponse(
            cluster=self._settings.cluster,
            router=self._settings.router,
            placement=rules.placement,
            policy=rules.policy,
            load_board=self._board_state(),
            classes=self._attainment.by_class(rules.classes),
            replicas=self._replicas(now),
        )

    async def describe(self, now: float) -> describe_pb2.DescribeResponse:
        """Return what the cluster serves: what any replica says of its engine, under the rules of this router."""
        answer = await self._ask_a_replica(now)
        rules, facts = self._live.rules, model_facts(self._directory)
        answer.version = _VERSION
        answer.model = rules.model
        answer.policy = rules.policy
        answer.bytes_per_token = facts.bytes_per_token
        answer.context_tokens = rules.context_tokens or facts.context_tokens
        answer.max_output_tokens = rules.max_output_tokens
        answer.replay = rules.replay
        return answer

    def _board_state(self) -> inference_pb2.LoadBoardState:
        match self.board_up:
            case None:
                return inference_pb2.LOAD_BOARD_STATE_UNSPECIFIED
            case True:
                return inference_pb2.LOAD_BOARD_STATE_CONNECTED
            case False:
                return inference_pb2.LOAD_BOARD_STATE_DISCONNECTED

    def _replicas(self, now: float) -> list[inference_pb2.ReplicaStatus]:
        placeable = self._directory.placeable(now)
        return [
            inference_pb2.ReplicaStatus(
                load=wire.load_to_wire(known.load),
                load_age=wire.duration_to_wire(max(0.0, now - known.load_since)),
                placeable=known.load.replica in placeable,
                num_open=known.num_open,
            )
            for known in self._directory.replicas()
        ]

    async def _ask_a_replica(self, now: float) -> describe_pb2.DescribeResponse:
        for candidate in self._directory.candidates(now):
            try:
                return await self._clients.at(candidate.load.address).describe(within=_DESCRIBE_SECONDS)
            except grpc.aio.AioRpcError:
                continue
        return describe_pb2.DescribeResponse()
