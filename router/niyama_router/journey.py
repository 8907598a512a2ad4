"""One request's way through the cluster: what has become of it so far.

A record that changes, by named transitions only. It outlives each stay at a replica, and so it is what keeps the
rules that span them: one `Accepted`, no token twice, a bounded number of moves, never back to who gave it back.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from niyama.v1 import generation_pb2, replica_pb2
from niyama_core.placement import Forecast, PlacementRequest
from niyama_core.slo import OnOverload
from niyama_runtime import wire
from niyama_runtime.status import Failure

from niyama_router.admission import Admitted
from niyama_router.given_answer import GivenAnswer

__all__ = ["Journey"]

# Of an id of at most 128 characters, so that there is room for what tells two of one request apart.
_MOST_OF_ID = 116


@dataclass(slots=True, eq=False)
class Journey:
    """How far a request has come.

    Attributes:
        admitted: what came in.
        deadline: instant at which the caller gives up; None when it never does.
        replica: where it is, or was last.
        is_accepted: whether the client has been told so.
        is_relegated: whether the client has been told so.
        given: the tokens that the client has.
        num_moves: how often it went on elsewhere.
        num_rescues: how many of those were for the sake of its promise.
        num_losses: how many of those, since a token last came, were because a replica failed after it had accepted.
        num_resumed: how many moves were behind tokens that the client had already.
        refusal: what a replica said that had no room; it is the answer when nobody else has any.
        forecast: the times that were expected when it was first placed; None before, and of a resumed one.
    """

    admitted: Admitted
    deadline: float | None = None
    replica: str = ""
    is_accepted: bool = False
    is_relegated: bool = False
    given: GivenAnswer = field(default_factory=GivenAnswer)
    num_moves: int = 0
    num_rescues: int = 0
    num_losses: int = 0
    num_resumed: int = 0
    refusal: Failure | None = None
    forecast: Forecast | None = None
    _shunned: dict[str, int] = field(default_factory=dict)
    _relegated_at: set[str] = field(default_factory=set)
    _alias: str = ""

    @property
    def request_id(self) -> str:
        """The request's id."""
        return self.admitted.request.request_id

    @property
    def num_delivered(self) -> int:
        """Tokens that the client has."""
        return len(self.given)

    @property
    def is_resumable(self) -> bool:
        """Whether another replica can go on behind the tokens that the client has."""
        return self.admitted.is_resumable

    def elapsed(self, now: float) -> float:
        """Return the seconds since the arrival."""
        return now - self.admitted.arrival

    def seconds_left(self, now: float) -> float | None:
        """Return the seconds until the caller gives up; None when it never does."""
        return None if self.deadline is None else max(0.0, self.deadline - now)

    def shun(self, replica: str, incarnation: int) -> None:
        """Never go back to this start of a replica: it failed, or gave the request back."""
        self._shunned[replica] = incarnation

    def relegate(self) -> None:
        """Note that its promise cannot be kept where it is."""
        self._relegated_at.add(self.replica)

    def lose(self, *, was_accepted: bool, got_on: bool) -> None:
        """Note that its replica failed; an answer that got on there is not what made it fail."""
        self.num_losses = (0 if got_on else self.num_losses) + was_accepted
        self.num_resumed += self.num_delivered > 0

    def rename(self) -> None:
        """Go by another id from here on: a replica still has the request under this one.

        It has left that replica, or its client lost the router that had placed it there, and has sent it again.
        """
        self._alias = f"{self.request_id[:_MOST_OF_ID]}~{secrets.token_hex(4)}"

    def placement_request(self, now: float, incarnation: Callable[[str], int | None]) -> PlacementRequest:
        """Return what placement is asked; `incarnation` says which start of a replica is the present one."""
        admitted = self.admitted
        promise = admitted.promise
        # Refusing is for the door: what was taken on is served, late if need be.
        if self.is_accepted:
            promise = replace(promise, on_overload=OnOverload.RELEGATE)
        return PlacementRequest(
            promise,
            num_prompt_tokens=admitted.num_prompt_tokens + self.num_delivered,
            expected_output_tokens=admitted.expected_output_tokens,
            elapsed=self.elapsed(now),
            excluded=frozenset(name for name, start in self._shunned.items() if incarnation(name) == start),
        )

    def rescue_request(self, now: float, incarnation: Callable[[str], int | None]) -> PlacementRequest:
        """Return what placement is asked when it is to be on time elsewhere."""
        request = self.placement_request(now, incarnation)
        return replace(request, excluded=request.excluded | self._relegated_at)

    def to_replica(self, now: float) -> replica_pb2.ReplicaGenerateRequest:
        """Return the request as a replica gets it: durations, no instants."""
        return replica_pb2.ReplicaGenerateRequest(
            request=self._request_to_replica(),
            promise=wire.promise_to_wire(self.admitted.promise),
            elapsed=wire.duration_to_wire(self.elapsed(now)),
            num_moves=self.num_moves,
            emitted_token_ids=self.given.token_ids,
        )

    def _request_to_replica(self) -> generation_pb2.GenerateRequest:
        """Return the request; one that was begun at another router under another id.

        The replica on which it was may not have noticed yet that nobody reads there any more.
        """
        request, given = self.admitted.request, self.admitted.given_token_ids
        alias = self._alias or (f"{request.request_id[:_MOST_OF_ID]}~{len(given)}" if given else "")
        if not alias:
            return request
        renamed = generation_pb2.GenerateRequest()
        renamed.CopyFrom(request)
        renamed.request_id = alias
        return renamed
