"""Thresholds of routes: what is found, and on which texts it is judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steprouter import ConfigError
from steprouter.learning.route_calibration import Calibration, Label, Share, calibrated, distinct
from steprouter.learning.route_scores import NO_ROUTE, scored, taken
from steprouter.learning.route_thresholds import Aim, between, each_threshold
from steprouter.routing.route_match import score, table_of
from steprouter.routing.routes import Aggregation, Route

CHANCE = np.random.default_rng(1)
AXES = {"red": 0, "blue": 1}
"""Each route has one example, along an axis of its own; the third axis is what neither is about."""


def route(name: str, **fields: Any) -> Route:
    return Route(**{"name": name, "examples": (f"about {name}",), "kind": "chat", "threshold": 0.7, **fields})


ROUTES = (route("red"), route("blue"))


def towards(axis: int, cosine: float) -> Any:
    """A unit vector with this cosine to an axis, the rest along the last one."""
    found = np.zeros(3, dtype=np.float32)
    found[axis], found[2] = cosine, np.sqrt(1 - cosine**2)
    return found


def texts(route: str, cosines: Sequence[float], labelled: str | None) -> list[tuple[Label, Any]]:
    """Texts that are so like a route's example, labelled with it or with another."""
    return [
        (
            Label(text=f"{route} {labelled} {cosine}", route=labelled, where=f"row {number}"),
            towards(AXES[route], cosine),
        )
        for number, cosine in enumerate(cosines)
    ]


def found(*parts: list[tuple[Label, Any]], routes: Sequence[Route] = ROUTES, **fields: Any) -> Calibration:
    labels, vectors = zip(*(one for part in parts for one in part), strict=True)
    examples = {one.name: np.array([towards(AXES[one.name], 1.0)]) for one in routes}
    return calibrated(routes, examples, labels, np.array(vectors), **fields)


def spread(low: float, high: float, count: int = 20) -> list[float]:
    return [float(one) for one in np.linspace(low, high, count)]


def thresholds(calibration: Calibration) -> dict[str, float]:
    return {one.name: one.found for one in calibration.routes}


def test_a_threshold_comes_to_lie_between_what_should_and_what_should_not_take_the_route() -> None:
    told = found(
        *(texts(name, spread(0.5, 0.65), name) for name in AXES),
        *(texts(name, spread(0.2, 0.4), None) for name in AXES),
    )
    assert all(0.4 < threshold <= 0.5 for threshold in thresholds(told).values())
    assert (told.before.recall.value, told.after.recall.value, told.after.precision.value) == (0.0, 1.0, 1.0)
    assert told.way == "one for all"
    assert told.warnings == ()


def test_routes_that_differ_in_how_like_their_texts_are_get_thresholds_of_their_own() -> None:
    told = found(
        texts("red", spread(0.8, 0.95), "red"),
        texts("red", spread(0.55, 0.7), None),
        texts("blue", spread(0.5, 0.6), "blue"),
        texts("blue", spread(0.2, 0.4), None),
    )
    assert told.way == "one for each"
    assert 0.7 < thresholds(told)["red"] <= 0.8
    assert 0.4 < thresholds(told)["blue"] <= 0.5
    assert told.after.f1 > told.before.f1


def test_where_nothing_is_better_the_thresholds_stay_as_they_are() -> None:
    told = found(*(texts(name, spread(0.75, 0.95), name) for name in AXES), texts("red", spread(0.1, 0.6), None))
    assert (told.way, told.changed, told.before) == ("as they are", {}, told.after)


def test_figures_are_of_texts_the_thresholds_were_not_found_on() -> None:
    """Labels by lot: whatever fits them is worth nothing on others, and the figures say so."""
    cosines = spread(0.3, 0.9, 80)
    lots = np.random.default_rng(5).permutation(80)
    told = found(
        texts("red", [cosines[n] for n in lots[:40]], "red"), texts("red", [cosines[n] for n in lots[40:]], None),
        texts("blue", [0.9] * 1, "blue"),
    )  # fmt: skip
    low, high = told.after.precision.interval
    assert low < 0.5 < high


def test_a_wished_precision_is_kept_while_as_many_as_can_be_take_a_route() -> None:
    parts = [
        *(texts(name, spread(0.6, 0.9, 40), name) for name in AXES),
        *(texts(name, spread(0.3, 0.7, 20), None) for name in AXES),
    ]
    sure, even = found(*parts, precision=0.95), found(*parts)
    assert (sure.after.precision.value or 0) >= 0.95 > (even.after.precision.value or 0)
    assert (sure.after.recall.value or 0) > 0.6
    assert min(thresholds(sure).values()) > min(thresholds(even).values())


@pytest.mark.parametrize("precision", [0, 1, 95])
def test_a_precision_that_none_can_have_is_refused(precision: float) -> None:
    with pytest.raises(ConfigError, match="precision must be more than 0 and less than 1"):
        found(texts("red", [0.9], "red"), texts("red", [0.1], None), precision=precision)


def test_a_route_with_few_labels_gets_the_common_threshold_and_a_warning() -> None:
    told = found(
        texts("red", spread(0.5, 0.65), "red"), texts("red", spread(0.2, 0.4), None), texts("blue", [0.9, 0.91], "blue")
    )
    assert 0.4 < thresholds(told)["blue"] <= 0.5
    assert told.warnings == ("route 'blue' has 2 labelled texts, too few for a threshold of its own; add 10 or more",)


def test_labels_that_never_say_no_route_bring_a_warning() -> None:
    told = found(*(texts(name, spread(0.3, 0.9), name) for name in AXES))
    assert told.warnings[0].startswith("no text is labelled with no route, so nothing speaks for high thresholds")


