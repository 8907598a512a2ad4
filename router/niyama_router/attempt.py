"""One stay of a request on one replica: its stream is read, and what the client should see is passed on.

The inner loop runs once for each message of every stream, so it does as little as can be: one look at the kind, one
comparison of positions, and the very object that was read is written. Whatever needs a decision ends the loop, as a
value, and the dispatcher decides.
"""

import asyncio
from dataclasses import dataclass
from typing import Protocol

import grpc
from niyama.v1 import generation_pb2
from niyama_runtime.cancellation import is_task_cancelled
from niyama_runtime.status import Failure, failure_of

from niyama_router.errors import Reason
from niyama_router.journey import Journey
from niyama_router.placing import Berth
from niyama_router.replica_client import GenerateCall

__all__ = ["Attempt", "Completed", "Ending", "HandedBack", "Lost", "Relegated", "Sink"]


_FINISH_SECONDS = 1.0


class Sink(Protocol):
    """Where a client's messages go. The context of a gRPC call is one."""

    async def write(self, message: generation_pb2.GenerateResponse, /) -> None:
        """Send one message; returns when the transport takes the next one."""
        ...


@dataclass(frozen=True, slots=True)
class Completed:
    """The answer is whole; `message` closes it and has not been passed on."""

    message: generation_pb2.GenerateResponse


@dataclass(frozen=True, slots=True)
class Relegated:
    """The promise cannot be kept here; `message` says so and has not been passed on. The stream goes on."""

    message: generation_pb2.GenerateResponse


@dataclass(frozen=True, slots=True)
class HandedBack:
    """The replica gave the request back untouched."""

    reason: generation_pb2.HandBackReason


@dataclass(frozen=True, slots=True)
class Lost:
    """The stream broke.

    Attributes:
        failure: what gRPC, or the replica, says.
        was_accepted: whether it had begun.
        got_on: whether tokens came from it.
    """

    failure: Failure
    was_accepted: bool
    got_on: bool = False


Ending = Completed | Relegated | HandedBack | Lost


class Attempt:
    """One stream.

    Attributes:
        berth: where it is.
    """

    def __init__(self, call: GenerateCall, *, berth: Berth, journey: Journey) -> None:
        """Relay `call`, which has been opened at `berth` for `journey`."""
        self.berth = berth
        self._call = call
        self._journey = journey
        self._is_given_up = False
        self._first_position = journey.num_delivered
        self._was_accepted = False
        berth.booking.on_given_up = self._give_up

    async def relay(self, sink: Sink) -> Ending:
        """Pass messages on to `sink` until something is to be decided, and return what.

        May be called again after `Relegated`, which ends no stream.
        """
        try:
            return await self._relay(sink)
        except grpc.aio.AioRpcError as error:
            return self._lost(failure_of(error))
        except asyncio.CancelledError:
            if not self._is_given_up or is_task_cancelled():
                raise
            # Without a reason, like a connection that broke: it is not the replica that says so.
            failure = Failure(code=grpc.StatusCode.UNAVAILABLE, message="the replica gave no sign of life")
            return self._lost(failure)

    def finish(self) -> None:
        """Let the stream end by itself after its last message, so that the replica sees no cancellation.

        Nobody waits for that: the client has its answer.
        """
        asyncio.get_running_loop().call_later(_FINISH_SECONDS, self._call.cancel)
        self.berth.booking.close()

    def abandon(self) -> None:
        """Cancel the stream; what the replica still sends is dropped."""
        self._call.cancel()
        self.berth.booking.close()

    def _give_up(self) -> None:
        """End a stream of which nothing more is to be expected: its replica hangs."""
        self._is_given_up = True
        self._call.cancel()

    async def _relay(self, sink: Sink) -> Ending:
        read, write, journey, given = self._call.read, sink.write, self._journey, self._journey.given
        while True:
            message = await read()
            if not isinstance(message, generation_pb2.GenerateResponse):  # grpc.aio.EOF
                return self._breach("ended its stream without a completion")
            if message.WhichOneof("event") != "tokens":
                ending = await self._other(message, sink)
                if ending is not None:
                    return ending
                continue
            tokens = message.tokens
            position = len(given)
            if tokens.position != position or not journey.is_accepted:
                return self._breach(f"sent token {tokens.position} where {position} is next")
            if len(tokens.emitted_us) != len(tokens.token_ids):
                return self._breach(f"sent {len(tokens.token_ids)} tokens with {len(tokens.emitted_us)} times")
            if position == self._first_position:
                self.berth.booking.settle()
            given.take(tokens)
            await write(message)

    async def _other(self, message: generation_pb2.GenerateResponse, sink: Sink) -> Ending | None:
        """Deal with a message that holds no tokens; return what is to be decided, if anything."""
        match message.WhichOneof("event"):
            case "accepted":
                await self._accept(message, sink)
            case "progress":
                await sink.write(message)
            case "relegated":
                return Relegated(message)
            case "handed_back":
                return HandedBack(message.handed_back.reason)
            case "completion":
                return Completed(message)
            case _:
                # An event that a newer replica knows and we do not.
                pass
        return None

    async def _accept(self, message: generation_pb2.GenerateResponse, sink: Sink) -> None:
        """Tell the client once, however often the request moves."""
        self._was_accepted = True
        if not self._journey.is_accepted:
            self._journey.is_accepted = True
            message.accepted.request_id = self._journey.request_id
            message.accepted.resume_token = self._journey.admitted.resume_token
            await sink.write(message)

    def _breach(self, what: str) -> Lost:
        failure = Failure(
            code=grpc.StatusCode.INTERNAL, message=f"the replica {what}", reason=Reason.PROTOCOL_BREACH.value
        )
        return self._lost(failure)

    def _lost(self, failure: Failure) -> Lost:
        return Lost(failure, self._was_accepted, got_on=self._journey.num_delivered > self._first_position)
