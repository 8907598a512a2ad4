"""A simulated cluster: arrivals are placed, iterations end one after the other, relegated requests are moved.

Two kinds of events move time: the next arrival, and the end of some replica's iteration; faults, if there are any, are
a third. Arrivals at the instant of an end come first, as they do in production, where they wait for the next plan.
"""

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from niyama_core.door import Asked
from niyama_core.placement import Placed, PlacementRequest, Refusal, RefusalReason, place, rescue
from niyama_eval.outcomes import RequestOutcome
from niyama_eval.workloads import WorkloadRequest

from niyama_sim.door import SimulationError, TokenBucket, check_workload, router_of
from niyama_sim.engine import EngineCounts, Iteration
from niyama_sim.fault_injection import FaultInjection
from niyama_sim.journey import Journey
from niyama_sim.load_board import LoadBoard
from niyama_sim.replica import SimulatedReplica
from niyama_sim.router import SimulatedRouter
from niyama_sim.settings import SimulationSettings

__all__ = ["Simulation", "SimulationError", "SimulationResult", "simulate"]

PlanSink = Callable[[str, Iteration], None]
OutcomeSink = Callable[[RequestOutcome], None]


@dataclass(frozen=True, slots=True)
class SimulationResult:
    """What came of a simulation.

    Attributes:
        outcomes: of every request, in the order of arrival.
        engines: what each replica's engine has done.
        seconds: simulated time.
    """

    outcomes: tuple[RequestOutcome, ...]
    engines: tuple[EngineCounts, ...]
    seconds: float

    @property
    def num_iterations(self) -> int:
        """Iterations of all replicas."""
        return sum(counts.num_iterations for counts in self.engines)

    @property
    def mean_chunk_tokens(self) -> float | None:
        """Mean prompt tokens of the iterations that computed any; None when none did."""
        num_iterations = sum(counts.num_prefill_iterations for counts in self.engines)
        return sum(counts.prefill_tokens for counts in self.engines) / num_iterations if num_iterations else None

    @property
    def busy_fraction(self) -> float | None:
        """Share of the replicas' time that was spent in iterations; None when no time has passed."""
        available = self.seconds * len(self.engines)
        return sum(counts.busy_seconds for counts in self.engines) / available if available else None


def simulate(
    settings: SimulationSettings,
    workload: Sequence[WorkloadRequest],
    *,
    on_plan: PlanSink | None = None,
    on_outcome: OutcomeSink | None = None,
) -> SimulationResult:
    """Run a workload through a cluster until every answer has ended.

    Args:
        settings: the cluster.
        workload: requests in the order of arrival.
        on_plan: told of every iteration, with the replica's name.
        on_outcome: told of every request that has ended.

    Raises:
        SimulationError: the workload is out of order, names a request twice, or has a prompt that no replica can hold.
        ValueError: the cluster names a policy that there is not.
    """
    return Simulation(settings, on_plan=on_plan, on_outcome=on_outcome).run(workload)


