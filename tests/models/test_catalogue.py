"""What the catalogue knows, by which names it is found, and by which it must not be."""

from __future__ import annotations

import importlib.util
from collections import Counter
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from steprouter.models import catalogue
from steprouter.models.card import Abilities, ModelCard, Price, Tier
from steprouter.models.catalogue import (
    CatalogueEntry,
    complete,
    entries,
    for_card,
    from_genai_prices,
    lookup,
    tier_by_price,
)

KEY = SecretStr("not-a-key")


def found(model: str, provider: str | None = None) -> str | None:
    """Provider and name of what is found."""
    entry = lookup(model, provider)
    return None if entry is None else f"{entry.provider}:{entry.id}"


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("anthropic:claude-opus-5-5", "anthropic:claude-opus-5-5"),
        ("claude-opus-5-5", "anthropic:claude-opus-5-5"),
        ("claude-haiku-4-5-20251001", "anthropic:claude-haiku-4-5"),
        ("claude-haiku-4-5-latest", "anthropic:claude-haiku-4-5"),
        ("anthropic/claude-opus-5.5", "anthropic:claude-opus-5-5"),
        ("openrouter:anthropic/claude-sonnet-4.6", "anthropic:claude-sonnet-4-6"),
        ("google_anthropic_vertex:claude-opus-5@20260724", "anthropic:claude-opus-5"),
        ("bedrock:global.anthropic.claude-haiku-4-5-20251001-v1:0", "anthropic:claude-haiku-4-5"),
        ("amazon.nova-pro-v1:0", "bedrock:amazon.nova-pro-v1:0"),
        ("gpt-4o", "openai:gpt-4o"),
        ("gpt-4o-2024-08-06", "openai:gpt-4o"),
        ("gpt-4o-2024-05-13", "openai:gpt-4o-2024-05-13"),
        ("azure_openai:gpt-4o-mini-2024-07-18", "openai:gpt-4o-mini"),
        ("GPT-5.6-Luna ", "openai:gpt-5.6-luna"),
        ("gpt-5.6", "openai:gpt-5.6-sol"),
        ("models/gemini-2.5-flash", "google_genai:gemini-2.5-flash"),
        ("publishers/google/models/gemini-2.5-pro", "google_genai:gemini-2.5-pro"),
        ("google_vertexai:gemini-2.5-flash-lite", "google_genai:gemini-2.5-flash-lite"),
        ("google/gemini-2.5-pro", "google_genai:gemini-2.5-pro"),
        ("mistral-small-latest", "mistralai:mistral-small-2603"),
        ("x-ai/grok-4.6", "xai:grok-4.6"),
        ("deepseek:deepseek-v4-pro", "deepseek:deepseek-v4-pro"),
        ("groq:openai/gpt-oss-120b", "groq:openai/gpt-oss-120b"),
        ("groq:llama-3.3-70b-versatile", "groq:llama-3.3-70b-versatile"),
        ("openrouter:qwen/qwen3.8-flash", "openrouter:qwen/qwen3.8-flash"),
    ],
)
def test_a_model_is_found_by_every_name_in_use(asked: str, answer: str) -> None:
    assert found(asked) == answer


@pytest.mark.parametrize(
    "asked",
    [
        *(
            "",
            ":",
            "/",
            "gpt",
            "gpt-4",
            "gpt-4o-",
            "gpt-4o-mini-audio",
            "gpt-4o:extended",
            "chatgpt-4o-latest",
        ),
        *("ft:gpt-4o-mini-2024-07-18:acme::x", "openai:ft:gpt-4o:acme", "gpt-5-chat-latest", "gpt-5-codex"),
        *("gpt-4.1-mini-audio", "o3-mini", "o3-deep-research", "my-gpt-4o", "claude-opus", "claude-haiku-5"),
        *("anthropic/claude-opus-5:batch", "anthropic.claude-opus-5-5", "us.anthropic.claude-opus-5-5"),
        *(
            "gemini-2.5-flash-image",
            "models/gpt-4o",
            "mistral-large",
            "mistral-large-latest",
            "deepseek-chat",
        ),
        # An open model's name says nothing of its price until the seller is known.
        *("llama-3.3-70b-versatile", "openai/gpt-oss-120b", "qwen/qwen3.8-flash", "global.zai.glm-5.3"),
        *("openrouter:deepseek/deepseek-v4-pro", "bedrock:deepseek-v4-pro", "together:kimi-k3"),
        *("ollama:gpt-oss-120b", "ollama:gpt-4o", "fireworks:deepseek-v4-pro", "acme:gpt-4o"),
        *("anthropic:gpt-4o", "openai:claude-opus-5-5", "groq:gpt-4o", "google/claude-opus-5-5"),
    ],
)
def test_a_name_that_is_not_a_listed_model_finds_nothing(asked: str) -> None:
    assert found(asked) is None


