"""`niyama.v1.Replica` over an engine: messages in, events out, and what happened in the closing message.

A call and its request live and die together: when the caller leaves, the events are closed and the engine frees all
that the request held; when the request is ended from here, the call ends with a status that says why.
"""

from contextlib import aclosing
from typing import Any, Never, assert_never

import grpc
from niyama.v1 import describe_pb2, generation_pb2, load_pb2, replica_pb2, replica_pb2_grpc
from niyama_core.delivery import Delivery
from niyama_runtime import status, wire
from niyama_runtime.status import Failure, FieldViolation

from niyama_agent import answer_messages
from niyama_agent.drain import Drain
from niyama_agent.engine import (
    Aborted,
    AbortReason,
    Admitted,
    DuplicateRequestError,
    Engine,
    EngineDiedError,
    EngineError,
    EngineEvent,
    EngineRequest,
    Finished,
    HandedBack,
    Relegated,
    RequestRefusedError,
    TokensEmitted,
)
from niyama_agent.identity import VERSION, Identity
from niyama_agent.intake import Intake, InvalidRequestError
from niyama_agent.lease_gate import LeaseRefusedError
from niyama_agent.load_reporter import LoadReporter
from niyama_agent.metrics import AgentMetrics

__all__ = ["ReplicaService"]

_GenerateContext = grpc.aio.ServicerContext[replica_pb2.ReplicaGenerateRequest, generation_pb2.GenerateResponse]
_AbortContext = grpc.aio.ServicerContext[replica_pb2.AbortRequest, replica_pb2.AbortResponse]
_LoadContext = grpc.aio.ServicerContext[replica_pb2.GetLoadRequest, load_pb2.ReplicaLoad]
_DrainContext = grpc.aio.ServicerContext[replica_pb2.DrainRequest, replica_pb2.DrainResponse]
_DescribeContext = grpc.aio.ServicerContext[describe_pb2.DescribeRequest, describe_pb2.DescribeResponse]


