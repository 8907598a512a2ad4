"""Load for a router: requests sent when a workload says, whatever becomes of those before them.

An open loop is what many independent people are: they do not wait for one another, so a slow cluster gets no relief,
and its queues show. It is light, because on a laptop it shares cores with what it measures: the raw stub and a few
lines a message, thousands of messages a second. Nothing is judged by this process's clock; a token's time is the
engine's.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
from niyama.v1 import generation_pb2, inference_pb2_grpc, qos_pb2
from niyama_client.connection import Target, open_channel
from niyama_eval.outcomes import RequestOutcome
from niyama_eval.workloads import WorkloadRequest
from niyama_runtime.clock import MonotonicClock
from niyama_runtime.wire import importance_to_wire

from niyama_cli.filler_text import FillerText
from niyama_cli.stream_record import StreamRecord

__all__ = ["LoadGenerator", "LoadMeter", "LoadSettings", "load_generator", "run_workload"]

OnOutcome = Callable[[RequestOutcome], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSettings:
    """How requests are made from a workload.

    Attributes:
        replay: whether answers shall have the workload's very lengths; the cluster must have been started for replay.
            Otherwise those lengths are the most that is asked for.
        max_tokens: the most that a replayed request asks for; None leaves it to the cluster.
        bytes_per_token: what the cluster says of its tokenizer: prompts are text of that many bytes a token.
        says_importance: whether requests say how important they are; otherwise their class does.
        patience: seconds after the last arrival after which what is still open is given up; None waits for ever.
    """

    replay: bool = False
    max_tokens: int | None = None
    bytes_per_token: float = 4.0
    says_importance: bool = True
    patience: float | None = None


@dataclass(slots=True)
class LoadMeter:
    """What a load generator has done so far, for progress bars and for trust in its figures.

    Attributes:
        num_sent: requests sent.
        num_ended: requests that have an outcome.
        num_tokens: tokens received.
        largest_lag: seconds that a request was sent after its arrival, at most; a generator that lags measures itself.
        failures: how often each reason for a failure or refusal was given.
    """

    num_sent: int = 0
    num_ended: int = 0
    num_tokens: int = 0
    largest_lag: float = 0.0
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def num_open(self) -> int:
        """Requests that are under way."""
        return self.num_sent - self.num_ended


async def run_workload(
    address: Target | str,
    requests: Sequence[WorkloadRequest],
    *,
    settings: LoadSettings | None = None,
    on_outcome: OnOutcome | None = None,
    meter: LoadMeter | None = None,
) -> list[RequestOutcome]:
    """Send each request at its arrival and return what came of them, in the order of the requests.

    `address` is that of one or more routers. `on_outcome` hears of each end when it comes.

    Raises:
        ValueError: the address is none.
    """
    async with load_generator(address, settings=settings, on_outcome=on_outcome, meter=meter) as generator:
        return await generator.open_loop(requests)


@asynccontextmanager
async def load_generator(
    address: Target | str,
    *,
    settings: LoadSettings | None = None,
    on_outcome: OnOutcome | None = None,
    meter: LoadMeter | None = None,
) -> AsyncIterator["LoadGenerator"]:
    """Yield a generator that is connected; what is open at the end is cancelled.

    Raises:
        ValueError: the address is none.
    """
    async with open_channel(Target(address) if isinstance(address, str) else address) as channel:
        yield LoadGenerator(
            channel, settings=settings or LoadSettings(), on_outcome=on_outcome, meter=meter or LoadMeter()
        )


class LoadGenerator:
    """Sends requests of a workload to a router and tells what came of them.

    Attributes:
        meter: what it has done so far.
    """

    def __init__(
        self, channel: grpc.aio.Channel, *, settings: LoadSettings, on_outcome: OnOutcome | None, meter: LoadMeter
    ) -> None:
        self.meter = meter
        self._generate = inference_pb2_grpc.InferenceStub(channel).Generate
        self._settings = settings
        self._on_outcome = on_outcome
        self._text = FillerText(settings.bytes_per_token)
        self._clock = MonotonicClock()
        self._open: set[grpc.aio.Call] = set()

    async def open_loop(self, requests: Sequence[WorkloadRequest]) -> list[RequestOutcome]:
        """Send each request at its arrival and return what came of them, in the order of the requests."""
        tasks: list[asyncio.Task[RequestOutcome]] = []
        async with asyncio.TaskGroup() as group:
            start = self._clock.now()
            for request in requests:
                await self._clock.sleep_until(start + request.arrival)
                lag = self._clock.now() - start - request.arrival
                self.meter.largest_lag = max(self.meter.largest_lag, lag)
                tasks.append(group.create_task(self.send(request)))
            if tasks:
                await asyncio.wait(tasks, timeout=self._settings.patience)
            self.give_up()
        return [task.result() for task in tasks]

    async def send(self, request: WorkloadRequest) -> RequestOutcome:
        """Send one request and return what came of it; no failure of the cluster is raised."""
        stream = StreamRecord(request)
        self.meter.num_sent += 1
        call = self._generate(self._message(request))
        self._open.add(call)
        try:
            async for response in call:
                stream.take(response)
            stream.end()
        except grpc.aio.AioRpcError as error:
            stream.fail(error)
        except asyncio.CancelledError:
            if _is_being_cancelled():
                raise
            stream.give_up()
        finally:
            self._open.discard(call)
            call.cancel()
        return self._ended(stream)

    def give_up(self) -> None:
        """End what is still open; it counts as lost where it had been accepted."""
        for call in list(self._open):
            call.cancel()

    def _ended(self, stream: "StreamRecord") -> RequestOutcome:
        outcome = stream.outcome()
        self.meter.num_ended += 1
        self.meter.num_tokens += len(outcome.emitted)
        if stream.reason:
            self.meter.failures[stream.reason] += 1
        if self._on_outcome is not None:
            self._on_outcome(outcome)
        return outcome

    def _message(self, request: WorkloadRequest) -> generation_pb2.GenerateRequest:
        replay, promise = self._settings.replay, request.promise
        importance = importance_to_wire(promise.importance) if self._settings.says_importance else None
        return generation_pb2.GenerateRequest(
            request_id=request.request_id,
            prompt=self._text.prompt(request.request_id, request.num_prompt_tokens),
            max_tokens=self._settings.max_tokens if replay else request.num_output_tokens,
            replay_output_tokens=request.num_output_tokens if replay else 0,
            app=request.app,
            qos=qos_pb2.Qos(qos_class=promise.qos_class, importance=importance),
        )


def _is_being_cancelled() -> bool:
    """Whether somebody wants the task itself to end, and not the call alone."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
