"""The same settings where things are not as they were when the policies were made: what breaks first."""

from collections.abc import Iterator
from dataclasses import replace

from niyama_core.latency import ScaledLatency
from niyama_core.policies import SchedulerSettings
from niyama_core.slo import Batch, Interactive, QosClass, QosClasses
from niyama_eval.arrivals import Diurnal
from niyama_sim.settings import SimulationSettings

from bench.results.page import LEGEND
from bench.results.runs import Column, Run, RunTable
from bench.results.setting import Extent, cluster, traffic

__all__ = ["robustness", "stale_loads"]

_CODE = "azure-code-2024"
_QPS = 3.2
_POLICIES = ("qoserve", "niyama")
_COLUMNS = (
    Column("violations", "violations, all"),
    Column("worst class", "violations, worst class"),
    Column("long prompts", "violations, long prompts"),
    Column("late tokens", "late_tokens, worst class"),
    Column("backlog grows by", "backlog growth"),
    Column("completed a second", "completed a second", "number"),
)

_LEAD = """# Robustness: where things are not as expected

One replica under Azure Code, {num:,} requests at {qps:g} a second unless it says otherwise, about a tenth below what
it carries; the same settings everywhere. *Law off by* means that policies begin with times that are so much too long
or too short; `niyama` learns the true ones, `qoserve` keeps its factor of 1.2. *Answers thought* is an error on top of
what history tells. *Flood*: two thirds of all requests are of one class. *All long*: only prompts over 6,200 tokens,
at a rate that is the same in tokens.

{legend} Made by `make results`. What it shows is in [ideas.md](ideas.md#what-breaks-first)."""

_STALE_LEAD = """# Robustness: routers that know little

Four replicas under Azure Code at 3.4 requests a second each, {num:,} requests. Loads are seen between half their age
and their whole age late; each of several routers knows of the others' requests only by the loads.

{legend} Made by `make results`."""


def _classes(*, ttft: float, tbt: float, ttlt: float) -> QosClasses:
    three = (
        QosClass("Q1", Interactive(ttft=ttft, tbt=tbt)),
        QosClass("Q2", Batch(ttlt=ttlt)),
        QosClass("Q3", Batch(ttlt=3 * ttlt)),
    )
    return QosClasses({one.name: one for one in three}, default="Q1")


def _misled(base: SimulationSettings, factor: float) -> SimulationSettings:
    """Return the cluster whose policies begin with times that are off by a factor."""
    profile = replace(base.profile, predictor=ScaledLatency(base.profile.predictor, factor))
    return replace(base, profile=profile)


def _scenes(base: SimulationSettings, num: int) -> Iterator[Run]:
    calm = traffic(_CODE, qps=_QPS, num_requests=num)
    as_it_is = Run(labels=("as it is",), cluster=base, traffic=calm)
    yield as_it_is
    for factor in (0.5, 2.0):
        yield replace(as_it_is, labels=(f"answers thought {factor:g} times as long",), length_error=factor)
    for factor in (0.8, 1.2):
        yield replace(as_it_is, labels=(f"law off by {factor:g}",), cluster=_misled(base, factor))
    yield replace(as_it_is, labels=("noise of 20 %",), cluster=replace(base, noise=0.2))
    for name, mix in (("Q1", (4.0, 1.0, 1.0)), ("Q2", (1.0, 4.0, 1.0)), ("Q3", (1.0, 1.0, 4.0))):
        yield replace(as_it_is, labels=(f"flood of {name}",), traffic=replace(calm, mix=mix))
    yield replace(as_it_is, labels=("flood of Q1, 6 a second",), traffic=replace(calm, mix=(4.0, 1.0, 1.0), qps=6.0))
    tight = _classes(ttft=2.0, tbt=0.03, ttlt=60.0)
    yield replace(as_it_is, labels=("promises of 2 s, 30 ms, 1 and 3 min",), cluster=replace(base, classes=tight))
    loose = _classes(ttft=20.0, tbt=0.2, ttlt=3600.0)
    yield replace(as_it_is, labels=("promises of 20 s, 200 ms, 1 and 3 h",), cluster=replace(base, classes=loose))
    bursts = replace(calm, arrivals=Diurnal((1.0, 10.0), 20.0), qps=_QPS)
    yield replace(as_it_is, labels=("bursts: 20 s at 10 times the rate",), traffic=bursts)
    yield replace(
        as_it_is, labels=("all long",), traffic=replace(calm, qps=0.95, num_requests=num // 3), only_long=True
    )
    overload = replace(calm, qps=4.5)
    yield replace(
        as_it_is, labels=("4.5 a second, a fifth of low importance",), traffic=replace(overload, low_importance=0.2)
    )
    yield replace(as_it_is, labels=("4.5 a second, all say they are important",), traffic=overload)


def robustness(extent: Extent) -> RunTable:
    """Return the scenes on one replica."""
    num = extent.requests(25_000)
    by_policy = [list(_scenes(cluster(_CODE).with_policy(policy), num)) for policy in _POLICIES]
    return RunTable(
        name="robustness",
        lead=_LEAD.format(num=num, qps=_QPS, legend=LEGEND),
        head=("what is different", "policy"),
        columns=(*_COLUMNS[:3], Column("important", "violations, important"), *_COLUMNS[3:]),
        runs=[
            replace(run, labels=(*run.labels, f"`{policy}`"))
            for scene in zip(*by_policy, strict=True)
            for policy, run in zip(_POLICIES, scene, strict=True)
        ],
        seeds=extent.seeds(1),
    )


def stale_loads(extent: Extent) -> RunTable:
    """Return the scenes on four replicas."""
    num = extent.requests(60_000)
    base = replace(cluster(_CODE, replicas=4), scheduler=SchedulerSettings("niyama"))
    return RunTable(
        name="robustness-loads",
        lead=_STALE_LEAD.format(num=num, legend=LEGEND),
        head=("routers", "load age"),
        columns=(*_COLUMNS, Column("moved", "moved")),
        runs=[
            Run(
                labels=(str(num_routers), f"{age:g} s" if age else "knows all"),
                cluster=replace(base, num_routers=num_routers, load_age=age),
                traffic=traffic(_CODE, qps=4 * 3.4, num_requests=num),
            )
            for num_routers, age in ((1, 0.0), (1, 0.1), (1, 1.0), (4, 0.1), (4, 1.0))
        ],
        seeds=extent.seeds(1),
    )
