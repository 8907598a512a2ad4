"""What routers said last: kept over one question in vain, given up when nobody answers for a while."""

from niyama_operator.observation import RouterView
from niyama_operator.router_views import RouterViews
from niyama_operator.work_queue import Key
from niyama_runtime.clock import VirtualClock

from tests.operator.builders import a_router, an_observation

KEY = Key("models", "llama")


async def test_nobody_is_said_to_be_silent_before_a_while_has_passed() -> None:
    clock = VirtualClock()
    views = RouterViews(clock)
    views.learn(KEY, an_observation(a_router()))
    views.learn(KEY, an_observation())
    assert not await views.refresh(KEY)
    assert views.latest(KEY) is None
    await clock.run(20.0)
    assert await views.refresh(KEY)
    assert views.latest(KEY) == RouterView()
    assert not await views.refresh(KEY)


async def test_a_cluster_that_is_gone_is_forgotten() -> None:
    views = RouterViews(VirtualClock())
    views.learn(KEY, an_observation())
    await views.refresh(KEY)
    views.forget(KEY)
    assert views.keys() == []
