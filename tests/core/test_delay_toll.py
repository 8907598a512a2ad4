"""The order of `niyama`: by due time when few wait, the shorter first the more do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from niyama_core.backlog import Backlog
from niyama_core.delay_toll import DelayToll
from niyama_core.planner import IterationPlanner
from niyama_core.policies import SchedulerSettings, build_policy
from niyama_core.prompt_lengths import PromptLengths
from niyama_core.request import LiveRequest
from niyama_core.slo import Importance

from tests.builders import A100, a_batch_request, a_live_request, a_planner, a_request
from tests.core.fake_replica import FakeReplica

RATE = 8000.0
LOW = Importance.LOW


def tolls(num_important: int, num_low: int = 0) -> DelayToll:
    return DelayToll().reckoned(num_important, num_low, seconds_per_token=1 / RATE, lengths=PromptLengths())


def long_and_urgent() -> LiveRequest:
    return a_live_request(a_batch_request("long", ttlt=600.0, prompt=6000))


def short_and_patient() -> LiveRequest:
    return a_live_request(a_batch_request("short", ttlt=660.0, prompt=1000))


def is_first(one: LiveRequest, other: LiveRequest, order: DelayToll) -> bool:
    return order.key(one) < order.key(other)


def test_when_few_wait_who_is_due_first_is_served_first() -> None:
    assert is_first(long_and_urgent(), short_and_patient(), tolls(5))


def test_when_many_wait_the_shorter_prompt_is_served_first() -> None:
    assert is_first(short_and_patient(), long_and_urgent(), tolls(1000))


def test_a_token_puts_a_request_off_by_an_eighth_of_the_time_that_it_costs_those_who_wait() -> None:
    live = a_live_request(a_request(prompt=1600))
    assert tolls(400).key(live) - live.prefill_due == pytest.approx(400 * 1600 / RATE / 8)


def test_low_importance_pays_for_those_it_delays_and_the_important_only_for_their_like() -> None:
    low, important = (a_live_request(a_request(prompt=1000, importance=one)) for one in (LOW, Importance.HIGH))
    few, many = tolls(100), tolls(100, num_low=500)
    assert many.key(important) == few.key(important)
    assert many.key(low) > few.key(low) > few.key(important)


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.integers(1, 20_000), st.integers(1, 20_000))
def test_of_two_that_are_due_together_the_shorter_never_waits_for_the_longer(
    num_important: int, num_low: int, shorter: int, longer: int
) -> None:
    shorter, longer = sorted((shorter, longer))
    order = tolls(num_important, num_low)
    short, long = (a_live_request(a_request(prompt=prompt)) for prompt in (shorter, longer))
    assert order.key(short) <= order.key(long)


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_tolls_fit_those_that_they_were_reckoned_for_and_not_twice_as_many(num_important: int, num_low: int) -> None:
    order = tolls(num_important, num_low)
    assert order.fits(num_important, num_low)
    assert not order.fits(2 * num_important + 5, num_low)
    assert not order.fits(num_important, 2 * num_low + 5)


def test_the_queue_is_put_in_order_anew_as_it_grows_and_as_it_empties() -> None:
    backlog = Backlog(DelayToll())
    crowd = [a_live_request(a_batch_request(f"r{i}", ttlt=10_000.0, prompt=2000), turn=i) for i in range(1000)]
    for live in (long_and_urgent(), short_and_patient()):
        backlog.put(live)

    def head() -> str:
        backlog.adapt(RATE)
        live = backlog.next()
        assert live is not None
        return live.request.request_id

    assert head() == "long"
    for live in crowd:
        backlog.put(live)
    assert head() == "short"
    for live in crowd:
        backlog.remove(live)
    assert head() == "long"


def missed_by_length(fairness: float | None) -> dict[int, float]:
    """Keep a replica at twice its capacity for a while; return the share that is late, by length of prompt."""
    settings = SchedulerSettings("niyama", fairness=fairness)
    replica = FakeReplica(IterationPlanner(build_policy(settings, A100.predictor), A100.predictor), kv_tokens=400_000)
    prompts = [500, 8000, 1000, 4000, 2000, 500, 1000, 3000] * 100
    gap = sum(prompts) / len(prompts) / 20_000
    for index, prompt in enumerate(prompts):
        while replica.live and replica.now < index * gap:
            replica.step()
        replica.now = max(replica.now, index * gap)
        replica.submit(a_request(f"{prompt} {index}", ttft=20.0, arrival=replica.now, prompt=prompt), true_output=2)
    replica.run_until_idle()
    late: dict[int, list[bool]] = {}
    for name, account in replica.done.items():
        late.setdefault(int(name.split()[0]), []).append(account.token_times[0] > account.request.arrival + 20.0)
    return {0: sum(map(sum, late.values())) / len(prompts)} | {one: sum(all_) / len(all_) for one, all_ in late.items()}


def test_with_fairness_two_the_longest_miss_at_most_about_twice_as_often_as_the_mean() -> None:
    as_it_comes, fair = missed_by_length(None), missed_by_length(2.0)
    assert as_it_comes[8000] > 3 * as_it_comes[0]
    assert fair[8000] < 2.4 * fair[0]
    assert fair[0] > as_it_comes[0]


def on_time(policy_alpha: float | None, prompts: list[int]) -> int:
    """Serve prompts that all come at once, half as much again as can be on time; return how many are."""
    replica = FakeReplica(a_planner("niyama", alpha=policy_alpha), kv_tokens=400_000)
    for index, prompt in enumerate(prompts):
        replica.submit(a_request(f"r{index}", ttft=12.0, prompt=prompt), true_output=2)
    replica.run_until_idle()
    assert len(replica.done) == len(prompts)
    return sum(account.token_times[0] <= 12.0 for account in replica.done.values())


def test_under_overload_more_promises_are_kept_than_by_due_time_alone() -> None:
    prompts = [500, 6000, 1000, 4000, 2000] * 12
    assert on_time(None, prompts) > on_time(0.0, prompts) + 5
