"""The contract with vLLM's inside: a release that moves something is told by name."""

import pytest

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

vllm_internals = pytest.importorskip("niyama_agent.vllm_internals", reason="runs where vLLM is installed")


def test_this_vllm_has_all_that_is_built_on() -> None:
    vllm_internals.check_internals()


@pytest.fixture
def without_preemption(monkeypatch: pytest.MonkeyPatch) -> None:
    from vllm.v1.core.sched.scheduler import Scheduler

    monkeypatch.delattr(Scheduler, "_preempt_request")


@pytest.mark.usefixtures("without_preemption")
def test_what_a_release_has_moved_is_told_with_its_place_and_use() -> None:
    with pytest.raises(vllm_internals.VllmMovedError, match=r"Scheduler\._preempt_request \(takes KV by plan\)"):
        vllm_internals.check_internals()
