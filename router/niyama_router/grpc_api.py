"""The `Inference` service over gRPC: takes calls, hands them to admission and dispatcher, and says how they ended."""

import asyncio
from array import array
from dataclasses import dataclass
from typing import Any

import grpc
from niyama.v1 import describe_pb2, generation_pb2, inference_pb2, inference_pb2_grpc
from niyama_runtime import status
from niyama_runtime.clock import Clock

from niyama_router.admission import Admission, Admitted
from niyama_router.cluster_view import ClusterView
from niyama_router.dispatcher import Dispatcher
from niyama_router.errors import InvalidRequestError, RequestFailedError, RouterError
from niyama_router.given_answer import GivenAnswer
from niyama_router.journey import Journey
from niyama_router.ledger import Ledger
from niyama_router.outcome import Outcome, OutcomeKind, kind_of_failure, trailers
from niyama_router.place_api import PlaceApi
from niyama_router.quoting import Quoting

__all__ = ["SERVICE_NAME", "Desks", "InferenceService"]

SERVICE_NAME = inference_pb2.DESCRIPTOR.services_by_name["Inference"].full_name

_CLOCKS_DIFFER_SECONDS = 0.01

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class Desks:
    """Who answers the calls that carry no prompt."""

    places: PlaceApi
    quoting: Quoting
    view: ClusterView


class InferenceService(inference_pb2_grpc.InferenceServicer):
    """One router's service."""

    def __init__(
        self,
        admission: Admission,
        dispatcher: Dispatcher,
        *,
        desks: Desks,
        ledger: Ledger,
        clock: Clock,
    ) -> None:
        """Serve by these parts; `clock` stamps arrivals."""
        self._admission = admission
        self._dispatcher = dispatcher
        self._desks = desks
        self._ledger = ledger
        self._clock = clock

    async def Generate(self, request: generation_pb2.GenerateRequest, context: Any) -> None:  # type: ignore[override]  # noqa: N802, ANN401
        """Serve one request; messages are written as they come, so that a slow reader slows its replica's stream."""
        arrival = self._clock.now()
        try:
            admitted = self._admission.admit(request, context.invocation_metadata() or (), arrival=arrival)
        except InvalidRequestError as error:
            self._ledger.refused_invalid()
            await status.abort(context, error.failure)
        await self._serve(_journey(admitted, context, now=arrival), context)

    async def ClusterStatus(  # noqa: N802
        self,
        request: inference_pb2.ClusterStatusRequest,
        context: Context,
    ) -> inference_pb2.ClusterStatusResponse:
        """Say how classes and replicas fare."""
        return self._desks.view.status(self._clock.now())

    async def Describe(  # noqa: N802
        self,
        request: describe_pb2.DescribeRequest,
        context: Context,
    ) -> describe_pb2.DescribeResponse:
        """Say what the cluster serves."""
        return await self._desks.view.describe(self._clock.now())

    async def Place(self, request: inference_pb2.PlaceRequest, context: Context) -> inference_pb2.PlaceResponse:  # noqa: N802
        """Give a place to a client that streams from the replica itself."""
        return await self._desks.places.place(request, context)

    async def Quote(self, request: inference_pb2.QuoteRequest, context: Context) -> inference_pb2.QuoteResponse:  # noqa: N802
        """Say what could be promised."""
        try:
            return self._desks.quoting.quote(request, self._admission.limits())
        except RouterError as error:
            await status.abort(context, error.failure)

    async def _serve(self, journey: Journey, context: Context) -> None:
        """Bring a journey to its end, and tell client and ledger."""
        self._ledger.began(journey)
        outcome, failure = Outcome(journey, OutcomeKind.FAILED), None
        try:
            completion = await self._dispatcher.serve(journey, context)
            outcome = Outcome(journey, OutcomeKind.COMPLETED, completion)
        except RequestFailedError as error:
            failure = error.failure
            outcome = Outcome(journey, kind_of_failure(failure, journey))
        except asyncio.CancelledError:
            outcome = Outcome(journey, self._kind_of_cancellation(journey))
            raise
        finally:
            self._ledger.ended(outcome)
        context.set_trailing_metadata(trailers(outcome))
        if failure is not None:
            await status.abort(context, failure)

    def _kind_of_cancellation(self, journey: Journey) -> OutcomeKind:
        """Return whether the client left, or saw its deadline pass and so was failed."""
        left = journey.seconds_left(self._clock.now())
        # The transport measures by another clock, and may be a little before us.
        is_late = left is not None and left < _CLOCKS_DIFFER_SECONDS
        return OutcomeKind.FAILED if is_late else OutcomeKind.CANCELLED


def _journey(admitted: Admitted, context: Context, *, now: float) -> Journey:
    left: float | None = context.time_remaining()
    deadline = None if left is None else now + left
    return Journey(admitted, deadline=deadline, given=GivenAnswer(array("I", admitted.given_token_ids)))
