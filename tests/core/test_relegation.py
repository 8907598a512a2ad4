"""Who goes behind all that can be on time.

What `HintedRelegation` guarantees, and what it cannot: an important request is relegated only when it would be late
even if it were served at once, so that at that instant relegating others instead would not save it; and until then no
request of low importance has begun that, by the demand that waited, would have made an important one late. What had
begun before the important one came is not undone.
"""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from niyama_core.demand import DemandCurve
from niyama_core.plan import IterationPlan
from niyama_core.relegation import HintedRelegation, MissedRelegation, NoRelegation, Outlook
from niyama_core.request import LiveRequest, Request
from niyama_core.slo import Importance, OnOverload

from tests.builders import a_batch_request, a_live_request, a_planner, a_request
from tests.core.fake_replica import FakeReplica

RATE = 1000.0
LOW = Importance.LOW


def an_outlook(*waiting: LiveRequest, now: float = 0.0, iteration_time: float = 0.0) -> Outlook:
    demand = DemandCurve()
    for live in waiting:
        demand.add(live, live.prefill_remaining)
    return Outlook(now, RATE, iteration_time, demand)


def test_a_request_that_will_miss_even_if_served_at_once_gives_way() -> None:
    live = a_live_request(a_request(ttft=6.0, prompt=2000))
    assert not MissedRelegation().relegates(live, an_outlook(now=3.9))
    assert MissedRelegation().relegates(live, an_outlook(now=4.1))


def test_a_batch_request_will_miss_when_no_time_is_left_to_decode_its_answer() -> None:
    live = a_live_request(a_batch_request(ttlt=60.0, prompt=2000), decode_seconds=20.0)
    assert not MissedRelegation().relegates(live, an_outlook(now=37.9))
    assert MissedRelegation().relegates(live, an_outlook(now=38.1))


def test_without_relegation_nobody_gives_way() -> None:
    assert not NoRelegation().relegates(a_live_request(), an_outlook(now=1e6))


def test_low_importance_gives_way_while_it_would_make_important_work_late() -> None:
    low = a_live_request(a_request("low", ttft=60.0, prompt=3000, importance=LOW))
    important = a_live_request(a_request("important", ttft=6.4, prompt=4000))
    assert HintedRelegation().relegates(low, an_outlook(important))
    assert not HintedRelegation().relegates(low, an_outlook())


def test_low_importance_keeps_its_place_while_there_is_time_for_all() -> None:
    low = a_live_request(a_request("low", ttft=60.0, prompt=1000, importance=LOW))
    important = a_live_request(a_request("important", ttft=6.4, prompt=4000))
    assert not HintedRelegation().relegates(low, an_outlook(important))


def test_low_importance_leaves_important_work_the_time_of_an_iteration_to_spare() -> None:
    low = a_live_request(a_request("low", ttft=60.0, prompt=1000, importance=LOW))
    important = a_live_request(a_request("important", ttft=6.4, prompt=4000))
    assert not HintedRelegation().relegates(low, an_outlook(important, iteration_time=0.5))
    assert HintedRelegation().relegates(low, an_outlook(important, iteration_time=2.0))


def test_an_important_request_gives_way_only_for_itself() -> None:
    live = a_live_request(a_request(ttft=60.0, prompt=3000))
    pressed = a_live_request(a_request("pressed", ttft=3.2, prompt=3000))
    assert not HintedRelegation().relegates(live, an_outlook(live, pressed))
    assert HintedRelegation().relegates(live, an_outlook(live, pressed, now=57.5))


def test_a_class_that_queues_keeps_its_place_and_is_late() -> None:
    live = a_live_request(a_request(ttft=6.0, on_overload=OnOverload.QUEUE))
    for rule in (MissedRelegation(), HintedRelegation()):
        assert not rule.relegates(live, an_outlook(now=100.0))


def test_low_importance_gives_way_to_important_work_even_in_a_class_that_queues() -> None:
    low = a_live_request(a_request(ttft=60.0, prompt=3000, importance=LOW, on_overload=OnOverload.QUEUE))
    important = a_live_request(a_request("important", ttft=6.4, prompt=4000))
    assert HintedRelegation().relegates(low, an_outlook(important))
    assert not HintedRelegation().relegates(low, an_outlook(now=100.0))


