"""The published setting: classes, traffic and the cluster that every table starts from, and how long runs are."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from niyama_core.profiles import PROFILES
from niyama_core.slo import Batch, Interactive, QosClass, QosClasses
from niyama_eval.arrivals import Arrivals, Poisson
from niyama_eval.goodput import run_length
from niyama_eval.settings import WorkloadSettings
from niyama_sim.settings import SimulationSettings

__all__ = ["FULL", "PROFILE", "QUICK", "TITLES", "Extent", "cluster", "published_classes", "traffic"]

PROFILE = "a100-llama3-8b-published"
_NOISE = 0.05
_CONTEXT = 16_384

TITLES: Mapping[str, str] = MappingProxyType(
    {"azure-code-2024": "Azure Code", "azure-conv-2024": "Azure Conv", "sharegpt": "ShareGPT"}
)
"""The workloads of the published tables, and what they are called there."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is simulated.

    Attributes:
        share: runs have so many times fewer requests than the published ones.
        most_seeds: the most seeds of a figure.
        resolution: one step of the rates that a search tries.
    """

    share: int = 1
    most_seeds: int = 3
    resolution: float = 0.01

    def requests(self, num: int) -> int:
        """Return how many requests a run has that has `num` at full length."""
        return max(num // self.share, 200)

    def seeds(self, num: int) -> tuple[int, ...]:
        """Return the seeds of a figure that has `num` at full length."""
        return tuple(range(1, min(num, self.most_seeds) + 1))


FULL = Extent()
QUICK = Extent(share=60, most_seeds=1, resolution=0.1)
"""Shows that everything works; runs so short flatter every policy."""


def published_classes(workload: str = "") -> QosClasses:
    """Return the published classes, all important; answers of ShareGPT are promised 55 ms a token."""
    three = (
        QosClass("Q1", Interactive(ttft=6.0, tbt=0.055 if workload == "sharegpt" else 0.05)),
        QosClass("Q2", Batch(ttlt=600.0)),
        QosClass("Q3", Batch(ttlt=1800.0)),
    )
    return QosClasses({one.name: one for one in three}, default="Q1")


def cluster(
    workload: str, *, profile: str = PROFILE, replicas: int = 1, placement: str = "niyama"
) -> SimulationSettings:
    """Return the published cluster under our own policy."""
    return SimulationSettings(
        profile=PROFILES[profile],
        classes=published_classes(workload),
        noise=_NOISE,
        num_replicas=replicas,
        placement=placement,
    )


def traffic(
    workload: str,
    *,
    qps: float | None = 1.0,
    num_requests: int | None = None,
    arrivals: Arrivals = Poisson(gap_cap=8.0),  # noqa: B008
    mix: tuple[float, ...] | None = None,
    low_importance: float | None = None,
) -> WorkloadSettings:
    """Return the published traffic; as many requests as its published run, unless a number is given."""
    return WorkloadSettings(
        workloads=(workload,),
        arrivals=arrivals,
        qps=qps,
        num_requests=num_requests or run_length([workload]),
        mix=mix,
        low_importance=low_importance,
        context_tokens=_CONTEXT,
    )
