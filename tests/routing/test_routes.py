"""What a route may say, and what is refused before a router is made."""

from __future__ import annotations

from typing import Any

import pytest
from route_tables import BILLING, POETRY, route

from steprouter.errors import ConfigError
from steprouter.models.card import ModelCard, Tier
from steprouter.routing.policy import Policy
from steprouter.routing.routes import Route, RouteMatch, RouteScore, TieBreak, contested
from steprouter.step.step import StepKind

SMALL = ModelCard(name="small", model="openai:s", tier=Tier.LOW, tags=frozenset({"inside"}))
LARGE = ModelCard(name="large", model="openai:l", tier=Tier.HIGH)


def test_a_route_reads_words_as_kinds_tiers_and_models() -> None:
    read = Route(name="r", examples=["Hello"], kind="chat", tier="mid", models="small")  # type: ignore[arg-type]
    assert (read.examples, read.kind, read.tier, read.models) == (("Hello",), StepKind.CHAT, Tier.MID, {"small"})


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"name": ""}, "a route's name must be 1 to 64 letters"),
        ({"name": "a:b"}, "a route's name must be"),
        ({"name": "x' || @distance < 9 || 'x"}, "a route's name must be"),
        ({"name": "line\nbreak"}, "a route's name must be"),
        ({"name": "x" * 65}, "a route's name must be"),
        ({"examples": "one text"}, "route 'r': examples must be a list of texts, got str"),
        ({"examples": ["Hello", "  "]}, "route 'r': an example must be text with words, got '  '"),
        ({"examples": ["Hello", 3]}, "route 'r': an example must be text with words, got 3"),
        ({"examples": ["x" * 2001]}, "an example must have at most 2000 characters"),
        ({"examples": [f"example {n}" for n in range(501)]}, "must have at most 500 examples, got 501"),
        ({"threshold": 1.0}, r"threshold must be from -1 to below 1 \(cosine similarity\), got 1.0"),
        ({"threshold": -1.1}, "threshold must be from -1 to below 1"),
        ({"aggregation": "median"}, "aggregation must be one of"),
        ({"kind": "joke"}, "route 'r': kind must be one of .*got 'joke'"),
        ({"tier": "huge"}, "route 'r': tier must be one of .*got 'huge'"),
        ({"quality_loss": 2}, "route 'r': quality_loss must be between 0 and 1, got 2"),
    ],
)
def test_what_a_route_cannot_say_is_named_with_the_way_out(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        Route(**{"name": "r", "examples": ["Hello"], "models": "small", **fields})


@pytest.mark.parametrize(
    ("policy", "complaint"),
    [
        ({"routes": [BILLING, BILLING]}, "route names must be unique, got 'billing' twice"),
        ({"routes": [route("empty")]}, "route 'empty' must have examples"),
        ({"routes": [route("idle", "Hello", models=None)]}, "route 'idle' must say .* it would change nothing"),
        ({"routes": [BILLING, route("other", " REFUND  card")]}, "stands in the routes 'billing' and 'other'"),
        ({"routes": [route(f"r {n}", f"word{n}") for n in range(201)]}, "there may be 200 routes at most, got 201"),
        ({"routes_in": "sr:outcome:x"}, "routes_in must not begin as the keys of this library do"),
        ({"routes_in": "s"}, "routes_in must not begin as the keys of this library do"),
        ({"routes_in": "a\nb"}, "routes_in must name a stored router, 1 to 200 characters"),
        ({"route_margin": 1.5}, "route_margin must be between 0 and 1, got 1.5"),
        ({"tie_break": "yes"}, "tie_break must be a TieBreak, got 'yes'"),
        ({"routes_in": " "}, "routes_in must name a stored router"),
    ],
)
def test_routes_that_contradict_each_other_are_refused(policy: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        Policy(**policy)


def test_a_route_without_examples_may_stand_for_one_that_a_stored_router_holds() -> None:
    policy = Policy(routes=(route("support"),), routes_in="my-router")
    assert policy.routes[0].examples == ()


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"models": "smal"}, "route 'r' names the unknown model 'smal'; did you mean 'small'?"),
        ({"models": ("small", "outside")}, "route 'r' names the unknown model 'outside'"),
        ({"models": "inside", "tier": "high"}, "route 'r' allows none of the models"),
    ],
)
def test_a_route_must_name_models_that_are_there(fields: dict[str, Any], complaint: str) -> None:
    policy = Policy(routes=(Route(name="r", examples=("Hello",), **fields),))
    with pytest.raises(ConfigError, match=complaint):
        policy.check([SMALL, LARGE])


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"seconds": 0}, "tie_break: seconds must be more than 0"),
        ({"usd": -1}, "tie_break: usd must be 0 or more"),
        ({"below": 2}, "tie_break: below must be between 0 and 1"),
    ],
)
def test_a_tie_break_without_bounds_is_refused(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        TieBreak(**fields)


def scored(*scores: float, taken: bool = False, how: Any = None) -> RouteMatch:
    """A match with these scores of routes a, b, c, all of which take 0.7."""
    told = tuple(RouteScore(name=name, score=score, threshold=0.7) for name, score in zip("abc", scores, strict=False))
    route_a = POETRY if taken else None
    return RouteMatch(route=route_a, scores=told, how=how or ("nearest" if taken else "none"))


@pytest.mark.parametrize(
    ("match", "asked"),
    [
        (scored(0.9, 0.5, taken=True), ""),  # clear
        (scored(0.72, 0.71, taken=True), "ab"),  # two that both might be taken
        (scored(0.72, 0.69, taken=True), ""),  # the second does not reach its threshold
        (scored(0.8, 0.72, taken=True), ""),  # both reach it, one clearly better
        (scored(0.65, 0.3), "a"),  # almost
        (scored(0.65, 0.64, 0.2), "ab"),  # almost two
        (scored(0.55, 0.5), ""),  # far from anything
        (scored(0.72, 0.71, taken=True, how="held"), ""),  # the thread settles it
        (scored(0.72, 0.71, taken=True, how="carried"), ""),
        (RouteMatch(), ""),
    ],
)
def test_a_model_is_asked_only_between_routes_that_words_leave_open(match: RouteMatch, asked: str) -> None:
    assert "".join(one.name for one in contested(match, TieBreak())) == asked
