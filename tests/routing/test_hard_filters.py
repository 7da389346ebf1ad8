"""What a model must be able to do, whatever it costs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steprouter.models.card import Abilities, ModelCard
from steprouter.routing.filters import lacks
from steprouter.step.step import Needs

ABILITIES = [
    (Needs(tools=True), "tools", "cannot call tools"),
    (Needs(parallel_tools=True), "parallel_tools", "cannot call tools in parallel"),
    (Needs(forced_tool=True), "tool_choice", "cannot be forced to call a tool"),
    (Needs(json_schema=True), "json_schema", "cannot keep to a JSON schema"),
    (Needs(images=True), "images", "cannot read images"),
    (Needs(audio=True), "audio", "cannot read audio"),
    (Needs(files=True), "files", "cannot read documents"),
]


def card(**fields):
    return ModelCard(name="m", model="openai:m", **fields)


@pytest.mark.parametrize(("needs", "ability", "words"), ABILITIES)
def test_a_model_is_refused_for_an_ability_it_is_known_to_lack(needs, ability, words):
    assert lacks(card(abilities=Abilities(**{ability: False})), needs) == words


@pytest.mark.parametrize(("needs", "ability", "words"), ABILITIES)
def test_an_unknown_ability_is_not_a_missing_one(needs, ability, words):
    assert lacks(card(), needs) is None
    assert lacks(card(abilities=Abilities(**{ability: True})), needs) is None


def test_nothing_is_lacking_where_nothing_is_needed():
    nothing = Abilities(**{ability: False for _, ability, _ in ABILITIES})
    assert lacks(card(abilities=nothing), Needs()) is None


@pytest.mark.parametrize("needs", [Needs(tools=True), Needs(forced_tool=True)])
def test_tools_that_are_emulated_need_no_ability_of_the_model(needs):
    cannot = Abilities(tools=False, tool_choice=False)
    emulated = ModelCard(name="m", model="m", base_url="http://m", tools="json_schema", abilities=cannot)
    assert lacks(emulated, needs) is None


def test_a_providers_own_tool_is_not_asked_of_a_server_of_ones_own():
    needs = Needs(tools=True, builtin_tools=("web_search",))
    local = ModelCard(name="m", model="m", base_url="http://m")
    assert lacks(local, needs) == "does not know the provider's own tool 'web_search'"
    assert lacks(card(), needs) is None


@pytest.mark.parametrize(
    ("window", "prompt", "limit", "missing"),
    [
        (None, 10_000_000, None, None),
        (4_096, 3_339, None, None),
        (4_096, 3_340, None, "window 4096 < 4097 tokens (prompt ~3340, answer 256)"),
        (4_096, 3_000, 646, None),
        (4_096, 3_000, 647, "window 4096 < 4097 tokens (prompt ~3000, answer 647)"),
    ],
)
def test_prompt_and_answer_must_fit_the_window_with_a_margin(window, prompt, limit, missing):
    needs = Needs(input_tokens=prompt, output_tokens=limit)
    assert lacks(card(window_tokens=window), needs) == missing


@pytest.mark.parametrize(
    ("longest", "limit", "missing"),
    [
        (8_192, 8_193, "answers with at most 8192 tokens, 8193 were asked for"),
        (8_192, 8_192, None),
        (8_192, None, None),
        (None, 8_193, None),
    ],
)
def test_a_longer_answer_than_a_model_gives_is_not_asked_of_it(longest, limit, missing):
    """Providers refuse such a call as the caller's mistake, and no other model would be tried."""
    assert lacks(card(max_output_tokens=longest), Needs(output_tokens=limit)) == missing


@given(st.integers(1, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_prompt_that_fits_fits_a_larger_window_too(window, more, prompt):
    needs = Needs(input_tokens=prompt)
    if lacks(card(window_tokens=window), needs) is None:
        assert lacks(card(window_tokens=window + more), needs) is None


@pytest.mark.parametrize(
    ("tool", "model", "able"),
    [
        ("web_search", "openai:gpt-5.6-luna", True),
        ("web_search", "anthropic:claude-opus-5-5", False),
        ("bash_20250124", "anthropic:claude-opus-5-5", True),
        ("bash_20250124", "openai:gpt-5.6-luna", False),
        ("google_search", "openai:gpt-5.6-luna", False),
        ("a_new_tool", "openai:gpt-5.6-luna", True),
        ("web_search", "bedrock:some-model", True),
    ],
)
def test_a_providers_own_tool_is_asked_of_that_provider_only(tool, model, able):
    """A tool or provider that is not known is left to the provider to refuse."""
    problem = lacks(ModelCard(name="m", model=model), Needs(tools=True, builtin_tools=(tool,)))
    assert (problem is None) == able


@pytest.mark.parametrize(
    ("api", "tool", "may"),
    [
        ("responses", "web_search", True),
        ("responses", "web_search_20250305", False),
        ("chat_completions", "web_search", False),
    ],
)
def test_a_server_with_the_responses_api_runs_openais_own_tools(api, tool, may):
    card = ModelCard(name="m", model="gpt", base_url="https://api.openai.com/v1", api=api)
    assert (lacks(card, Needs(builtin_tools=(tool,))) is None) == may
