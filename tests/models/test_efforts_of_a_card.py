"""One card, several efforts: what candidates it makes, and what is refused when the router is made."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI

from steprouter import ConfigError, ModelCard
from steprouter.models.card import Tier
from steprouter.models.catalogue import lookup
from steprouter.models.effort import LEVELS, Effort, levels_above, tokens_beside
from steprouter.models.identify import complete_cards

LOCAL = "http://127.0.0.1:8080/v1"


def made(*cards: ModelCard) -> list[ModelCard]:
    return list(complete_cards(cards))


def card(model: Any = "openai:gpt-6-sol", **given: Any) -> ModelCard:
    return ModelCard(**{"name": "it", "model": model, "efforts": ("low", "high"), **given})


def sent(model: Any, effort: str = "low", **given: Any) -> Any:
    found = made(card(model, **{"efforts": (effort,), **given}))[0].effort
    assert found is not None
    return found.settings


def test_each_effort_is_a_candidate_and_the_card_itself_is_none() -> None:
    low, high = made(card(tags=frozenset({"inside"})))
    assert ([low.name, high.name], low.deployment, low.names) == (["it@low", "it@high"], "it", ("it@low",))
    assert (low.price, low.window_tokens, low.tags) == (high.price, high.window_tokens, frozenset({"inside", "it"}))
    assert low.efforts == ()


def test_a_card_without_efforts_is_its_own_deployment() -> None:
    (one,) = made(card(efforts=()))
    assert (one.name, one.deployment, one.effort) == ("it", "it", None)


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("openai:gpt-6-sol", {"reasoning_effort": "low"}),
        ("azure_openai:gpt-6-sol", {"reasoning_effort": "low"}),
        ("anthropic:claude-opus-5-5", {"reasoning_effort": "low"}),
        ("google_genai:gemini-4-argon", {"reasoning_effort": "low"}),
        ("xai:grok-4.3", {"reasoning_effort": "low"}),
        ("groq:openai/gpt-oss-120b", {"reasoning_effort": "low"}),
        ("openrouter:qwen/qwen3.8-flash", {"reasoning": {"effort": "low"}}),
        (ChatAnthropic(model="claude-opus-5-5", api_key="k"), {"reasoning_effort": "low"}),  # type: ignore[call-arg,arg-type]
        (ChatOpenAI(model="gpt-6-sol", api_key="k"), {"reasoning_effort": "low"}),  # type: ignore[arg-type]
    ],
    ids=str,
)
def test_a_level_is_sent_in_the_words_of_its_integration(model: Any, settings: Any) -> None:
    assert sent(model) == settings


def test_a_server_of_ones_own_is_told_in_openais_words() -> None:
    assert sent("qwen", base_url=LOCAL) == {"reasoning_effort": "low"}


def test_the_default_effort_sends_nothing_and_stands_where_the_model_does() -> None:
    (untold,) = made(card("ollama:qwen", efforts=("default",)))
    assert untold.effort == Effort(name="default", base="it")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"model": "ollama:qwen"}, "how 'ollama' is told of an effort is not known; say what to send for each"),
        ({"model": "qwen"}, "how 'its provider' is told"),
        ({"model": "openai:gpt-4.1"}, "must be left out: its model does not think"),
        ({"efforts": ("ultra",)}, r"must be among \['none', .*\], which its model takes, got 'ultra'"),
        ({"model": "anthropic:claude-haiku-4-5"}, r"thinks by a budget of tokens; write efforts=\{'off': \{\}"),
        ({"model": "anthropic:claude-sonnet-4-5"}, "thinks by a budget"),
        ({"model": "google_genai:gemini-2.5-flash"}, "'thinking_budget': 8000"),
        ({"efforts": "low"}, "must be a list of names or settings by name, got 'low'"),
        ({"efforts": 3}, "must be a list"),
        ({"efforts": ("low", "low")}, "names of their own, got 'low' twice"),
        ({"efforts": ("lo@w",)}, "printable names without '@'"),
        ({"efforts": (3,)}, "printable names without '@', got 3"),
        ({"efforts": {"on": 3}}, "must give settings for each name, got 3 for 'on'"),
        ({"efforts": {"on": {"thinking": {"type": "enabled", "budget_tokens": 500}}}}, "must be 1024 tokens or more"),
        ({"effort": "low"}, r"effort of 'it' must be left out, got 'low'; write efforts="),
    ],
)
def test_what_cannot_be_sent_is_refused_with_the_way_out(given: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        made(card(**given))


def test_settings_given_outright_are_taken_whatever_the_model() -> None:
    assert sent("openai:gpt-4.1", "ultra", efforts={"ultra": {"reasoning_effort": "ultra"}}) == {
        "reasoning_effort": "ultra"
    }


def test_candidates_and_cards_cannot_share_a_name() -> None:
    with pytest.raises(ConfigError, match="got 'it@low' twice"):
        made(card(), card(name="it@low", efforts=()))


def test_another_place_of_a_model_takes_its_efforts_unless_it_has_its_own() -> None:
    there = card("q", base_url=LOCAL, name="there", efforts=(), deployment_of="it")
    own = card("q", base_url=LOCAL, name="own", efforts={"low": {"think": 1}, "deep": {"think": 2}}, deployment_of="it")
    names = {one.name: one.deployment_of for one in made(card(), there, own)}
    assert names == {
        "it@low": None,
        "it@high": None,
        "there@low": "it@low",
        "there@high": "it@high",
        "own@low": "it@low",
        "own@deep": None,
    }


@pytest.mark.parametrize(
    ("model", "levels"),
    [
        ("openai:gpt-6-sol", {"none": -3, "low": -1, "medium": 0, "max": 3}),
        ("anthropic:claude-opus-4-8", {"low": -2, "medium": -1, "high": 0, "max": 2}),
        ("google_genai:gemini-3.1-flash-lite", {"minimal": 0, "low": 1, "high": 3}),
        ("openai:gpt-5", {"minimal": -2, "medium": 0}),
    ],
)
def test_an_effort_stands_above_or_below_what_the_model_does_untold(model: str, levels: dict[str, int]) -> None:
    found = {one.effort.name: one.effort.above for one in made(card(model, efforts=tuple(levels))) if one.effort}
    assert found == levels


def test_far_below_it_counts_as_one_tier_weaker() -> None:
    tiers = [one.tier for one in made(card(efforts=("none", "low", "medium", "max")))]
    assert tiers == [Tier.MID_HIGH, Tier.HIGH, Tier.HIGH, Tier.HIGH]


def test_names_of_the_users_own_stand_as_they_are_listed() -> None:
    names = ("off", "short", "long")
    assert [levels_above(names, name, None) for name in names] == [-2, -1, 0]


@given(st.sampled_from(LEVELS), st.sampled_from(LEVELS), st.sampled_from((None, *LEVELS)))
def test_more_thought_is_never_lower_and_never_shorter(one: str, other: str, usual: str | None) -> None:
    less, more = sorted((one, other), key=LEVELS.index)
    assert levels_above(LEVELS, less, usual) <= levels_above(LEVELS, more, usual)
    assert tokens_beside(less, usual) <= tokens_beside(more, usual)


def test_the_catalogue_knows_which_levels_a_model_takes_and_which_is_its_own() -> None:
    entry, other = lookup("claude-opus-5-5"), lookup("gpt-6.1-sol")
    assert entry is not None
    assert other is not None
    assert (entry.efforts, entry.usual_effort) == (("low", "medium", "high", "xhigh", "max"), "medium")
    assert (other.efforts, other.usual_effort) == ((), None)