@pytest.mark.parametrize(
    ("model", "provider", "answer"),
    [
        ("gpt-4o", "openai", "openai:gpt-4o"),
        ("openai:gpt-4o", "azure_openai", "openai:gpt-4o"),
        ("gpt-4o", "anthropic", None),
        ("openai:gpt-4o", "groq", None),
        ("gpt-4o", "acme", None),
        ("llama-3.3-70b-versatile", "groq", "groq:llama-3.3-70b-versatile"),
        ("openai/gpt-oss-120b", "groq", "groq:openai/gpt-oss-120b"),
        ("openai/gpt-oss-120b", "openrouter", None),
    ],
)
def test_a_named_seller_decides_and_an_unknown_one_finds_nothing(model: str, provider: str, answer: str | None) -> None:
    assert found(model, provider) == answer


def plain(name: str) -> str:
    """A name as the table compares it: no dots, no date."""
    return catalogue.DATED.sub("", name.lower().replace(".", "-"))


def plain_names(entry: CatalogueEntry) -> set[str]:
    names = [entry.id, *(alias for e, aliases in catalogue.table() if e is entry for alias in aliases)]
    return {plain(name) for name in names}


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.id)
def test_every_listed_model_is_found_as_itself_and_no_longer_name_is(entry: CatalogueEntry) -> None:
    """The classic mistake, a longer name taken for the shorter, must not come back for any model."""
    full = f"{entry.provider}:{entry.id}"
    assert lookup(full) is entry
    assert lookup(f"{full}-20260101") is entry
    for other in ("-mini", "-pro", "-preview", "-5", "x", ":free", "-2025", "-20261", "-0613", "-image"):
        hit = lookup(full + other)
        assert hit is None or plain(entry.id + other) in plain_names(hit)


@given(st.sampled_from(entries()), st.text("abcdefilmnoprtx0123456789-.:/@", min_size=1, max_size=12))
def test_a_name_with_anything_added_finds_only_what_spells_alike(entry: CatalogueEntry, added: str) -> None:
    hit = lookup(entry.id + added, entry.provider)
    assert hit is None or plain(entry.id + added) in plain_names(hit)


@given(st.text(max_size=60), st.none() | st.text(max_size=12))
def test_no_name_whatever_breaks_the_lookup(model: str, provider: str | None) -> None:
    assert lookup(model, provider) in (None, *entries())


def test_no_two_models_share_a_spelling() -> None:
    """Dots count as dashes, so `4.1` and `4-1` must not both be listed by one seller."""
    spelt = Counter(
        (entry.provider, name.lower().replace(".", "-"))
        for entry, aliases in catalogue.table()
        for name in (entry.id, *aliases)
    )
    assert [name for name, times in spelt.items() if times > 1] == []


def test_a_bare_name_never_means_two_makers() -> None:
    makers = Counter(e.id.lower().replace(".", "-") for e in entries() if e.provider not in catalogue.SELLERS)
    assert [name for name, times in makers.items() if times > 1] == []


def test_the_table_holds_the_known_price_of_its_day() -> None:
    entry = lookup("claude-opus-5-5")
    assert entry is not None
    assert entry.price == Price(
        input=4,
        output=20,
        cache_read=0.2,
        cache_write=5,
        dated=date(2026, 11, 22),
        source="genai-prices 0.2.3",
    )
    assert (entry.tier, entry.window_tokens, entry.max_output_tokens) == (Tier.HIGH, 1_000_000, 128_000)


