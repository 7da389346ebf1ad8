"""What a router knows of the models that read a history."""

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_openai import AzureChatOpenAI, ChatOpenAI

from steprouter import ModelCard
from steprouter.answering.speaker import Speaker, speaker_of, thinks


def card(model, **kwargs):
    return ModelCard(name="it", model=model, **kwargs)


def gpt(**kwargs):
    return card(ChatOpenAI(model="gpt-5.6", api_key="k", **kwargs))


def claude(**kwargs):
    return card(ChatAnthropic(model="claude-opus-4-5", api_key="k", max_tokens=4096, **kwargs))  # type: ignore[call-arg]


def azure(deployment, version="2025-04-01-preview"):
    endpoint = "https://it.openai.azure.com"
    return card(AzureChatOpenAI(azure_deployment=deployment, api_version=version, azure_endpoint=endpoint, api_key="k"))


def test_a_model_is_known_by_its_provider_its_name_and_its_card():
    assert speaker_of(card("openai:gpt-5.6")) == Speaker(provider="openai", model="gpt-5.6", card="it", caching="key")
    assert speaker_of(claude()).family == "anthropic"
    assert speaker_of(card("qwen3", base_url="http://127.0.0.1:8080/v1")).family == "openai_compatible"


def test_a_model_is_known_under_what_was_bound_to_it():
    bound = claude().model.bind(temperature=0).with_config(tags=["a"])
    assert speaker_of(card(bound)) == speaker_of(claude())
    assert thinks(card(claude().model.bind(thinking=BUDGET)))
    assert speaker_of(card(claude().model.bind(cache_control={"type": "ephemeral"}))).caching is None


def test_a_server_of_openais_own_is_openai_as_its_answers_say():
    assert speaker_of(card("gpt-5.6", base_url="https://api.openai.com/v1")).family == "openai"
    assert speaker_of(card("gpt-5.6", base_url="https://api.openai.com.evil.example/v1")).family != "openai"


@pytest.mark.parametrize(("model", "is_taken"), [("claude-opus-5-5", True), ("claude-haiku-4-5", None)])
def test_whether_late_system_messages_are_taken_is_read_from_the_models_profile(model, is_taken):
    assert speaker_of(card(ChatAnthropic(model=model, api_key="k"))).late_system is is_taken  # type: ignore[call-arg]


CACHING = [
    ("Claude", claude(), "marks"),
    ("a Claude that is named", card("anthropic:claude-opus-5-5"), "marks"),
    ("a Claude that was told what to cache", claude(model_kwargs={"cache_control": {"type": "ephemeral"}}), None),
    ("Claude on Bedrock", card("bedrock_converse:eu.anthropic.claude-opus-5"), "setting"),
    ("another model on Bedrock", card("bedrock_converse:meta.llama4"), None),
    ("OpenAI", gpt(), "key"),
    ("OpenAI in Europe", gpt(base_url="https://eu.api.openai.com/v1"), "key"),
    ("OpenAI over our own wire", card("gpt-5.6", base_url="https://api.openai.com/v1"), "key"),
    ("another server through OpenAI's integration", gpt(base_url="https://api.groq.com/openai/v1"), None),
    ("the same, only named", card("openai:x", settings={"base_url": "https://api.groq.com/openai/v1"}), None),
    ("an OpenAI model that has a key", card("openai:gpt-5.6", settings={"prompt_cache_key": "mine"}), None),
    ("the same, as an object", gpt(extra_body={"prompt_cache_key": "mine"}), None),
    ("a GPT on Azure", azure("gpt-5.6"), "key"),
    ("a GPT on an old Azure API", azure("gpt-5.6", "2024-06-01"), None),
    ("another model on Azure", azure("DeepSeek-V4"), None),
    ("Gemini", card("google_genai:gemini-3-pro"), None),
    ("a server of one's own", card("qwen3", base_url="http://127.0.0.1:8080/v1"), None),
]


@pytest.mark.parametrize(("given", "words"), [row[1:] for row in CACHING], ids=[row[0] for row in CACHING])
def test_each_model_is_told_what_to_cache_in_words_that_it_takes(given, words):
    assert speaker_of(given).caching == words


@pytest.mark.parametrize("name", ["OPENAI_BASE_URL", "OPENAI_API_BASE"])
def test_a_named_model_follows_the_environment_to_another_server(name):
    named = card("openai:gpt-5.6")
    assert speaker_of(named, {name: "https://proxy.example/v1"}).caching is None
    assert speaker_of(named, {name: "https://api.openai.com/v1"}).caching == "key"


BUDGET = {"type": "enabled", "budget_tokens": 2000}
THINKING = [
    ("nothing is said", claude(), False),
    ("a budget for thoughts", claude(thinking=BUDGET), True),
    ("adaptive thoughts", card("anthropic:claude-opus-5-5", settings={"thinking": {"type": "adaptive"}}), False),
    ("an effort", card("anthropic:claude-opus-5-5", settings={"effort": "high"}), False),
    ("a budget for a named model", card("anthropic:claude-opus-4-5", settings={"thinking": BUDGET}), True),
    (
        "a budget on Bedrock",
        card("bedrock_converse:x", settings={"additional_model_request_fields": {"thinking": BUDGET}}),
        True,
    ),
    ("an effort of OpenAI", gpt(reasoning_effort="high"), False),
]


@pytest.mark.parametrize(("given", "is_so"), [row[1:] for row in THINKING], ids=[row[0] for row in THINKING])
def test_only_a_budget_for_thoughts_binds_a_claude_to_begin_with_them(given, is_so):
    assert thinks(given) is is_so


def test_settings_of_a_call_win_over_the_cards():
    assert thinks(claude(), {"thinking": BUDGET})
    assert not thinks(claude(thinking=BUDGET), {"thinking": {"type": "disabled"}})
