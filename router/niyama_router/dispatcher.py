"""Carries a request from replica to replica until it ends, whatever happens to them on the way.

    place -> relay -> completed                                   the rule
                   -> relegated before its first token            another replica that can be on time, else it stays
                   -> handed back                                 another replica
                   -> lost                                        another replica, behind the tokens that the client has

The client sees one stream. When it goes, the task that serves it is cancelled, and with it whatever is open.
"""

from dataclasses import dataclass

import grpc
import structlog
from niyama.v1 import generation_pb2
from niyama_runtime.clock import Clock
from niyama_runtime.leases import Leases

from niyama_router.attempt import Attempt, Completed, HandedBack, Lost, Relegated, Sink
from niyama_router.directory import Directory
from niyama_router.errors import RequestFailedError
from niyama_router.journey import Journey
from niyama_router.loss import broken, for_the_client, is_about_the_request, no_capacity, poisonous
from niyama_router.placing import Berth, Placing
from niyama_router.replica_client import ReplicaClients

__all__ = ["Dispatcher"]

# A request that replicas fail on, one after the other and without a token between, may be what makes them fail.
_MAX_LOSSES = 3

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Rescued:
    """The request goes on at `berth`, where it can be on time."""

    berth: Berth


class Dispatcher:
    """Serves requests."""

    def __init__(
        self, placing: Placing, clients: ReplicaClients, *, directory: Directory, leases: Leases, clock: Clock
    ) -> None:
        """Find places by `placing` and replicas by `clients`, let in by `leases`; tell `directory` of failures."""
        self._placing = placing
        self._clients = clients
        self._directory = directory
        self._leases = leases
        self._clock = clock

    async def serve(self, journey: Journey, sink: Sink) -> generation_pb2.Completion:
        """Bring the request to its end and return the closing message, which has been sent.

        Raises:
            RequestFailedError: it ends with an error.
        """
        berth = await self._placing.place(journey)
        while True:
            ending = await self._stay(journey, berth, sink=sink)
            match ending:
                case Completed(message):
                    return message.completion
                case _Rescued(elsewhere):
                    berth = elsewhere
                case HandedBack(reason):
                    berth = await self._after_hand_back(journey, berth, reason=reason)
                case Lost():
                    berth = await self._after_loss(journey, berth, loss=ending)
            journey.num_moves += 1

    async def _stay(self, journey: Journey, berth: Berth, *, sink: Sink) -> Completed | HandedBack | Lost | _Rescued:
        """Be served at `berth` until the request ends there; the stream is closed when this returns."""
        attempt, ending = self._open(journey, berth), None
        try:
            ending = await self._follow(attempt, journey, sink=sink)
            return ending
        finally:
            if isinstance(ending, Completed):
                attempt.finish()
            else:
                attempt.abandon()

    async def _follow(
        self, attempt: Attempt, journey: Journey, *, sink: Sink
    ) -> Completed | HandedBack | Lost | _Rescued:
        """Relay a stream to its end; what it says of a relegation is acted on or passed on."""
        while True:
            ending = await attempt.relay(sink)
            match ending:
                case Relegated(message):
                    elsewhere = self._rescue(journey, message)
                    if elsewhere is not None:
                        return elsewhere
                    await _tell_relegated(journey, message, sink=sink)
                case Completed(message):
                    self._close(journey, message.completion)
                    await sink.write(message)
                    return ending
                case _:
                    return ending

    @staticmethod
    def _close(journey: Journey, completion: generation_pb2.Completion) -> None:
        """Put into a closing message what only the router knows."""
        completion.num_moves = journey.num_moves
        if journey.num_resumed:
            journey.given.judge(completion, journey.admitted.promise)

    def _open(self, journey: Journey, berth: Berth) -> Attempt:
        now = self._clock.now()
        journey.replica = berth.replica
        request = journey.to_replica(now)
        request.lease = self._leases.issue(request, berth.replica)
        call = self._clients.at(berth.load.address).generate(request, timeout=journey.seconds_left(now))
        return Attempt(call, berth=berth, journey=journey)

    def _rescue(self, journey: Journey, message: generation_pb2.GenerateResponse) -> _Rescued | None:
        """Return where a relegated request can still be on time; once it has tokens, it stays."""
        journey.relegate()
        if journey.num_delivered or not message.relegated.before_first_token:
            return None
        berth = self._placing.rescue(journey)
        if berth is None:
            return None
        journey.num_rescues += 1
        _log.debug("rescued", request_id=journey.request_id, origin=journey.replica, replica=berth.replica)
        return _Rescued(berth)

    async def _after_hand_back(self, journey: Journey, berth: Berth, *, reason: generation_pb2.HandBackReason) -> Berth:
        """Return where a request goes that its replica gave back."""
        journey.shun(berth.replica, berth.load.incarnation)
        if reason == generation_pb2.HAND_BACK_REASON_NO_CAPACITY:
            journey.refusal = no_capacity(berth)
        _log.debug("handed_back", request_id=journey.request_id, replica=berth.replica, reason=reason)
        return await self._placing.place(journey)

    async def _after_loss(self, journey: Journey, berth: Berth, *, loss: Lost) -> Berth:
        """Return where a request goes whose stream broke.

        Raises:
            RequestFailedError: it cannot go on elsewhere.
        """
        failure = loss.failure
        if is_about_the_request(failure):
            raise RequestFailedError(for_the_client(failure))
        if failure.code is grpc.StatusCode.ALREADY_EXISTS:
            journey.rename()
        self._note_loss(journey, berth, loss=loss)
        if journey.num_delivered and not journey.is_resumable:
            raise broken(journey, failure)
        journey.lose(was_accepted=loss.was_accepted, got_on=loss.got_on)
        if journey.num_losses >= _MAX_LOSSES:
            raise poisonous(journey, failure)
        if failure.code is grpc.StatusCode.RESOURCE_EXHAUSTED:
            journey.refusal = failure
        try:
            return await self._placing.place(journey)
        except RequestFailedError as nowhere:
            # Of an answer that has begun the client must hear how far it came.
            raise broken(journey, failure) if journey.num_delivered else nowhere from nowhere

    def _note_loss(self, journey: Journey, berth: Berth, *, loss: Lost) -> None:
        """Keep this request away from the replica; and others too, when it is the connection that broke."""
        failure = loss.failure
        # Under another id it may do, once.
        if failure.code is not grpc.StatusCode.ALREADY_EXISTS or journey.num_moves:
            journey.shun(berth.replica, berth.load.incarnation)
        # A replica that is there to refuse says why; a connection that broke says nothing.
        if failure.code is grpc.StatusCode.UNAVAILABLE and not failure.reason:
            self._directory.lose(berth.replica, berth.load.incarnation, now=self._clock.now())
        _log.info(
            "stream_lost",
            request_id=journey.request_id,
            replica=berth.replica,
            code=failure.code.name,
            error=failure.message,
            num_delivered_tokens=journey.num_delivered,
        )


async def _tell_relegated(journey: Journey, message: generation_pb2.GenerateResponse, *, sink: Sink) -> None:
    """Tell the client once that the request stays where its promise cannot be kept."""
    if not journey.is_relegated:
        journey.is_relegated = True
        await sink.write(message)
