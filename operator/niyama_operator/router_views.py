"""Asks routers how their cluster fares, and keeps what they said last."""

import asyncio
from collections.abc import Mapping, Sequence

import grpc
from niyama.v1 import inference_pb2, inference_pb2_grpc
from niyama_runtime.clock import Clock
from niyama_runtime.grpc_channel import open_channel

from niyama_operator.attainment_window import AttainmentWindow, Counts
from niyama_operator.manifests.blueprint import GRPC_PORT, Role
from niyama_operator.observation import Observation, RouterView
from niyama_operator.work_queue import Key

__all__ = ["RouterViews"]

_TIMEOUT_SECONDS = 2.0
_SILENCE_SECONDS = 15.0
_NOBODY = RouterView()


class RouterViews:
    """What routers said last, by cluster."""

    def __init__(self, clock: Clock) -> None:
        """Begin without having asked anybody."""
        self._clock = clock
        self._addresses: dict[Key, Sequence[str]] = {}
        self._windows: dict[Key, AttainmentWindow] = {}
        self._views: dict[Key, RouterView] = {}
        self._silent_since: dict[Key, float] = {}

    def latest(self, key: Key) -> RouterView | None:
        """Return what routers said last; None when nobody has answered yet, or has had the time to."""
        return self._views.get(key)

    def keys(self) -> list[Key]:
        """Return the clusters whose routers are known."""
        return list(self._addresses)

    def learn(self, key: Key, observation: Observation) -> None:
        """Note where a cluster's routers are."""
        ready = [pod.address for pod in observation.of_role(Role.ROUTER) if pod.ready and pod.address]
        self._addresses[key] = [f"{_bracketed(address)}:{GRPC_PORT}" for address in ready]

    def forget(self, key: Key) -> None:
        """Forget a cluster that is gone."""
        for known in (self._addresses, self._windows, self._views, self._silent_since):
            known.pop(key, None)

    async def refresh(self, key: Key) -> bool:
        """Ask a cluster's routers; return whether they say anything else than before."""
        answers = await asyncio.gather(*(_ask(address) for address in self._addresses.get(key, ())))
        heard = [answer for answer in answers if answer is not None]
        now = self._clock.now()
        if not heard:
            return self._note_silence(key, now)
        self._silent_since.pop(key, None)
        window = self._windows.setdefault(key, AttainmentWindow())
        for answer in heard:
            window.see(answer.router, {item.qos_class: _counts(item) for item in answer.classes}, now=now)
        before, names = self._views.get(key), [item.qos_class for item in heard[0].classes]
        disconnected = inference_pb2.LOAD_BOARD_STATE_DISCONNECTED
        self._views[key] = view = RouterView(
            classes=tuple(window.figures(names, now=now)),
            num_live=_num_live(heard),
            num_asked=len(heard),
            num_without_board=sum(answer.load_board == disconnected for answer in heard),
        )
        return before is None or _told(before) != _told(view)

    def _note_silence(self, key: Key, now: float) -> bool:
        """Say that nobody answers, once it has been so for a while: one question in vain says little."""
        since = self._silent_since.setdefault(key, now)
        if now - since < _SILENCE_SECONDS or self._views.get(key) == _NOBODY:
            return False
        self._views[key] = _NOBODY
        return True


def _told(view: RouterView) -> object:
    """Return what of a view the status tells."""
    return view.classes, view.num_without_board, view.num_asked > 0


def _counts(item: inference_pb2.ClassAttainment) -> Counts:
    return Counts(item.num_completed + item.num_failed + item.num_rejected, item.num_on_time)


def _num_live(answers: Sequence[inference_pb2.ClusterStatusResponse]) -> Mapping[str, int]:
    """Return each replica's open requests, all routers together."""
    num_live: dict[str, int] = {}
    for answer in answers:
        for replica in answer.replicas:
            num_live[replica.load.replica] = num_live.get(replica.load.replica, 0) + replica.num_open
    return num_live


async def _ask(address: str) -> inference_pb2.ClusterStatusResponse | None:
    async with open_channel(address) as channel:
        stub = inference_pb2_grpc.InferenceStub(channel)
        try:
            request = inference_pb2.ClusterStatusRequest()
            answer: inference_pb2.ClusterStatusResponse = await stub.ClusterStatus(request, timeout=_TIMEOUT_SECONDS)
        except grpc.aio.AioRpcError:
            return None
        return answer


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