def test_a_longer_prompt_pays_the_price_of_its_band() -> None:
    entry = lookup("claude-haiku-5-5")
    assert entry is not None
    assert entry.price_for(100_000) == entry.price
    dearer = entry.price_for(100_001)
    assert (dearer.input, dearer.output) == (0.5, 2.5)


def test_what_no_source_states_is_unknown_and_not_zero() -> None:
    mini, unknown = lookup("gpt-5.4-mini"), lookup("grok-4.7")
    assert mini is not None
    assert unknown is not None
    assert mini.price.cache_write is None
    assert (mini.abilities.parallel_tools, mini.abilities.prefill_with_tools) == (None, None)
    assert (unknown.abilities, unknown.max_output_tokens) == (Abilities(), None)


@pytest.mark.parametrize(
    ("model", "takes"),
    [
        ("anthropic:claude-haiku-4-5", True),
        ("bedrock:global.anthropic.claude-sonnet-4-5-20250929-v1:0", True),
        ("openrouter:anthropic/claude-opus-4.5", True),
        ("anthropic:claude-opus-4-6", False),
        ("anthropic:claude-fable-5-2", False),
        ("openai:gpt-4o", False),
        ("google_genai:gemini-2.5-flash", False),
        ("mistralai:mistral-large-2512", True),
        ("groq:llama-3.3-70b-versatile", True),
        ("groq:openai/gpt-oss-120b", None),
        ("deepseek:deepseek-v4-pro", None),
        ("moonshotai:kimi-k3", None),
        ("openrouter:qwen/qwen3.7-plus", None),
    ],
)
def test_a_partial_turn_is_known_to_be_taken_only_where_it_is_documented(model: str, takes: bool | None) -> None:
    entry = lookup(model)
    assert entry is not None
    assert entry.abilities.prefill is takes


@pytest.mark.parametrize(
    ("base_url", "takes"),
    [("https://api.anthropic.com/v1", True), ("https://openrouter.ai/api/v1", True), ("https://gateway/v1", None)],
)
def test_an_unknown_gateway_is_not_trusted_with_a_partial_turn(base_url: str, takes: bool | None) -> None:
    name = "anthropic/claude-haiku-4.5" if "openrouter" in base_url else "claude-haiku-4-5"
    entry = for_card(ModelCard(name="m", model=name, base_url=base_url))
    assert entry is not None
    assert entry.abilities.prefill is takes


def test_every_entry_has_a_price_above_zero_and_a_sensible_window() -> None:
    for entry in entries():
        assert entry.price.input > 0, entry.id
        assert entry.price.output > 0, entry.id
        assert entry.price.cache_read is None or entry.price.cache_read < entry.price.input, entry.id
        assert entry.window_tokens is None or 8_000 <= entry.window_tokens <= 10_000_000, entry.id
        assert [above for above, _ in entry.long_prompts] == sorted(above for above, _ in entry.long_prompts)


def test_the_table_names_its_day_its_sources_and_their_licences() -> None:
    about = catalogue.document()["about"]
    assert date.fromisoformat(about["date"]) == catalogue.made_on()
    assert {source["licence"] for source in about["sources"]} == {"MIT"}
    assert all(source["version"] and source["attribution"] for source in about["sources"])
    assert 60 <= len(entries()) <= 80
    assert date.fromisoformat(about["prefill"]["date"]) >= catalogue.made_on()
    assert all(page.startswith("https://") for page in about["prefill"]["documented_by"])


@pytest.mark.parametrize(
    ("usd", "tier"),
    [(0.0, Tier.LOW), (1.99, Tier.LOW), (2.0, Tier.MID), (8.0, Tier.MID_HIGH), (18.0, Tier.HIGH)],
)
def test_a_price_band_gives_the_tier(usd: float, tier: Tier) -> None:
    assert tier_by_price(usd) == tier