Workload = list[tuple[Callable[..., Request], int, Importance, float]]

workloads = st.lists(
    st.tuples(
        st.sampled_from([a_request, a_batch_request]),
        st.integers(50, 6000),
        st.sampled_from(Importance),
        st.sampled_from([0.2, 1.0, 6.0, 30.0]),
    ),
    min_size=2,
    max_size=14,
)


def requests_of(name: str, workload: Workload, *, arrival: float) -> list[Request]:
    return [
        build(f"{name}-{index}", prompt=prompt, importance=importance, arrival=arrival, **{_time_of(build): time})
        for index, (build, prompt, importance, time) in enumerate(workload)
    ]


def _time_of(build: object) -> str:
    return "ttft" if build is a_request else "ttlt"


class WatchedReplica(FakeReplica):
    """Holds every plan of `niyama` to what the rule promises."""

    def plan(self) -> IterationPlan:
        rate, now = self.planner.rates.prefill_rate, self.now
        waiting = {live.request.request_id: live for live in self.planner._backlog.waiting}  # type: ignore[attr-defined]
        important = [live for live in waiting.values() if live.is_important]
        remaining = {name: live.prefill_remaining for name, live in waiting.items()}
        untouched = {name for name, live in waiting.items() if live.is_untouched}
        plan = super().plan()
        given_up = {waiting[name] for name in plan.relegated if waiting[name].is_important}
        for live in given_up:
            assert now + remaining[live.request.request_id] / rate > live.prefill_due, "it could have been on time"
        demand = DemandCurve()
        for live in important:
            if live not in given_up:
                demand.add(live, remaining[live.request.request_id])
        for chunk in plan.chunks:
            live = waiting.get(chunk.request_id)
            if live is not None and chunk.request_id in untouched and not live.is_important and not live.relegated:
                assert demand.margin(now, rate) >= remaining[chunk.request_id] / rate, "important work is made late"
        return plan


@given(first=workloads, second=workloads, steps=st.integers(0, 20))
def test_no_important_request_is_relegated_while_a_low_one_could_be_instead(
    first: Workload, second: Workload, steps: int
) -> None:
    replica = WatchedReplica(a_planner("niyama"))
    for request in requests_of("first", first, arrival=0.0):
        replica.submit(request, true_output=3)
    for _ in range(steps):
        replica.step()
    for request in requests_of("second", second, arrival=replica.now):
        replica.submit(request, true_output=3)
    replica.run_until_idle()


@pytest.mark.parametrize("policy", ["niyama", "qoserve"])
def test_at_twice_the_capacity_the_important_are_on_time_and_the_others_finish(policy: str) -> None:
    replica = FakeReplica(a_planner(policy))
    for index in range(100):
        importance = LOW if index % 5 < 3 else Importance.HIGH
        replica.submit(a_request(f"{importance.value}-{index}", ttft=6.0, prompt=1000, importance=importance), 5)
    replica.run_until_idle()
    late = [name for name, account in replica.done.items() if account.token_times[0] > 6.0]
    # The demand is served to the last token in time, so one at its end may be late by the error of the estimate.
    assert sum(name.startswith("high") for name in late) <= 1
    assert sum(name.startswith("low") for name in late) >= 40
    assert len(replica.done) == 100


def test_the_relegated_are_served_important_first_and_begun_before_all() -> None:
    planner = a_planner(max_token_budget=2552)
    planner.admit(a_request("begun", prompt=5000, arrival=3.0, importance=LOW, relegated=True))
    planner.record(planner.plan(3.0, kv_free_tokens=100_000).executed(0.1), 3.1)
    planner.admit(a_request("low", prompt=10, arrival=0.0, importance=LOW, relegated=True))
    planner.admit(a_request("later", prompt=10, arrival=2.0, relegated=True))
    planner.admit(a_request("earlier", prompt=10, arrival=1.0, relegated=True))
    served = [chunk.request_id for chunk in planner.plan(3.1, kv_free_tokens=90_000).chunks]
    assert served == ["begun", "earlier", "later", "low"]
