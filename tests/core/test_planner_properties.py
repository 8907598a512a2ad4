"""What holds of a planner whatever the workload: found by hypothesis, on a replica that checks every step."""

from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st
from niyama_core.policies import POLICIES
from niyama_core.request import Request

from tests.builders import a_planner
from tests.core.fake_replica import FakeReplica
from tests.core.workloads import MAX_OUTPUT_TOKENS, expect_short_answers, requests

KV_TOKENS = 600


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request, how long its answer will be, and before which step it comes."""

    request: Request
    true_output: int
    step: int


arrivals = st.builds(Arrival, requests(), st.integers(1, MAX_OUTPUT_TOKENS), st.integers(0, 40))
workloads = st.lists(arrivals, min_size=1, max_size=10)
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
    replica.run_until_idle(max_steps=20_000)


@given(workload=workloads, policy=policies, misleading=st.booleans())
def test_every_admitted_request_finishes_when_arrivals_stop(
    workload: list[Arrival], policy: str, misleading: bool
) -> None:
    replica = FakeReplica(a_planner(policy, max_num_seqs=4), kv_tokens=KV_TOKENS)
    if misleading:
        expect_short_answers(replica)
    drive(replica, workload)
    for arrival in named(workload):
        assert replica.done[arrival.request.request_id].emitted == arrival.true_output
