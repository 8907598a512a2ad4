"""Promises and classes."""

from niyama_core.slo import Batch, Importance, Interactive, QosClass, QosClasses, default_classes


def test_a_class_promises_what_it_says() -> None:
    nightly = QosClass("nightly", Batch(ttlt=1800.0), Importance.LOW)
    promise = nightly.promise()
    assert (promise.qos_class, promise.slo, promise.importance) == ("nightly", Batch(1800.0), Importance.LOW)


def test_without_a_manifest_the_classes_are_the_published_ones() -> None:
    classes = default_classes()
    assert [c.name for c in classes] == ["chat", "summarise", "nightly"]
    assert classes.by_name[classes.default].slo == Interactive(ttft=6.0, tbt=0.05)


def test_the_strictest_and_the_loosest_class_are_found_among_their_kind() -> None:
    patient, quick = QosClass("patient", Interactive(9.0, 0.1)), QosClass("quick", Interactive(1.0, 0.1))
    soon, tonight = QosClass("soon", Batch(0.5)), QosClass("tonight", Batch(36_000.0))
    classes = QosClasses({c.name: c for c in (patient, soon, quick, tonight)}, default="quick")
    assert classes.strictest_interactive() == quick
    assert classes.loosest_batch() == tonight


def test_a_cluster_may_lack_one_kind() -> None:
    only_batch = QosClasses({"soon": QosClass("soon", Batch(5.0))}, default="soon")
    assert only_batch.strictest_interactive() is None
    assert QosClasses({}, default="").loosest_batch() is None
