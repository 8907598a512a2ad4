"""One list of events, through the simulator's engine and through the paced engine of production.

An event is a request that comes, or one that is given up, at an instant. Both bodies run the same list in virtual time
and return what they ran, iteration by iteration, in the same form.
"""

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hypothesis import strategies as st
from niyama_agent.engine import AbortReason, EngineRequest
from niyama_agent.paced_engine import PacedEngine, PacedSettings
from niyama_core.journal import IterationRecord
from niyama_core.plan import IterationPlan
from niyama_core.policies import POLICIES, SchedulerSettings
from niyama_core.profiles import LatencyProfile
from niyama_core.request import Request
from niyama_eval.workloads import WorkloadRequest
from niyama_runtime.clock import VirtualClock
from niyama_sim.engine import SimulatedEngine
from niyama_sim.noise import lognormal_noise
from niyama_sim.replica import build_planner

from tests.builders import A100, SteadyLaw
from tests.simulator.clusters import CHAT, HURRIED, JOB, NIGHTLY, a_profile

__all__ = [
    "Abort",
    "Admit",
    "Body",
    "Event",
    "Ran",
    "admit",
    "bodies",
    "event_lists",
    "records_of_paced_engine",
    "through_paced_engine",
    "through_simulator",
]

_LONGEST_ITERATION = 60.0


@dataclass(frozen=True, slots=True)
class Admit:
    """A request comes, whose answer will have so many tokens."""

    at: float
    request: Request
    num_output_tokens: int


@dataclass(frozen=True, slots=True)
class Abort:
    """A request is given up, in whatever state it is; one that is not there is passed over."""

    at: float
    request_id: str


Event = Admit | Abort


@dataclass(frozen=True, slots=True)
class Ran:
    """One iteration that was run: when it was planned, with how much room, what, and for how long."""

    now: float
    kv_free_tokens: int
    plan: IterationPlan
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What both bodies are made of."""

    scheduler: SchedulerSettings = field(default_factory=SchedulerSettings)
    profile: LatencyProfile = A100
    speed: float = 1.0
    noise: float = 0.0
    seed: int = 0


# Instants on a coarse grid, and iterations as long as its step, so that things happen at once.
_INSTANTS = st.integers(1, 16).map(lambda step: step / 8)
_DELAYS = st.integers(0, 8).map(lambda step: step / 8)
_LAWS = st.sampled_from([SteadyLaw(0.125, 0.0), SteadyLaw(0.01, 0.0005), A100.law])


@st.composite
def bodies(draw: st.DrawFn) -> Body:
    """Draw a small machine."""
    scheduler = SchedulerSettings(
        draw(st.sampled_from(list(POLICIES))),
        token_budget=draw(st.sampled_from([64, 256])),
        max_num_seqs=draw(st.sampled_from([1, 3, 1000])),
    )
    profile = a_profile(draw(_LAWS), kv_tokens=draw(st.sampled_from([800, 2000, 100_000])))
    return Body(scheduler=scheduler, profile=profile, noise=draw(st.sampled_from([0.0, 0.2])), seed=draw(st.integers()))


@st.composite
def event_lists(draw: st.DrawFn) -> list[Event]:
    """Draw a few requests; some are given up, and some of those come again under the same name."""
    events: list[Event] = []
    for index in range(draw(st.integers(1, 10))):
        at = draw(_INSTANTS)
        events.append(_draw_admission(draw, f"r{index}", at=at))
        if draw(st.booleans()):
            at += draw(_DELAYS)
            events.append(Abort(at, f"r{index}"))
            if draw(st.booleans()):
                events.append(_draw_admission(draw, f"r{index}", at=at + draw(_DELAYS)))
    return sorted(events, key=lambda event: event.at)


def _draw_admission(draw: st.DrawFn, name: str, *, at: float) -> Admit:
    promise = draw(st.sampled_from([CHAT, HURRIED, JOB, NIGHTLY]))
    request = Request(name, promise, at, draw(st.integers(1, 500)), 300, relegated=draw(st.booleans()))
    return Admit(at, request, draw(st.sampled_from([1, 2, 30, 250])))


def admit(asked: WorkloadRequest) -> Admit:
    """Return the arrival of a request as an agent is told of it."""
    request = Request(
        request_id=asked.request_id,
        promise=asked.promise,
        arrival=asked.arrival,
        num_prompt_tokens=asked.num_prompt_tokens,
        max_output_tokens=4096,
        app=asked.app,
    )
    return Admit(asked.arrival, request, asked.num_output_tokens)


def through_simulator(
    body: Body, events: Sequence[Event], *, check: Callable[[SimulatedEngine], None] = lambda _: None
) -> list[Ran]:
    """Run events, which are in the order of their instants, through the simulator's engine.

    Args:
        body: what it is made of.
        events: what happens.
        check: is shown the engine after everything that happens.
    """
    run = _SimulatedRun(body, check)
    for event in events:
        run.until(event.at)
        run.happen(event)
    run.until(math.inf)
    return run.ran


class _SimulatedRun:
    """The simulator's engine, and what it has run."""

    def __init__(self, body: Body, check: Callable[[SimulatedEngine], None]) -> None:
        self.ran: list[Ran] = []
        self._check = check
        self._engine = SimulatedEngine(
            build_planner(body.scheduler, body.profile, speed=body.speed),
            body.profile.at_speed(body.speed).law,
            body.profile.kv_capacity_tokens,
            noise=lognormal_noise(body.noise, seed=body.seed),
        )

    def until(self, instant: float) -> None:
        """Complete every iteration that ends before an instant."""
        while (running := self._engine.running) is not None and running.ends < instant:
            self._engine.end()
            self._check(self._engine)
            self._begin(running.ends)

    def happen(self, event: Event) -> None:
        """Tell the engine of an event."""
        match event:
            case Admit(request=request, num_output_tokens=num_output_tokens):
                self._engine.admit(request, num_output_tokens)
            case Abort(request_id=request_id):
                self._engine.abort(request_id)
        self._check(self._engine)
        if self._engine.running is None:
            self._begin(event.at)

    def _begin(self, now: float) -> None:
        free = self._engine.kv_capacity_tokens - self._engine.kv_used_tokens
        iteration = self._engine.begin(now)
        self._check(self._engine)
        if iteration is not None:
            self.ran.append(Ran(iteration.begins, free, iteration.plan, iteration.seconds))


