"""How a promise is found: sources in order, classes, bounds, and everything that contradicts them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from niyama_core.promise import CUSTOM_CLASS, InvalidQosError, QosAsk, merge_asks, resolve_promise
from niyama_core.slo import Batch, Bounds, Importance, Interactive, OnOverload, QosClass, QosClasses, Slo

CHAT = QosClass("chat", Interactive(ttft=6.0, tbt=0.05))
FAST = QosClass("fast", Interactive(ttft=1.0, tbt=0.03), bounds=Bounds(tightest=1.0, loosest=2.0))
JOB = QosClass("job", Batch(ttlt=600.0), Importance.LOW, OnOverload.QUEUE)
NIGHT = QosClass("night", Batch(ttlt=36000.0))


def classes(*members: QosClass, default: str | None = None) -> QosClasses:
    return QosClasses({member.name: member for member in members}, default or members[0].name)


ALL = classes(CHAT, FAST, JOB, NIGHT)


def violated(ask: QosAsk, among: QosClasses = ALL) -> dict[str, str]:
    with pytest.raises(InvalidQosError) as caught:
        resolve_promise(ask, among)
    return {violation.field: violation.description for violation in caught.value.violations}


@pytest.mark.parametrize(
    ("ask", "qos_class", "slo"),
    [
        (QosAsk(), "chat", Interactive(6.0, 0.05)),
        (QosAsk("job"), "job", Batch(600.0)),
        (QosAsk("chat", ttft=3.0), "chat", Interactive(3.0, 0.05)),
        (QosAsk("chat", tbt=0.1), "chat", Interactive(6.0, 0.1)),
        (QosAsk("chat", ttft=60.0, tbt=0.5), "chat", Interactive(60.0, 0.5)),
        (QosAsk("job", ttlt=300.0), "job", Batch(300.0)),
        (QosAsk(ttft=4.0), "chat", Interactive(4.0, 0.05)),
        (QosAsk(ttft=4.0, tbt=0.06), "chat", Interactive(4.0, 0.06)),
        (QosAsk(ttlt=700.0), "job", Batch(700.0)),
        (QosAsk(ttlt=30000.0), "night", Batch(30000.0)),
    ],
)
def test_a_promise_is_that_of_its_class_with_the_values_put_in(ask: QosAsk, qos_class: str, slo: Slo) -> None:
    promise = resolve_promise(ask, ALL)
    assert (promise.qos_class, promise.slo) == (qos_class, slo)


def test_importance_and_what_happens_on_overload_come_from_the_class() -> None:
    promise = resolve_promise(QosAsk("job"), ALL)
    assert (promise.importance, promise.on_overload) == (Importance.LOW, OnOverload.QUEUE)


def test_importance_may_be_asked_for() -> None:
    assert resolve_promise(QosAsk("job", importance=Importance.HIGH), ALL).importance is Importance.HIGH


@pytest.mark.parametrize(
    ("ask", "fields"),
    [
        (QosAsk("gold"), {"qos.qos_class"}),
        (QosAsk(""), {"qos.qos_class"}),
        (QosAsk(ttft=0.0), {"qos.ttft"}),
        (QosAsk(ttft=-1.0), {"qos.ttft"}),
        (QosAsk(ttft=math.nan), {"qos.ttft"}),
        (QosAsk(ttft=math.inf), {"qos.ttft"}),
        (QosAsk(ttlt=1e9), {"qos.ttlt"}),
        (QosAsk(tbt=0.1), {"qos.tbt"}),
        (QosAsk(ttft=1.0, ttlt=5.0), {"qos.ttlt"}),
        (QosAsk("chat", tbt=0.1, ttlt=5.0), {"qos.ttlt"}),
        (QosAsk("chat", ttlt=600.0), {"qos.ttlt"}),
        (QosAsk("job", ttft=6.0), {"qos.ttft"}),
        (QosAsk("job", tbt=0.05), {"qos.tbt"}),
        (QosAsk("chat", ttft=2.9), {"qos.ttft"}),
        (QosAsk("chat", ttft=61.0), {"qos.ttft"}),
        (QosAsk("chat", ttft=1.0, tbt=9.0), {"qos.ttft", "qos.tbt"}),
        (QosAsk("fast", ttft=0.9), {"qos.ttft"}),
        (QosAsk("gold", ttft=-1.0), {"qos.qos_class", "qos.ttft"}),
        (QosAsk("gold", ttft=1.0, ttlt=5.0), {"qos.qos_class", "qos.ttlt"}),
    ],
)
def test_what_cannot_be_promised_is_named_field_by_field(ask: QosAsk, fields: set[str]) -> None:
    assert set(violated(ask)) == fields


def test_an_unknown_class_is_answered_with_those_that_are_known() -> None:
    assert "chat, fast, job, night" in violated(QosAsk("gold"))["qos.qos_class"]


def test_a_value_out_of_bounds_is_answered_with_the_bounds() -> None:
    assert "3s to 60s" in violated(QosAsk("chat", ttft=1.0))["qos.ttft"]


def test_where_no_class_is_of_the_kind_asked_for_a_custom_promise_is_made() -> None:
    promise = resolve_promise(QosAsk(ttlt=5.0), classes(CHAT))
    assert (promise.qos_class, promise.slo) == (CUSTOM_CLASS, Batch(5.0))
    assert resolve_promise(QosAsk(ttft=5.0), classes(JOB)).slo == Interactive(5.0, 0.1)


def test_a_class_that_is_called_custom_keeps_its_bounds() -> None:
    named_custom = QosClass(CUSTOM_CLASS, Interactive(6.0, 0.05))
    assert set(violated(QosAsk(CUSTOM_CLASS, ttft=0.001), classes(named_custom))) == {"qos.ttft"}


def test_each_field_is_taken_from_the_first_source_that_says_it() -> None:
    message, metadata = QosAsk(ttft=4.0), QosAsk("chat", ttft=5.0, tbt=0.06, importance=Importance.LOW)
    assert merge_asks([message, metadata]) == QosAsk("chat", 4.0, 0.06, None, Importance.LOW)


def test_no_source_asks_for_nothing() -> None:
    assert merge_asks([]) == QosAsk()


times = st.none() | st.floats(allow_nan=True, allow_infinity=True) | st.floats(0.001, 40000.0)
asks = st.builds(
    QosAsk,
    st.none() | st.sampled_from(["chat", "fast", "job", "night", "gold"]),
    times,
    times,
    times,
    st.none() | st.sampled_from(Importance),
)


def within(asked: float, own: float, bounds: Bounds) -> bool:
    return own * bounds.tightest * 0.999 <= asked <= own * bounds.loosest * 1.001


@given(asks)
def test_whatever_is_asked_the_promise_keeps_the_bounds_of_its_class_or_is_refused(ask: QosAsk) -> None:
    try:
        promise = resolve_promise(ask, ALL)
    except InvalidQosError:
        return
    qos_class = ALL.by_name[promise.qos_class]
    match promise.slo, qos_class.slo:
        case Interactive(ttft, tbt), Interactive(own_ttft, own_tbt):
            assert within(ttft, own_ttft, qos_class.bounds)
            assert within(tbt, own_tbt, qos_class.bounds)
        case Batch(ttlt), Batch(own_ttlt):
            assert within(ttlt, own_ttlt, qos_class.bounds)
        case _:
            pytest.fail("the promise is of another kind than its class")


@given(st.lists(asks, max_size=4))
def test_merging_takes_nothing_that_no_source_said(sources: list[QosAsk]) -> None:
    merged = merge_asks(sources)
    for field in ("qos_class", "ttft", "tbt", "ttlt", "importance"):
        said = [getattr(source, field) for source in sources if getattr(source, field) is not None]
        assert getattr(merged, field) is (said[0] if said else None)
