"""From the replica itself: a router says which one, and is asked again when the request leaves it.

    ask for a place -> stream -> completed                       the rule
                              -> relegated before its first token   another that can be on time, else it stays
                              -> handed back                        another
                              -> lost                               another, behind the tokens that are there

The router does no work for a token, and may be away while they come. What it does for routed requests is done here: one
`Accepted`, no token twice, the moves counted, and the answer judged as a whole when several replicas gave it.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import grpc
from niyama.v1 import generation_pb2, inference_pb2, replica_pb2
from niyama_runtime import replica_failures, verdict
from niyama_runtime.status import Failure, failure_of
from niyama_runtime.wire import duration_to_wire

from niyama_client.errors import error_of
from niyama_client.places import Places
from niyama_client.replica_channels import ReplicaChannels, UnreachableError
from niyama_client.retries import Patience
from niyama_client.routes import Cancellable, RouteFailedError
from niyama_client.transcript import Transcript

__all__ = ["DirectRoute", "ReplicaUnreachableError"]

# A request that replicas fail on, one after the other and without a token between, may be what makes them fail.
_MAX_LOSSES = 3
_MAX_RESCUES = 2

_BREACH = Failure(
    code=grpc.StatusCode.INTERNAL,
    message="the replica ended its stream without a completion",
    reason="PROTOCOL_BREACH",
)


class ReplicaUnreachableError(RouteFailedError):
    """A replica was named that cannot be reached from here."""


class _LeftError(Exception):
    """The request has left its replica; for `place`, when it is known already where it goes."""

    def __init__(self, place: inference_pb2.PlaceResponse | None = None) -> None:
        super().__init__()
        self.place = place


class DirectRoute:
    """One request on its way from replica to replica.

    Attributes:
        places: where routers say that it should be.
        num_moves: how often it went on elsewhere.
    """

    def __init__(
        self,
        request: generation_pb2.GenerateRequest,
        places: Places,
        *,
        channels: ReplicaChannels,
        patience: Patience,
    ) -> None:
        """Follow `request` to where `places` says, over `channels`."""
        self.places = places
        self.num_moves = 0
        self._request = request
        self._channels = channels
        self._patience = patience
        self._current: Cancellable | None = None
        self._is_cancelled = False
        self._was_accepted = False
        self._num_before = 0
        self._is_resumed = False
        self._num_losses = 0
        self._num_rescues = 0

    async def stream(self, transcript: Transcript) -> AsyncGenerator[generation_pb2.GenerateResponse, None]:
        """Yield what replicas say, as a router would pass it on."""
        place: inference_pb2.PlaceResponse | None = None
        while transcript.completion is None:
            place = place or await self._ask(transcript)
            try:
                async with aclosing(self._stay(place, transcript)) as messages:
                    async for message in messages:
                        yield message
            except _LeftError as left:
                place = left.place
                self.num_moves += 1

    def cancel(self) -> None:
        """End the call to the replica, and the one to a router."""
        self._is_cancelled = True
        for call in (self._current, self.places.asking):
            if call is not None:
                call.cancel()

    async def _ask(self, transcript: Transcript) -> inference_pb2.PlaceResponse:
        return await self.places.ask(len(transcript.tokens))

    async def _stay(
        self, place: inference_pb2.PlaceResponse, transcript: Transcript
    ) -> AsyncGenerator[generation_pb2.GenerateResponse, None]:
        """Yield what one replica says.

        Raises:
            _LeftError: the request is to go on elsewhere.
            ReplicaUnreachableError: the replica is not to be reached.
            NiyamaError: the request cannot go on.
        """
        try:
            async with self._channels.at(place.address) as stub:
                self._was_accepted, self._num_before = False, len(transcript.tokens)
                if self._is_cancelled:
                    raise asyncio.CancelledError
                call = stub.Generate(self._to_replica(place, transcript), timeout=self._patience.seconds_left())
                async with aclosing(self._relay(call, place, transcript=transcript)) as messages:
                    async for message in messages:
                        yield message
        except UnreachableError as error:
            self.places.exclude(place.replica)
            self.places.refusal = replica_failures.unreachable(place.replica, place.address)
            raise ReplicaUnreachableError(self.places.refusal) from error

    async def _relay(
        self,
        call: "grpc.aio.UnaryStreamCall[replica_pb2.ReplicaGenerateRequest, generation_pb2.GenerateResponse]",
        place: inference_pb2.PlaceResponse,
        *,
        transcript: Transcript,
    ) -> AsyncGenerator[generation_pb2.GenerateResponse, None]:
        """Yield the messages of a stream that the application should hear of."""
        self._current = call
        try:
            async for message in call:
                if message.WhichOneof("event") == "tokens" or await self._passes(message, place, transcript=transcript):
                    yield message
        except grpc.aio.AioRpcError as error:
            self._note_loss(place, failure_of(error), transcript=transcript)
            raise _LeftError from error
        finally:
            call.cancel()
        if transcript.completion is None:
            failure = Failure(
                code=grpc.StatusCode.INTERNAL, message="the replica ended its stream without a completion"
            )
            self._note_loss(place, failure, transcript=transcript)
            raise _LeftError

    async def _passes(
        self,
        message: generation_pb2.GenerateResponse,
        place: inference_pb2.PlaceResponse,
        *,
        transcript: Transcript,
    ) -> bool:
        """Deal with a message that holds no tokens; return whether the application should hear of it.

        Raises:
            _LeftError: the request is to go on elsewhere.
        """
        match message.WhichOneof("event"):
            case "accepted":
                self._was_accepted = True
                message.accepted.resume_token = b"" if self._request.sampling.stop else self.places.resume_token
                return transcript.accepted is None
            case "relegated":
                await self._rescue(message, place, transcript=transcript)
                return not transcript.is_relegated
            case "handed_back":
                self._note_hand_back(place, message.handed_back.reason)
                raise _LeftError
            case "completion":
                self._judge(message.completion, transcript)
            case _:
                # Progress, and events that a newer replica knows.
                pass
        return True

    async def _rescue(
        self,
        message: generation_pb2.GenerateResponse,
        place: inference_pb2.PlaceResponse,
        *,
        transcript: Transcript,
    ) -> None:
        """Leave a replica that has relegated the request, when it can still be on time elsewhere."""
        if transcript.tokens or not message.relegated.before_first_token or self._num_rescues >= _MAX_RESCUES:
            return
        elsewhere = await self.places.ask_rescue(place.replica)
        if elsewhere is not None:
            self._num_rescues += 1
            raise _LeftError(elsewhere)

    def _note_hand_back(self, place: inference_pb2.PlaceResponse, reason: generation_pb2.HandBackReason) -> None:
        self.places.exclude(place.replica)
        if reason == generation_pb2.HAND_BACK_REASON_NO_CAPACITY:
            self.places.refusal = replica_failures.no_capacity(place.replica)

    def _note_loss(self, place: inference_pb2.PlaceResponse, failure: Failure, *, transcript: Transcript) -> None:
        """Take in that a stream broke.

        Raises:
            NiyamaError: the request cannot go on elsewhere.
        """
        tokens, replica = transcript.tokens, place.replica
        if replica_failures.is_about_the_request(failure):
            raise error_of(replica_failures.for_the_client(failure), tokens)
        if not replica_failures.is_expired(failure):
            self.places.exclude(replica)
        if tokens and self._request.sampling.stop:
            raise error_of(replica_failures.broken(failure, replica=replica, num_tokens=len(tokens)), tokens)
        got_on = len(tokens) > self._num_before
        self._num_losses = (0 if got_on else self._num_losses) + (
            self._was_accepted or replica_failures.is_denied(failure)
        )
        if self._num_losses >= _MAX_LOSSES:
            raise error_of(self._last_words(failure, replica, num_tokens=len(tokens)), tokens)
        if failure.code is grpc.StatusCode.RESOURCE_EXHAUSTED:
            self.places.refusal = failure
        self._is_resumed = self._is_resumed or bool(tokens)

    def _last_words(self, failure: Failure, replica: str, *, num_tokens: int) -> Failure:
        """Return why the request is given up; who is not known to the replicas had better hear that."""
        if replica_failures.is_denied(failure):
            return failure
        return replica_failures.poisonous(failure, replica=replica, num_losses=self._num_losses, num_tokens=num_tokens)

    def _to_replica(
        self, place: inference_pb2.PlaceResponse, transcript: Transcript
    ) -> replica_pb2.ReplicaGenerateRequest:
        return replica_pb2.ReplicaGenerateRequest(
            request=self._request,
            promise=place.promise,
            elapsed=duration_to_wire(self.places.elapsed),
            num_moves=self.num_moves,
            emitted_token_ids=[token.id for token in transcript.tokens],
            lease=place.lease,
        )

    def _judge(self, completion: generation_pb2.Completion, transcript: Transcript) -> None:
        """Put into a closing message what only who followed the request knows."""
        completion.num_moves = self.num_moves
        if self._is_resumed and transcript.accepted is not None:
            emitted = [token.emitted for token in transcript.tokens]
            verdict.judge(completion, transcript.accepted.promise, emitted=emitted)
