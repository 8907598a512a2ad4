"""What one stream of a load generator has said, and the outcome that it amounts to."""

from array import array
from collections.abc import Mapping
from dataclasses import replace

import grpc
from niyama.v1 import generation_pb2
from niyama_core.slo import Promise
from niyama_eval.outcomes import OutcomeState, Relegation, RequestOutcome
from niyama_eval.workloads import WorkloadRequest
from niyama_runtime.status import failure_of
from niyama_runtime.wire import WireError, promise_from_wire

__all__ = ["StreamRecord"]

_RELEGATIONS: Mapping[int, Relegation] = {
    generation_pb2.RELEGATION_BEFORE_FIRST_TOKEN: Relegation.BEFORE_FIRST_TOKEN,
    generation_pb2.RELEGATION_AFTER_FIRST_TOKEN: Relegation.AFTER_FIRST_TOKEN,
}


class StreamRecord:
    """What one stream has said so far."""

    __slots__ = ("_accepted", "_completion", "_emitted_us", "_relegation", "_request", "_state", "reason")

    def __init__(self, request: WorkloadRequest) -> None:
        self._request = request
        self._emitted_us = array("Q")
        self._accepted: generation_pb2.Accepted | None = None
        self._completion: generation_pb2.Completion | None = None
        self._relegation = Relegation.NONE
        self._state = OutcomeState.FAILED
        self.reason = ""

    def take(self, response: generation_pb2.GenerateResponse) -> None:
        """Take in one message."""
        kind = response.WhichOneof("event")
        if kind == "tokens":
            self._take_tokens(response.tokens)
        elif kind == "accepted":
            self._accepted = response.accepted
        elif kind == "completion":
            self._completion = response.completion
        elif kind == "relegated":
            before = response.relegated.before_first_token
            self._relegation = Relegation.BEFORE_FIRST_TOKEN if before else Relegation.AFTER_FIRST_TOKEN

    def end(self) -> None:
        """Take in that the stream ended without an error."""
        if self._completion is None:
            return self.give_up()
        if not self.reason:
            self._state = OutcomeState.COMPLETED
        return None

    def give_up(self) -> None:
        """Take in that no more will come, and nobody has said why."""
        self._state = OutcomeState.FAILED if self._accepted is None else OutcomeState.LOST
        self.reason = "NO_ANSWER" if self._accepted is None else "NO_END"

    def fail(self, error: grpc.aio.AioRpcError) -> None:
        """Take in an error."""
        failure = failure_of(error)
        refused = failure.code is grpc.StatusCode.RESOURCE_EXHAUSTED and self._accepted is None
        self._state = OutcomeState.REJECTED if refused else OutcomeState.FAILED
        self.reason = failure.reason or failure.code.name

    def outcome(self) -> RequestOutcome:
        """Return what came of the request, judged by what the router promised."""
        done = self._completion
        request = replace(self._request, promise=self._promise())
        return RequestOutcome.of(
            request,
            self._state,
            emitted=array("d", [time / 1e6 for time in self._emitted_us]),
            relegation=self._relegation if done is None else _RELEGATIONS.get(done.relegation, Relegation.NONE),
            num_moves=0 if done is None else done.num_moves,
            replica=self._replica(),
        )

    def _take_tokens(self, tokens: generation_pb2.Tokens) -> None:
        if tokens.position != len(self._emitted_us) or len(tokens.emitted_us) != len(tokens.token_ids):
            self.reason = "BROKEN_CONTRACT"
        self._emitted_us.extend(tokens.emitted_us)

    def _promise(self) -> Promise:
        if self._accepted is None:
            return self._request.promise
        try:
            return promise_from_wire(self._accepted.promise)
        except WireError:
            return self._request.promise

    def _replica(self) -> str:
        said = self._completion or self._accepted
        return said.replica if said is not None else ""
