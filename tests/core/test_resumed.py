"""An answer that goes on here after it began elsewhere."""

from dataclasses import replace

from niyama_core.request import LiveRequest

from tests.builders import a_planner, a_request

RESUMED = replace(a_request("resumed", prompt=1100, arrival=0.0), next_due=30.0)
"""Its first token was due long ago; its next one is due at 30 s."""


def live() -> LiveRequest:
    return LiveRequest(RESUMED, 100, 1.0)


def test_it_is_urgent_by_its_next_token_and_not_by_its_first() -> None:
    assert live().prefill_due == 30.0


def test_it_is_never_untouched_so_nobody_puts_it_off_or_moves_it() -> None:
    assert not live().is_untouched
    planner = a_planner()
    planner.admit(RESUMED)
    plan = planner.plan(29.999, 400_000)
    assert plan.relegated == ()
    assert [chunk.request_id for chunk in plan.chunks] == ["resumed"]
    assert planner.unstarted() == ()


def test_its_clock_runs_on_however_late_the_prefill_is() -> None:
    one = live()
    assert one.advance_prefill(1100, 31.0)
    assert one.tbt is not None
    assert one.next_due == 30.0 + one.tbt
    one.advance_decode()
    assert one.next_due == 30.0 + 2 * one.tbt
