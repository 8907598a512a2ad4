"""What holds of a planner whatever the workload: found by hypothesis, on a replica that checks every step."""

from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st
from niyama_core.policies import POLICIES
from niyama_core.request import Request
from niyama_core.slo import Importance

from tests.builders import a_batch_request, a_planner, a_request
from tests.core.fake_replica import FakeReplica

KV_TOKENS = 600


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request, how long its answer will be, and before which step it comes."""

    request: Request
    true_output: int
    step: int


@st.composite
def an_arrival(draw: st.DrawFn) -> Arrival:
    output = draw(st.integers(1, 30))
    build = draw(
        st.sampled_from(
            [
                lambda **known: a_request(ttft=draw(st.sampled_from([0.05, 0.5, 6.0])), **known),
                lambda **known: a_batch_request(ttlt=draw(st.sampled_from([0.2, 2.0, 60.0])), **known),
            ]
        )
    )
    request = build(
        prompt=draw(st.integers(1, 500)),
        max_output=100,
        importance=draw(st.sampled_from(Importance)),
        relegated=draw(st.sampled_from([False, False, False, True])),
    )
    return Arrival(request, output, draw(st.integers(0, 40)))


workloads = st.lists(an_arrival(), min_size=1, max_size=10)
policies = st.sampled_from(sorted(POLICIES))


def named(workload: list[Arrival]) -> list[Arrival]:
    return [replace(a, request=replace(a.request, request_id=f"r{i}")) for i, a in enumerate(workload)]


def drive(replica: FakeReplica, workload: list[Arrival]) -> None:
    """Submit each request before its step, then run until nothing is left."""
    waiting = sorted(named(workload), key=lambda arrival: arrival.step)
    step = 0
    while waiting:
        while waiting and (waiting[0].step <= step or not replica.live):
            arrival = waiting.pop(0)
            replica.submit(replace(arrival.request, arrival=replica.now), arrival.true_output)
        replica.step()
        step += 1
    replica.run_until_idle(max_steps=5000)


@given(workload=workloads, policy=policies)
def test_every_admitted_request_finishes_when_arrivals_stop(workload: list[Arrival], policy: str) -> None:
    replica = FakeReplica(a_planner(policy, max_num_seqs=4), kv_tokens=KV_TOKENS)
    drive(replica, workload)
    assert {i: account.emitted for i, account in replica.done.items()} == {
        a.request.request_id: a.true_output for a in named(workload)
    }
