"""Which classes a load asks for, and what is learnt of them."""

from dataclasses import replace

import pytest
from niyama_cli.bench_classes import choose_classes, with_learnt_promises
from niyama_cli.errors import CommandError
from niyama_core.slo import Importance, Interactive, Promise, default_classes
from niyama_eval.errors import WorkloadError
from niyama_eval.outcomes import OutcomeState, RequestOutcome
from niyama_eval.workloads import WorkloadRequest

SERVED = ["chat", "nightly"]


def test_all_classes_of_the_cluster_weigh_alike_unless_said() -> None:
    shares = choose_classes((), declared=None, served=SERVED, mix=None)
    assert (list(shares.classes.by_name), shares.mix) == (SERVED, None)
    assert choose_classes((), declared=None, served=SERVED, mix="2:1").mix == (2.0, 1.0)


def test_a_manifest_says_what_its_classes_promise() -> None:
    shares = choose_classes((), declared=default_classes(), served=SERVED, mix=None)
    assert shares.classes == default_classes()


def test_classes_may_be_chosen_and_weighed() -> None:
    shares = choose_classes(("nightly", "chat:3"), declared=None, served=SERVED, mix=None)
    assert (list(shares.classes.by_name), shares.mix) == (["nightly", "chat"], (1.0, 3.0))


@pytest.mark.parametrize("wanted", ["gold", ":1", "chat:0", "chat:-1", "chat:x", "chat:nan", "chat:inf"])
def test_a_class_or_weight_that_cannot_be_is_refused(wanted: str) -> None:
    with pytest.raises(CommandError, match="--class"):
        choose_classes((wanted,), declared=None, served=SERVED, mix=None)


def test_weights_are_given_once() -> None:
    with pytest.raises(CommandError, match="one of them"):
        choose_classes(("chat",), declared=None, served=SERVED, mix="1")
    with pytest.raises(WorkloadError):
        choose_classes((), declared=None, served=SERVED, mix="a:b")
    with pytest.raises(CommandError, match="names no classes"):
        choose_classes((), declared=None, served=(), mix=None)


def test_a_request_that_was_refused_is_told_what_its_class_promises() -> None:
    unknown = choose_classes((), declared=None, served=SERVED, mix=None).classes.by_name["nightly"].promise()
    promised = Promise("nightly", Interactive(1.0, 0.1), Importance.LOW)
    request = WorkloadRequest("r0", 0.0, 10, 10, unknown, "a")
    refused = RequestOutcome.of(request, OutcomeState.REJECTED)
    done = RequestOutcome.of(replace(request, promise=promised), OutcomeState.COMPLETED, emitted=[0.5])
    told, kept = with_learnt_promises([refused, done])
    assert (told.slo, told.importance) == (promised.slo, Importance.LOW)
    assert kept == done
    assert with_learnt_promises([refused]) == [refused]
