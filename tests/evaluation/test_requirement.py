"""How many replicas some traffic requires."""

from collections.abc import Callable, Mapping

import pytest
from niyama_eval.goodput import Point
from niyama_eval.goodput_search import SearchError
from niyama_eval.requirement import Measure, Requirement, best_splits, fewest


def driven(passes: Callable[[int], bool], *, start: int, most: int = 64) -> tuple[int, list[int]]:
    """Return what a search finds, and all that it tried."""
    search, tried = fewest(start, most=most), []
    at = next(search)
    while True:
        tried.append(at)
        try:
            at = search.send(passes(at))
        except StopIteration as end:
            return int(end.value), tried


@pytest.mark.parametrize("start", [1, 2, 7, 13, 64])
@pytest.mark.parametrize("needed", [1, 2, 3, 9, 13, 63, 64])
def test_the_fewest_are_found_from_wherever_the_search_begins(needed: int, start: int) -> None:
    found, tried = driven(lambda num: num >= needed, start=start)
    assert found == needed
    assert len(tried) == len(set(tried)) or needed in (1, 64) or len(tried) - len(set(tried)) <= 2
    assert len(tried) < 18


def test_the_neighbours_of_what_is_found_are_tried() -> None:
    _, tried = driven(lambda num: num >= 9, start=20)
    assert {7, 8, 9, 10} <= set(tried)


def test_where_no_number_passes_it_is_said() -> None:
    with pytest.raises(SearchError, match="not even 16 replicas"):
        driven(lambda num: False, start=3, most=16)


def a_point(chat: float, **others: float) -> Point:
    return Point({"chat": chat, **others}, late_tokens=0.0, backlog_growth=0.0)


def required(by_replicas: Mapping[int, tuple[float, ...]], num: int | None) -> Requirement:
    """Return what was found of the violations of each seed."""
    points = {n: {seed: a_point(share) for seed, share in enumerate(shares)} for n, shares in by_replicas.items()}
    return Requirement(num, points, Measure())


def test_a_number_passes_by_the_mean_over_the_seeds() -> None:
    found = required({3: (0.0, 0.018), 2: (0.0, 0.03)}, 3)
    assert (found.passes(3), found.passes(2), found.passes(1)) == (True, False, False)
    assert found.curve == [(2, {"chat": 0.015}), (3, {"chat": 0.009})]


@pytest.mark.parametrize(
    ("by_replicas", "words"),
    [
        ({3: (0.0, 0.0), 2: (0.5, 0.4)}, "firm: every one of 2 seeds passes, none does with 2"),
        ({3: (0.0, 0.018), 2: (0.5, 0.4)}, "on the edge: 1 of 2 seeds pass by themselves; 4 are on the safe side"),
        ({3: (0.0, 0.0), 2: (0.5, 0.0)}, "every seed passes; 1 of 2 would with 2, too"),
        ({3: (0.0,), 2: (0.5,)}, "one seed"),
        ({3: (0.0, 0.0), 2: (0.5, 0.5), 1: (0.0, 0.0)}, "not firm: 1 pass, by chance"),
        ({3: (0.0, 0.0), 4: (0.5, 0.5)}, "not firm: 4 do not pass"),
    ],
)
def test_how_firm_a_number_is_is_said_in_words(by_replicas: dict[int, tuple[float, ...]], words: str) -> None:
    assert words in required(by_replicas, 3).confidence()


def test_a_seed_can_be_so_bad_that_the_others_need_no_simulation() -> None:
    measure = Measure(max_violations=0.01)
    assert measure.is_hopeless(a_point(0.031), num_seeds=3)
    assert not measure.is_hopeless(a_point(0.029), num_seeds=3)


def test_a_stricter_promise_is_another_measure() -> None:
    assert Measure().failures(a_point(0.005)) == ()
    assert Measure(max_violations=0.001).failures(a_point(0.005)) == ("chat violates 0.50%",)
    assert Measure("strict").failures(Point({}, late_tokens=0.002, backlog_growth=0.0))


def test_the_best_split_of_a_total_is_that_whose_worst_class_is_best() -> None:
    def pool(name: str, shares: Mapping[int, float]) -> Requirement:
        points = {num: {1: Point({name: share}, 0.0, 0.0)} for num, share in shares.items()}
        return Requirement(max(shares), points, Measure())

    splits = best_splits({"chat": pool("chat", {1: 0.9, 2: 0.1, 3: 0.0}), "job": pool("job", {1: 0.2, 2: 0.0})})
    assert list(splits) == [2, 3, 4, 5]
    assert splits[3].replicas == {"chat": 2, "job": 1}
    assert splits[4].replicas == {"chat": 2, "job": 2}
    assert (splits[3].worst, splits[5].violations) == (0.2, {"chat": 0.0, "job": 0.0})