def test_the_routes_that_are_taken_for_each_other_are_told_with_a_text() -> None:
    told = found(
        texts("red", spread(0.75, 0.9), "red"), texts("blue", spread(0.75, 0.9), "blue"),
        texts("red", [0.88, 0.89], "blue"), texts("blue", spread(0.1, 0.3), None),
    )  # fmt: skip
    (first, *_) = told.confusions
    assert (first.meant, first.took, first.times, first.text) == ("blue", "red", 2, "red blue 0.88")


def test_what_comes_twice_counts_once_and_must_not_contradict_itself() -> None:
    one = Label(text="Where is it?", route="red", where="row 1")
    assert distinct([one, replace(one, text="where  is IT?", where="row 9")]) == [one]
    with pytest.raises(ConfigError, match="row 9: a text must have one label, this one has None here and 'red' in row"):
        distinct([one, replace(one, route=None, where="row 9")])


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        ([], "there must be labelled texts, there are none"),
        ([Label(text="a", route="green", where="'l.csv' row 3")], "'l.csv' row 3: unknown route 'green'; routes are"),
        ([Label(text="a", route="red"), Label(text="b", route="red")], "all 2 texts are of route 'red'; add texts"),
        ([Label(text="a", route=None)], "all 1 texts are without a route"),
    ],
)
def test_labels_that_tell_nothing_are_refused(labels: list[Label], complaint: str) -> None:
    examples = {one.name: np.array([towards(AXES[one.name], 1.0)]) for one in ROUTES}
    with pytest.raises(ConfigError, match=complaint):
        calibrated(ROUTES, examples, labels, np.zeros((len(labels), 3), dtype=np.float32))


def test_routes_without_examples_are_refused() -> None:
    with pytest.raises(ConfigError, match="route 'red' must have examples"):
        scored([route("red", examples=())], {}, ["a"], np.zeros((1, 3), dtype=np.float32))
    with pytest.raises(ConfigError, match="there must be routes"):
        scored([], {}, ["a"], np.zeros((1, 3), dtype=np.float32))


def directions(count: int) -> Any:
    drawn = CHANCE.standard_normal((count, 4)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


@pytest.mark.parametrize("aggregation", get_args(Aggregation))
def test_many_texts_are_scored_as_a_decision_scores_one(aggregation: Aggregation) -> None:
    routes = [
        route("red", aggregation=aggregation, threshold=0.2, examples=("a", "b", "c", "d", "e")),
        route("blue", aggregation="mean", threshold=0.5, examples=("f", "g")),
    ]
    examples = {"red": directions(5), "blue": directions(2)}
    vectors, table = directions(700), table_of(routes, examples)
    assert table is not None
    here = scored(routes, examples, [f"text {n}" for n in range(700)], vectors)
    assert here.at(0.2) == pytest.approx(np.array([score(table, one) for one in vectors]), abs=1e-5)


@pytest.mark.parametrize("aggregation", get_args(Aggregation))
def test_a_text_that_is_an_example_is_not_compared_with_itself(aggregation: Aggregation) -> None:
    routes = [route("red", aggregation=aggregation, examples=("a", "b", "c", "d"), threshold=0.0)]
    fewer = [replace(routes[0], examples=("a", "b", "c"))]
    examples = directions(4)
    left_out = scored(routes, {"red": examples}, [" D "], examples[3:]).at(0.0)
    assert left_out == pytest.approx(scored(fewer, {"red": examples[:3]}, ["x"], examples[3:]).at(0.0))
    alone = [replace(routes[0], examples=("a",))]
    assert scored(alone, {"red": examples[:1]}, ["a"], examples[:1]).at(0.0).tolist() == [[-1.0]]


SCORES = st.lists(st.tuples(*[st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9])] * 2, st.integers(-1, 1)), min_size=5)


@given(SCORES)
def test_no_threshold_of_a_route_would_do_better_while_the_others_stay(rows: list[tuple[float, float, int]]) -> None:
    scores, meant = np.array([row[:2] for row in rows]), np.array([row[2] for row in rows])
    aim, start = Aim(), np.array([0.6, 0.6])

    def f1(tried: Any) -> float:
        took = taken(scores, np.array(tried))
        right = int(((took == meant) & (took != NO_ROUTE)).sum())
        return float(aim.value(right, int((took != NO_ROUTE).sum()), int((meant != NO_ROUTE).sum())))

    best = each_threshold(scores, meant, aim, start)
    assert f1(best) >= f1(start)
    for place in range(2):
        if (meant == place).sum() >= 5:
            for other in (0.05, 0.2, 0.4, 0.6, 0.8, 0.95):
                tried = best.copy()
                tried[place] = other
                assert f1(best) >= f1(tried) - 1e-9


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.6, 0.7, 0.65), (0.61, 0.62, 0.615), (0.600001, 0.600009, 0.600005), (None, 0.5, 0.48), (None, 0.01, 0.01)],
)
def test_a_threshold_between_two_scores_has_as_few_digits_as_it_can(low: Any, high: float, expected: float) -> None:
    assert between(low, high) == pytest.approx(expected)
    assert (low or 0) < between(low, high) <= high


@pytest.mark.parametrize(
    ("part", "whole", "interval"),
    [(10, 10, (0.7225, 1.0)), (0, 10, (0.0, 0.2775)), (50, 100, (0.4038, 0.5962)), (0, 0, (0.0, 1.0))],
)
def test_intervals_are_wilsons(part: int, whole: int, interval: tuple[float, float]) -> None:
    share = Share(part=part, whole=whole)
    assert share.interval == pytest.approx(interval, abs=1e-4)
    assert share.value == (part / whole if whole else None)
