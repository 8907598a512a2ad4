"""Random requests that fit a small replica, for hypothesis."""

from hypothesis import strategies as st
from niyama_core.request import Request
from niyama_core.slo import Importance

from tests.builders import a_batch_request, a_request
from tests.core.fake_replica import FakeReplica

MAX_PROMPT_TOKENS = 350
MAX_OUTPUT_TOKENS = 250


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """Draw a request of any kind, some hopeless from the start, some given up by the router already."""
    prompt = draw(st.integers(1, MAX_PROMPT_TOKENS))
    importance = draw(st.sampled_from(Importance))
    relegated = draw(st.sampled_from([False, False, False, True]))
    if draw(st.booleans()):
        return a_request(
            ttft=draw(st.sampled_from([0.05, 0.5, 6.0])),
            prompt=prompt,
            max_output=MAX_OUTPUT_TOKENS,
            importance=importance,
            relegated=relegated,
        )
    return a_batch_request(
        ttlt=draw(st.sampled_from([0.2, 2.0, 60.0])),
        prompt=prompt,
        max_output=MAX_OUTPUT_TOKENS,
        importance=importance,
        relegated=relegated,
    )


def expect_short_answers(replica: FakeReplica) -> None:
    """Let every class have a history of answers of one token, so that too much begins and memory runs out."""
    for index in range(8):
        replica.submit(a_request(f"early {index}", prompt=1, max_output=1), true_output=1)
        replica.submit(a_batch_request(f"early job {index}", prompt=1, max_output=1), true_output=1)
    replica.run_until_idle()