class ReplicaService(replica_pb2_grpc.ReplicaServicer):
    """Serves one engine.

    Args:
        engine: what is served.
        identity: who serves.
        intake: reads requests.
        loads: says how loaded the engine is.
        drain: brings it to an end.
        metrics: counts what ends, and how.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        identity: Identity,
        intake: Intake,
        loads: LoadReporter,
        drain: Drain,
        metrics: AgentMetrics,
    ) -> None:
        """Be ready to serve."""
        self._engine = engine
        self._identity = identity
        self._intake = intake
        self._loads = loads
        self._drain = drain
        self._metrics = metrics
        self.is_open = False
        """Whether the engine is ready; before that, calls that need it are refused."""

    async def Generate(  # type: ignore[override]  # noqa: N802, writes by itself and so hears of its cancellation
        self, request: replica_pb2.ReplicaGenerateRequest, context: _GenerateContext
    ) -> None:
        """Stream an answer."""
        await self._require_open(context)
        try:
            asked = await self._intake.read(request)
        except InvalidRequestError as error:
            await status.abort(context, status.invalid_argument(*error.violations))
        except LeaseRefusedError as error:
            await status.abort(context, error.failure)
        delivery = _delivery(asked)
        outcome = "cancelled"
        try:
            with self._drain.holding(asked.request.request_id):
                outcome = await self._stream(asked, delivery, num_moves=request.num_moves, context=context)
        except DuplicateRequestError as error:
            outcome = "refused"
            await status.abort(context, Failure(code=grpc.StatusCode.ALREADY_EXISTS, message=str(error)))
        except RequestRefusedError as error:
            outcome = "refused"
            await status.abort(context, Failure(code=grpc.StatusCode.INVALID_ARGUMENT, message=str(error)))
        except EngineDiedError as error:
            outcome = "failed"
            await status.abort(context, status.unavailable(str(error), reason="ENGINE_DIED"))
        except EngineError as error:
            outcome = "failed"
            await status.abort(context, Failure(code=grpc.StatusCode.INTERNAL, message=str(error)))
        finally:
            self._metrics.observe_end(delivery, outcome)

    async def Abort(  # noqa: N802
        self, request: replica_pb2.AbortRequest, context: _AbortContext
    ) -> replica_pb2.AbortResponse:
        """End a request by its id."""
        await self._require_order(context)
        return replica_pb2.AbortResponse(aborted=await self._engine.abort(request.request_id, AbortReason.ASKED))

    async def GetLoad(  # noqa: N802
        self, request: replica_pb2.GetLoadRequest, context: _LoadContext
    ) -> load_pb2.ReplicaLoad:
        """Say how loaded the replica is."""
        await self._require_open(context)
        return wire.load_to_wire(self._loads.current())

    async def Drain(  # noqa: N802
        self, request: replica_pb2.DrainRequest, context: _DrainContext
    ) -> replica_pb2.DrainResponse:
        """Begin a drain."""
        await self._require_order(context)
        grace: float | None = None
        if request.HasField("grace"):
            try:
                grace = wire.duration_from_wire(request.grace, "grace")
            except wire.WireError as error:
                await _refuse(context, error)
            if grace < 0:
                await _refuse(context, wire.WireError("grace", "must be 0s or more"))
        counts = self._drain.begin(grace)
        return replica_pb2.DrainResponse(num_handed_back=counts.num_handed_back, num_running=counts.num_running)

    async def Describe(  # noqa: N802
        self, request: describe_pb2.DescribeRequest, context: _DescribeContext
    ) -> describe_pb2.DescribeResponse:
        """Say what is served."""
        await self._require_open(context)
        facts = self._engine.facts
        return describe_pb2.DescribeResponse(
            version=VERSION,
            model=self._identity.model,
            engine=facts.name,
            engine_version=facts.version,
            profile=facts.profile,
            policy=facts.scheduler.policy,
            bytes_per_token=self._engine.tokenizer.bytes_per_token,
            context_tokens=self._intake.context_tokens,
            max_output_tokens=self._intake.limits.max_output_tokens,
            replay=facts.replay,
        )

    async def _require_order(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        try:
            self._intake.gate.admit_order()
        except LeaseRefusedError as error:
            await status.abort(context, error.failure)

    async def _require_open(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        if not self.is_open:
            await status.abort(context, status.unavailable("the engine is not ready yet", reason="LOADING"))

    async def _stream(
        self, asked: EngineRequest, delivery: Delivery, *, num_moves: int, context: _GenerateContext
    ) -> str:
        """Write the events of a request until the last; return what it ended with."""
        outcome = "failed"
        async with aclosing(self._engine.generate(asked)) as events:
            async for event in events:
                outcome = self._count(event, delivery)
                if isinstance(event, Aborted):
                    await status.abort(context, _failure(event.reason))
                await context.write(self._message(event, asked, delivery=delivery, num_moves=num_moves))
        return outcome

    def _count(self, event: EngineEvent, delivery: Delivery) -> str:
        """Take in an event; return what the request has ended with if there is no other."""
        match event:
            case TokensEmitted():
                delivery.take(event.emitted_at)
            case Relegated(before_first_token=before_first_token):
                delivery.relegate(before_first_token=before_first_token)
                self._metrics.observe_relegation(delivery.promise.qos_class)
            case HandedBack():
                return "handed_back"
            case Aborted():
                return "aborted"
            case Finished():
                return "completed"
            case Admitted():
                pass
            case _:
                assert_never(event)
        return "failed"

    def _message(
        self, event: EngineEvent, asked: EngineRequest, *, delivery: Delivery, num_moves: int
    ) -> generation_pb2.GenerateResponse:
        replica, engine, request = self._identity.replica, self._engine.facts.name, asked.request
        match event:
            case TokensEmitted():
                return answer_messages.tokens(event, request.arrival)
            case Admitted():
                return answer_messages.accepted(request.request_id, request.promise, replica=replica, engine=engine)
            case Relegated(before_first_token=before_first_token):
                return answer_messages.relegated(before_first_token=before_first_token)
            case HandedBack(reason=reason):
                return answer_messages.handed_back(reason)
            case Finished():
                return answer_messages.completion(
                    event,
                    delivery,
                    num_prompt_tokens=len(asked.prompt_token_ids),
                    replica=replica,
                    engine=engine,
                    num_moves=num_moves,
                )
            case Aborted():
                raise ValueError("an abort is a status and no message")
            case _:
                assert_never(event)


def _delivery(asked: EngineRequest) -> Delivery:
    request, num_before = asked.request, len(asked.emitted_token_ids)
    delivery = Delivery(request.promise, request.arrival, num_before)
    if request.relegated:
        delivery.relegate(before_first_token=num_before == 0)
    return delivery


def _failure(reason: AbortReason) -> Failure:
    match reason:
        case AbortReason.ASKED:
            return Failure(code=grpc.StatusCode.CANCELLED, message="the request was aborted", reason="ABORTED")
        case AbortReason.DRAIN_GRACE_OVER:
            return status.unavailable("the replica drains and its grace period is over", reason="DRAINING")
        case _:
            assert_never(reason)


async def _refuse(context: _DrainContext, error: wire.WireError) -> Never:
    await status.abort(context, status.invalid_argument(FieldViolation(error.field, error.problem)))
