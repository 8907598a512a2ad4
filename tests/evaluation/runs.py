"""Two small runs of the same requests, for the tests of what is shown of them."""

from collections.abc import Mapping, Sequence

from niyama_core.slo import Batch, Importance, Interactive, Promise
from niyama_eval.outcomes import OutcomeState, Relegation, RequestOutcome
from niyama_eval.workloads import WorkloadRequest

CHAT = Promise("chat", Interactive(ttft=1.0, tbt=0.1))
NIGHTLY = Promise("nightly", Batch(ttlt=60.0), Importance.LOW)

_FIRST = WorkloadRequest("r0", 0.0, 100, 2, CHAT, "office")
_SECOND = WorkloadRequest("r1", 1.0, 100, 2, CHAT, "office")
_THIRD = WorkloadRequest("r2", 9.0, 900, 3, NIGHTLY, "office")

RUNS: Mapping[str, Sequence[RequestOutcome]] = {
    "sarathi-fcfs": [
        RequestOutcome.of(_FIRST, OutcomeState.COMPLETED, emitted=[1.0, 1.05]),
        RequestOutcome.of(_SECOND, OutcomeState.COMPLETED, emitted=[6.0, 6.05]),
        RequestOutcome.of(_THIRD, OutcomeState.LOST),
    ],
    "niyama": [
        RequestOutcome.of(_FIRST, OutcomeState.COMPLETED, emitted=[0.5, 0.55]),
        RequestOutcome.of(_SECOND, OutcomeState.COMPLETED, emitted=[0.7, 0.75]),
        RequestOutcome.of(
            _THIRD,
            OutcomeState.COMPLETED,
            emitted=[30.0, 30.1, 30.2],
            relegation=Relegation.BEFORE_FIRST_TOKEN,
            num_moves=1,
        ),
    ],
}