def test_what_a_card_states_wins_over_the_catalogue() -> None:
    entry = lookup("gpt-5.6-luna")
    price = Price(input=1, output=2)
    card = ModelCard(
        name="small",
        model="openai:gpt-5.6-luna",
        tier=Tier.HIGH,
        price=price,
        window_tokens=10,
        max_output_tokens=5,
        abilities=Abilities(images=False),
    )
    full = complete(card, entry)
    assert (full.tier, full.price, full.window_tokens, full.max_output_tokens) == (Tier.HIGH, price, 10, 5)
    assert (full.abilities.images, full.abilities.tools) == (False, True)


def test_what_a_card_leaves_open_comes_from_the_catalogue() -> None:
    entry = lookup("gpt-5.6-luna")
    assert entry is not None
    full = complete(ModelCard(name="small", model="openai:gpt-5.6-luna"), entry)
    assert (full.tier, full.price, full.abilities) == (entry.tier, entry.price, entry.abilities)
    assert (full.window_tokens, full.max_output_tokens) == (entry.window_tokens, entry.max_output_tokens)


def test_a_card_nobody_knows_is_of_middle_strength_and_unknown_price() -> None:
    card = ModelCard(name="own", model="own-model", base_url="http://127.0.0.1:8080/v1")
    full = complete(card, for_card(card))
    assert (full.tier, full.price, full.window_tokens) == (Tier.MID, None, None)
    assert full.abilities == Abilities()


@pytest.mark.parametrize(
    ("model", "base_url", "answer"),
    [
        ("openai:gpt-5.4-mini", None, "gpt-5.4-mini"),
        ("llama-3.3-70b-versatile", "https://api.groq.com/openai/v1", "llama-3.3-70b-versatile"),
        ("gpt-4o", "https://gateway.example.com/v1", "gpt-4o"),
        ("deepseek-v4-pro", "https://api.deepseek.com/v1", "deepseek-v4-pro"),
        ("deepseek-v4-pro", "http://10.0.0.7:8000/v1", None),
        ("gpt-4o", "https://api.groq.com/openai/v1", None),
    ],
)
def test_a_card_is_looked_up_by_name_and_by_who_serves_it(model: str, base_url: str | None, answer: str | None) -> None:
    entry = for_card(ModelCard(name="m", model=model, base_url=base_url))
    assert (entry.id if entry else None) == answer


@pytest.mark.parametrize(
    ("model", "answer"),
    [
        (ChatOpenAI(model="gpt-5.4-mini", api_key=KEY), "gpt-5.4-mini"),
        (ChatAnthropic(model_name="claude-opus-5", api_key=KEY, timeout=1, stop=[]), "claude-opus-5"),
        (ChatOpenAI(model="glm-5.3", base_url="http://127.0.0.1:8000/v1", api_key=KEY), None),
        (ChatOpenAI(model="glm-5.3", base_url="https://api.z.ai/api/paas/v4", api_key=KEY), "glm-5.3"),
        (FakeListChatModel(responses=["gpt-4o"]), None),
    ],
)
def test_a_chat_model_object_is_looked_up_by_its_package_and_name(model: BaseChatModel, answer: str | None) -> None:
    entry = for_card(ModelCard(name="m", model=model))
    assert (entry.id if entry else None) == answer


@pytest.mark.skipif(importlib.util.find_spec("genai_prices") is not None, reason="genai-prices is installed")
def test_without_the_optional_package_breadth_is_simply_missing() -> None:
    assert from_genai_prices("gpt-5.3-codex") is None


@pytest.mark.skipif(importlib.util.find_spec("genai_prices") is None, reason="needs the extra `prices`")
def test_the_optional_package_prices_models_the_table_does_not_list() -> None:
    assert lookup("gpt-5.3-codex") is None
    entry = from_genai_prices("openai:gpt-5.3-codex", day=date(2026, 11, 22))
    assert entry is not None
    assert (entry.provider, entry.id, entry.price.input, entry.price.output) == (
        *("openai", "gpt-5.3-codex"),
        *(1.75, 14.0),
    )
    assert from_genai_prices("acme:gpt-4o") is None
