"""`Inference.Place`: a place for a request whose client streams from the replica itself.

Admission, promise and placement are those of `Generate`. What differs is that the router never sees the end: it counts
that it has placed the request, and what it refused. The booking counts as pending load until the replica's reports
count the request, at the latest until the lease runs out: a client that never comes leaves nothing behind.
"""

import asyncio
from typing import Any

import grpc
from niyama.v1 import inference_pb2
from niyama_runtime import status, wire
from niyama_runtime.clock import Clock
from niyama_runtime.leases import Leases

from niyama_router.admission import Admission
from niyama_router.directory import Directory
from niyama_router.errors import InvalidRequestError, RequestFailedError
from niyama_router.journey import Journey
from niyama_router.ledger import Ledger
from niyama_router.outcome import Outcome, kind_of_failure
from niyama_router.placing import Berth, Placing

__all__ = ["PlaceApi"]

Context = grpc.aio.ServicerContext[Any, Any]


class PlaceApi:
    """Gives places."""

    def __init__(
        self,
        admission: Admission,
        placing: Placing,
        *,
        directory: Directory,
        leases: Leases,
        ledger: Ledger,
        clock: Clock,
    ) -> None:
        """Find places by `placing`, and permit them by `leases`."""
        self._admission = admission
        self._placing = placing
        self._directory = directory
        self._leases = leases
        self._ledger = ledger
        self._clock = clock

    async def place(self, request: inference_pb2.PlaceRequest, context: Context) -> inference_pb2.PlaceResponse:
        """Answer one call."""
        try:
            journey = self._journey(request, context)
        except InvalidRequestError as error:
            self._ledger.refused_invalid()
            await status.abort(context, error.failure)
        try:
            berth = self._placing.rescue(journey) if request.only_on_time else await self._placing.place(journey)
        except RequestFailedError as error:
            self._note_refusal(journey, error)
            await status.abort(context, error.failure)
        if berth is None:
            return inference_pb2.PlaceResponse()
        self._hand_over(berth)
        self._ledger.placed(journey)
        return self._response(journey, berth)

    def _journey(self, request: inference_pb2.PlaceRequest, context: Context) -> Journey:
        """Return the request's way so far.

        Raises:
            InvalidRequestError: it is wrong.
        """
        arrival = self._clock.now()
        admitted = self._admission.admit_place(request, context.invocation_metadata() or (), arrival=arrival)
        left: float | None = context.time_remaining()
        deadline = None if left is None else arrival + left
        journey = Journey(admitted, deadline=deadline, is_accepted=bool(request.resume_token))
        for name in request.excluded_replicas:
            # Only this start of it: one that comes back meanwhile is as good as any.
            incarnation = self._directory.incarnation(name)
            if incarnation is not None:
                journey.shun(name, incarnation)
        return journey

    def _note_refusal(self, journey: Journey, error: RequestFailedError) -> None:
        """Count a request that was refused at the door; one that had a place before has been counted."""
        if not journey.is_accepted:
            self._ledger.began(journey)
            self._ledger.ended(Outcome(journey, kind_of_failure(error.failure, journey)))

    def _hand_over(self, berth: Berth) -> None:
        berth.booking.hand_over()
        asyncio.get_running_loop().call_later(self._leases.valid_for, berth.booking.settle)

    def _response(self, journey: Journey, berth: Berth) -> inference_pb2.PlaceResponse:
        message = journey.to_replica(self._clock.now())
        return inference_pb2.PlaceResponse(
            replica=berth.replica,
            address=berth.load.address,
            lease=self._leases.issue(message, berth.replica),
            lease_valid_for=wire.duration_to_wire(self._leases.valid_for),
            promise=message.promise,
            elapsed=message.elapsed,
            resume_token=journey.admitted.resume_token,
        )