def through_paced_engine(body: Body, events: Sequence[Event]) -> list[Ran]:
    """Run events through the engine that agents run, under a virtual clock."""
    records = records_of_paced_engine(body, events)
    return [Ran(record.now, record.kv_free_tokens, record.plan, record.seconds) for record in records]


def records_of_paced_engine(body: Body, events: Sequence[Event]) -> list[IterationRecord]:
    """Run events through the engine that agents run; return what its decision log would hold."""
    return asyncio.run(_records_of_paced_engine(body, events))


async def _records_of_paced_engine(body: Body, events: Sequence[Event]) -> list[IterationRecord]:
    records: list[IterationRecord] = []
    settings = PacedSettings(
        profile=body.profile,
        speed=body.speed,
        noise=body.noise,
        seed=body.seed,
        replay=True,
        scheduler=body.scheduler,
    )
    clock = VirtualClock()
    engine = PacedEngine(settings, clock, on_iteration=records.append)

    async def happen(event: Event) -> None:
        await clock.sleep_until(event.at)
        match event:
            case Admit(request=request, num_output_tokens=num_output_tokens):
                prompt = range(request.num_prompt_tokens)
                async for _ in engine.generate(
                    EngineRequest(request=request, prompt_token_ids=prompt, replay_output_tokens=num_output_tokens)
                ):
                    pass
            case Abort(request_id=request_id):
                await engine.abort(request_id, AbortReason.ASKED)

    async def everything() -> None:
        running = asyncio.create_task(engine.run())
        await asyncio.gather(*map(happen, events))
        # An iteration may run on for requests that have all been given up.
        await clock.sleep_until(clock.now() + _LONGEST_ITERATION)
        running.cancel()
        await asyncio.wait([running])

    await clock.drive(everything())
    return records