class Simulation:
    """One run; use it once.

    Args:
        settings: the cluster.
        on_plan: told of every iteration, with the replica's name.
        on_outcome: told of every request that has ended.
    """

    def __init__(
        self,
        settings: SimulationSettings,
        *,
        on_plan: PlanSink | None = None,
        on_outcome: OutcomeSink | None = None,
    ) -> None:
        """Set up idle replicas."""
        self._settings = settings
        self._on_plan = on_plan
        self._on_outcome = on_outcome
        self._bucket = None if settings.rate_limit is None else TokenBucket(settings.rate_limit)
        self._replicas = [SimulatedReplica(i, settings, pool=pool) for i, pool in enumerate(settings.pool_of_each())]
        self._board = LoadBoard(self._replicas, settings.load_age)
        self._routers = [
            SimulatedRouter(settings, self._replicas, board=self._board) for _ in range(settings.num_routers)
        ]
        self._by_name = {replica.name: replica for replica in self._replicas}
        self._journeys: dict[str, Journey] = {}
        self._outcomes: dict[str, RequestOutcome] = {}
        self._waiting: list[Journey] = []
        # The end of each replica's iteration, and whatever else is to happen; equals in the order of their numbers.
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._num_events = 0
        self._ends: dict[str, Callable[[], None]] = {
            replica.name: partial(self._end_iteration, replica) for replica in self._replicas
        }
        self._now = 0.0
        self._faults = FaultInjection(self, self._replicas, faults=settings.faults)

    @property
    def now(self) -> float:
        """The instant that it is."""
        return self._now

    def run(self, workload: Sequence[WorkloadRequest]) -> SimulationResult:
        """Run the workload until every answer has ended.

        Raises:
            SimulationError: the workload is not one that this cluster can run.
        """
        check_workload(workload, self._settings)
        for asked in workload:
            for beat in self._board.due_before(asked.arrival):
                self._run_until(beat)
                self._board.report(beat)
            self._run_until(asked.arrival)
            self._arrive(asked)
        while self._events and self._journeys:
            self._next_event()
        for journey in self._journeys.values():
            self._end(journey.outcome() if journey.replica else journey.failed())
        outcomes = tuple(self._outcomes[asked.request_id] for asked in workload)
        return SimulationResult(outcomes, tuple(replica.engine.counts for replica in self._replicas), self._now)

    def _run_until(self, instant: float) -> None:
        """Let everything happen that is to happen before `instant`."""
        while self._events and self._events[0][0] < instant:
            self._next_event()

    def _next_event(self) -> None:
        self._now, _, happen = heapq.heappop(self._events)
        happen()

    def call_at(self, instant: float, action: Callable[[], None]) -> None:
        """Do something at an instant, unless all requests have ended before."""
        self._num_events += 1
        heapq.heappush(self._events, (instant, self._num_events, action))

    def _arrive(self, asked: WorkloadRequest) -> None:
        """Place a request that arrives, if it is let in."""
        self._now = asked.arrival
        journey = Journey(asked, router_of(asked.request_id, self._settings))
        if self._bucket is not None and not self._bucket.lets_in(self._now):
            self._end(journey.rejected())
            return
        router = self._routers[journey.router]
        asked_for = Asked(self._placement_request(journey), asked.request_id)
        placed = router.door.place(asked_for, router.candidates(self._now), policy=router.placement, now=self._now)
        if isinstance(placed, Refusal) and placed.reason is RefusalReason.OVERLOAD:
            self._end(journey.rejected())
            return
        self._journeys[asked.request_id] = journey
        self._follow(journey, placed)

    def _follow(self, journey: Journey, placed: Placed | Refusal) -> None:
        """Send a request where it was placed; without any replica it waits for one."""
        match placed:
            case Placed(replica=name):
                self._send(journey, self._by_name[name])
            case Refusal():
                journey.wait()
                self._waiting.append(journey)

    def _place_anew(self, journey: Journey) -> None:
        """Place a request whose replica is gone; it was let in, so it is not refused any more."""
        if not journey.emitted_at:
            journey.restore()
        router = self._routers[journey.router]
        request = self._placement_request(journey)
        self._follow(journey, place(request, router.candidates(self._now), policy=router.placement))

    def give_up(self, replica: SimulatedReplica, request_ids: Iterable[str] | None = None) -> None:
        """Take requests off a replica, or all of them and the iteration that runs, and place them anew."""
        if request_ids is None:
            self._abandon_iteration(replica)
            request_ids = [one for one, journey in self._journeys.items() if journey.replica == replica.name]
        given_up = [self._journeys[request_id] for request_id in request_ids]
        for journey in given_up:
            replica.engine.abort(journey.asked.request_id)
        replica.has_changed = True
        for journey in given_up:
            self._place_anew(journey)

    def _abandon_iteration(self, replica: SimulatedReplica) -> None:
        if replica.engine.abandon(self._now):
            self._events = [event for event in self._events if event[2] is not self._ends[replica.name]]
            heapq.heapify(self._events)

    def welcome(self, replica: SimulatedReplica) -> None:
        """Let routers see a replica as it is, and place whoever waits for one."""
        self._board.renew(replica, self._now)
        for router in self._routers:
            router.forget(replica.name)
        waiting, self._waiting = self._waiting, []
        for journey in waiting:
            self._place_anew(journey)

    def _send(self, journey: Journey, replica: SimulatedReplica) -> None:
        journey.arrive(replica.name)
        asked = journey.asked
        self._routers[journey.router].expect(replica.name, journey.num_prompt_tokens, now=self._now)
        cap = self._settings.output_cap(asked.num_prompt_tokens)
        replica.engine.admit(journey.request(cap), journey.num_output_tokens, emitted_at=journey.emitted_at)
        replica.has_changed = True
        if replica.engine.running is None:
            self._begin_iteration(replica)

    def _begin_iteration(self, replica: SimulatedReplica) -> None:
        replica.has_changed = True
        iteration = replica.engine.begin(self._now)
        if iteration is None:
            if not replica.takes_requests and len(replica.engine.planner) == 0:
                self._faults.idle(replica)
            return
        self._num_events += 1
        heapq.heappush(self._events, (iteration.ends, self._num_events, self._ends[replica.name]))
        if self._on_plan is not None:
            self._on_plan(replica.name, iteration)
        for request_id in iteration.plan.relegated:
            self._relegated(self._journeys[request_id], replica)

    def _end_iteration(self, replica: SimulatedReplica) -> None:
        for request_id in replica.engine.end():
            self._finish(request_id)
        self._begin_iteration(replica)

    def _finish(self, request_id: str) -> None:
        journey = self._journeys.pop(request_id)
        journey.is_done = True
        router, outcome = self._routers[journey.router], journey.outcome()
        router.lengths.record(journey.asked.app, len(journey.emitted_at))
        self._end(outcome)

    def _end(self, outcome: RequestOutcome) -> None:
        self._outcomes[outcome.request_id] = outcome
        if self._on_outcome is not None:
            self._on_outcome(outcome)

    def _relegated(self, journey: Journey, replica: SimulatedReplica) -> None:
        """Move a relegated request to where it would still be on time, if there is such a place."""
        journey.relegate()
        if journey.emitted_at or len(journey.visited) > self._settings.max_moves:
            return
        router = self._routers[journey.router]
        others = [one for one in router.candidates(self._now) if one.load.replica not in journey.visited]
        placed = rescue(self._placement_request(journey), others, policy=router.placement)
        if placed is not None:
            journey.restore()
            replica.engine.abort(journey.asked.request_id)
            replica.has_changed = True
            self._send(journey, self._by_name[placed.replica])

    def _placement_request(self, journey: Journey) -> PlacementRequest:
        asked = journey.asked
        return PlacementRequest(
            promise=asked.promise,
            num_prompt_tokens=journey.num_prompt_tokens,
            expected_output_tokens=self._routers[journey.router].lengths.expected(
                asked.app, self._settings.max_output_tokens
            ),
            elapsed=self._now - asked.arrival,
        )
