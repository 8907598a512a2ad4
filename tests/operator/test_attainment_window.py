"""Figures of the last minutes, from counters that begin anew whenever a router does."""

from niyama_operator.attainment_window import AttainmentWindow, Counts
from niyama_operator.observation import ClassFigures


def test_what_was_counted_before_the_first_look_is_not_counted() -> None:
    window = AttainmentWindow(60)
    window.see("r", {"chat": Counts(100, 90)}, now=0)
    assert window.figures(["chat"], now=0) == [ClassFigures("chat", 0, 0)]
    window.see("r", {"chat": Counts(110, 99)}, now=10)
    assert window.figures(["chat"], now=10) == [ClassFigures("chat", 10, 9)]


def test_what_is_older_than_the_window_is_forgotten() -> None:
    window = AttainmentWindow(60)
    for now, counted in ((0, 0), (10, 5), (60, 9)):
        window.see("r", {"chat": Counts(counted, counted)}, now=now)
    assert window.figures(["chat"], now=71)[0].num_requests == 4


def test_a_router_that_started_anew_counts_from_nothing() -> None:
    window = AttainmentWindow(60)
    window.see("r", {"chat": Counts(100, 100)}, now=0)
    window.see("r", {"chat": Counts(3, 2)}, now=10)
    assert window.figures(["chat"], now=10) == [ClassFigures("chat", 3, 2)]


def test_routers_are_added_up() -> None:
    window = AttainmentWindow(60)
    for now, counted in ((0, 0), (10, 2)):
        window.see("a", {"chat": Counts(counted, counted)}, now=now)
        window.see("b", {"chat": Counts(counted, 0)}, now=now)
    (figures,) = window.figures(["chat"], now=10)
    assert (figures.num_requests, figures.attainment) == (4, 0.5)
