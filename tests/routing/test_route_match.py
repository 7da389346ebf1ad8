"""Which route a text takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from route_tables import BILLING, EMBEDDER, POETRY, WORDS, route, table

from steprouter.routing.route_match import match, table_of
from steprouter.routing.routes import RouteScore


def taken(text: str, *routes: Any, previous: str | None = None, margin: float = 0.05) -> tuple[str | None, str]:
    found = match(table(*routes), EMBEDDER.embed(text), previous, margin=margin)
    return found.name, found.how


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("refund card", "billing"),
        ("refund card please", "billing"),
        ("refund", "billing"),  # 0.71: one of two words
        ("refund poem", None),  # 0.5 and 0.71: see below
        ("poem", "poetry"),
        ("story", "poetry"),
        ("python", None),
        ("", None),
    ],
)
def test_a_text_takes_the_route_whose_example_it_is_most_like(text: str, name: str | None) -> None:
    wanted = "poetry" if text == "refund poem" else name
    assert taken(text)[0] == wanted


def test_a_match_tells_the_best_routes_with_what_they_take() -> None:
    found = match(table(), EMBEDDER.embed("invoice"))
    assert found.scores == (
        RouteScore(name="billing", score=1.0, threshold=0.7),
        RouteScore(name="poetry", score=0.0, threshold=0.7),
    )
    assert (found.name, found.score, found.how) == ("billing", 1.0, "nearest")


def test_a_match_tells_three_routes_at_most() -> None:
    found = match(table(*(route(word, word) for word in WORDS)), EMBEDDER.embed("bug bug hello thanks"))
    assert [one.name for one in found.scores] == ["bug", "hello", "thanks"]


def test_a_better_route_that_misses_its_threshold_leaves_a_worse_one_that_reaches_its_own() -> None:
    strict, easy = route("strict", "refund card", threshold=0.99), route("easy", "refund poem bug", threshold=0.25)
    assert taken("refund card card", strict, easy) == ("easy", "nearest")


PAIR = (route("a", "refund card"), route("b", "refund invoice"))


@pytest.mark.parametrize(
    ("text", "previous", "margin", "expected"),
    [
        ("refund card", None, 0.05, ("a", "nearest")),
        ("refund card", "b", 0.05, ("a", "nearest")),  # 1.0 against 0.5
        ("refund refund card invoice", "b", 0.05, ("b", "held")),  # equal
        ("refund refund card invoice", "a", 0.05, ("a", "nearest")),
        ("refund card card invoice", "b", 0.0, ("a", "nearest")),
        ("refund card card invoice", "b", 0.5, ("b", "held")),
        ("bug bug bug refund", "a", 0.05, (None, "none")),  # too far from its own threshold
        ("refund card bug bug", "a", 0.2, ("a", "held")),  # 0.58: less than 0.7, more than 0.5
        ("refund card bug bug", "gone", 0.2, (None, "none")),  # a route that is no longer there
    ],
)
def test_a_thread_stays_on_its_route_until_another_is_better_by_the_margin(
    text: str, previous: str | None, margin: float, expected: tuple[str | None, str]
) -> None:
    assert taken(text, *PAIR, previous=previous, margin=margin) == expected


@pytest.mark.parametrize(
    ("aggregation", "score"),
    [
        ("max", 0.8),
        ("top3", (0.8 + 0.6 + 0.0) / 3),
        ("mean", (0.8 + 0.6 + 0.0 + 0.0) / 4),
        ("avg", (0.8 + 0.6) / 2),
        ("sum", 1 - (0.2 + 0.4)),
    ],
)
def test_a_route_makes_one_score_of_its_examples_in_the_way_it_says(aggregation: str, score: float) -> None:
    many = route("many", "refund", "card", "poem", "bug", aggregation=aggregation, threshold=0.5)
    found = match(table(many), EMBEDDER.embed("refund refund refund refund card card card"))
    assert found.scores[0].score == pytest.approx(score, abs=1e-6)


@pytest.mark.parametrize("aggregation", ["avg", "sum"])
def test_a_route_that_redisvl_would_not_find_is_not_found(aggregation: str) -> None:
    assert taken("poem", route("far", "refund", aggregation=aggregation, threshold=0.5)) == (None, "none")


def test_a_route_with_fewer_than_three_examples_takes_their_mean_as_the_best_three() -> None:
    assert (
        match(table(route("two", "refund", "card", aggregation="top3")), EMBEDDER.embed("refund")).scores[0].score
        == 0.5
    )


def test_routes_that_were_not_embedded_are_not_in_the_table() -> None:
    vectors = {"billing": EMBEDDER.embed_many(BILLING.examples)}
    found = table_of([BILLING, POETRY], vectors)
    assert found is not None
    assert [one.name for one in found.routes] == ["billing"]
    assert table_of([POETRY], vectors) is None


def test_another_threshold_or_example_makes_another_version_of_the_table() -> None:
    changed = [route("billing", "refund card", "invoice", threshold=0.71), route("billing", "refund")]
    assert len({table(one).version for one in (BILLING, *changed)}) == 3
    assert (
        table(BILLING).version == table(route("billing", "refund card", "invoice", threshold=0.7, tier="low")).version
    )


TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join)


@given(st.lists(TEXTS, min_size=1, max_size=8), st.data())
def test_an_example_itself_always_takes_a_route_whose_example_it_is(examples: list[str], data: st.DataObject) -> None:
    routes = [route(f"r{n}", example, threshold=0.9) for n, example in enumerate(examples)]
    said = data.draw(st.sampled_from(examples))
    found = match(table(*routes), EMBEDDER.embed(said))
    assert found.route is not None
    assert np.allclose(EMBEDDER.embed(found.route.examples[0]), EMBEDDER.embed(said), atol=1e-6)
