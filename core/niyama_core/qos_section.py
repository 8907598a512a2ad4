"""The `qosClasses` and `scheduler` sections, as manifests and role configurations share them."""

import math
import re

from niyama_core.manifest_reader import ManifestReader
from niyama_core.policies import POLICIES, SchedulerSettings, is_calibrated
from niyama_core.slo import (
    Batch,
    Bounds,
    Importance,
    Interactive,
    OnOverload,
    QosClass,
    QosClasses,
    Slo,
    default_classes,
)

__all__ = ["classes_document", "read_classes", "read_scheduler", "scheduler_document"]

_MAX_CLASSES = 32
# What may travel in metadata, and be the value of a label.
_NAME = re.compile(r"[A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?")


def read_classes(reader: ManifestReader, key: str = "qosClasses") -> QosClasses:
    """Read the classes; a sensible set when there are none."""
    if key not in reader:
        return default_classes()
    classes: dict[str, QosClass] = {}
    defaults: list[str] = []
    for section in reader.sections(key):
        qos_class = _read_class(section)
        if section.flag("default", False):
            defaults.append(qos_class.name)
        section.refuse_unknown()
        if qos_class.name in classes:
            section.problem("name", f"{qos_class.name!r} is used twice: names must differ")
        classes[qos_class.name] = qos_class
    if not classes:
        reader.problem(key, "must name at least one class, or be left out for the default classes")
        return default_classes()
    if len(classes) > _MAX_CLASSES:
        reader.problem(key, f"has {len(classes)} classes: at most {_MAX_CLASSES}")
    if len(defaults) > 1:
        reader.problem(key, f"has {len(defaults)} default classes ({', '.join(defaults)}): mark one")
    return QosClasses(classes, defaults[0] if defaults else next(iter(classes)))


def _read_class(section: ManifestReader) -> QosClass:
    name = section.text("name")
    if name and not _NAME.fullmatch(name):
        fix = "letters, digits, dashes, dots and underscores, a letter or digit at both ends, at most 63"
        section.problem("name", f"{name[:80]!r} is no name: use {fix}")
    slo = _read_slo(section)
    importance = section.choice("importance", Importance.HIGH)
    on_overload = section.choice("onOverload", OnOverload.RELEGATE)
    bounds = _read_bounds(section.section("bounds"))
    return QosClass(name, slo, importance, on_overload, bounds)


def _read_slo(section: ManifestReader) -> Slo:
    interactive, batch = "interactive" in section, "batch" in section
    if interactive == batch:
        section.problem("interactive", "or batch: give exactly one of the two, for example {interactive: {ttft: 6s}}")
        return Interactive(ttft=math.nan, tbt=math.nan)
    times = section.section("batch" if batch else "interactive")
    slo = Batch(times.duration("ttlt")) if batch else Interactive(times.duration("ttft"), times.duration("tbt", 0.1))
    times.refuse_unknown()
    return slo


def _read_bounds(section: ManifestReader) -> Bounds:
    bounds = Bounds(
        tightest=section.number("tightest", Bounds().tightest, least=0.001, most=1.0),
        loosest=section.number("loosest", Bounds().loosest, least=1.0, most=1000.0),
    )
    section.refuse_unknown()
    return bounds


def read_scheduler(section: ManifestReader) -> SchedulerSettings:
    """Read the scheduler's settings."""
    defaults = SchedulerSettings()
    policy = section.text("policy", defaults.policy)
    if policy not in POLICIES:
        section.problem("policy", f"{policy!r} is unknown: choose one of {', '.join(POLICIES)}")
    alpha = section.number("alpha", 0.0, least=0.0, most=10.0) if "alpha" in section else None
    calibrated = section.flag("calibrated", True) if "calibrated" in section else None
    quantile = section.number("marginQuantile", 0.0, least=0.5, most=0.9999) if "marginQuantile" in section else None
    most_tokens = section.integer("maxTokenBudget", 8192, least=16, most=65536) if "maxTokenBudget" in section else None
    fairness = section.number("fairness", 2.0, least=1.0, most=1000.0) if "fairness" in section else None
    settings = SchedulerSettings(
        policy=policy,
        alpha=alpha,
        safety=section.number("safety", defaults.safety, least=0.5, most=10.0),
        token_budget=section.integer("tokenBudget", defaults.token_budget, least=16, most=65536),
        max_num_seqs=section.integer("maxNumSeqs", defaults.max_num_seqs, least=1, most=100_000),
        calibrated=calibrated,
        margin_quantile=quantile,
        max_token_budget=most_tokens,
        fairness=fairness,
    )
    if quantile is not None and not is_calibrated(settings):
        section.problem("marginQuantile", "is measured by a calibrated predictor only: add calibrated: true")
    section.refuse_unknown()
    return settings


def classes_document(classes: QosClasses) -> list[dict[str, object]]:
    """Return the classes as the `qosClasses` section that `read_classes` reads."""
    return [_class_document(qos_class, is_default=qos_class.name == classes.default) for qos_class in classes]


def _class_document(qos_class: QosClass, *, is_default: bool) -> dict[str, object]:
    return {
        "name": qos_class.name,
        **_slo_document(qos_class.slo),
        "importance": qos_class.importance.value,
        "onOverload": qos_class.on_overload.value,
        "bounds": {"tightest": qos_class.bounds.tightest, "loosest": qos_class.bounds.loosest},
        "default": is_default,
    }


def _slo_document(slo: Slo) -> dict[str, object]:
    match slo:
        case Interactive(ttft=ttft, tbt=tbt):
            return {"interactive": {"ttft": _exact_duration(ttft), "tbt": _exact_duration(tbt)}}
        case Batch(ttlt=ttlt):
            return {"batch": {"ttlt": _exact_duration(ttlt)}}


def scheduler_document(settings: SchedulerSettings) -> dict[str, object]:
    """Return the settings as the `scheduler` section that `read_scheduler` reads."""
    document: dict[str, object] = {
        "policy": settings.policy,
        "safety": settings.safety,
        "tokenBudget": settings.token_budget,
        "maxNumSeqs": settings.max_num_seqs,
    }
    if settings.alpha is not None:
        document["alpha"] = settings.alpha
    if settings.margin_quantile is not None:
        document["marginQuantile"] = settings.margin_quantile
    if settings.calibrated is not None:
        document["calibrated"] = settings.calibrated
    if settings.max_token_budget is not None:
        document["maxTokenBudget"] = settings.max_token_budget
    if settings.fairness is not None:
        document["fairness"] = settings.fairness
    return document


def _exact_duration(seconds: float) -> str:
    """Return a duration that reads back as the same seconds, to the nanosecond."""
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"
