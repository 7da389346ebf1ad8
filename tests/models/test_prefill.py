"""How each server is told to go on from a partial turn, and where none can be sent."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from steprouter.errors import ConfigError
from steprouter.models.card import Abilities, ModelCard
from steprouter.models.identify import complete_card
from steprouter.models.prefill import prefill_style
from steprouter.testing import ScriptedChatModel

VLLM = "http://10.0.0.7:8000/v1"
MISTRAL = "https://api.mistral.ai/v1"
DASHSCOPE = "https://dashscope-intl.aliyuncs.com/compatible-mode/v1"


def card(model: str | BaseChatModel = "m", base_url: str | None = None, **fields: Any) -> ModelCard:
    return ModelCard(name="m", model=model, base_url=base_url, **fields)


def chat_openai(base_url: str, model: str = "m") -> ChatOpenAI:
    return ChatOpenAI(model=model, base_url=base_url, api_key=SecretStr("not-a-key"))


def learnt(given: ModelCard) -> bool | None:
    """Whether it goes on from a partial turn, once everything is looked up."""
    return complete_card(given).abilities.prefill


@pytest.mark.parametrize(
    ("given", "style"),
    [
        (card(base_url=MISTRAL), "prefix"),
        (card(base_url="https://api.deepseek.com/beta"), "prefix"),
        (card(base_url="https://api.moonshot.ai/v1"), "partial"),
        (card(base_url="https://dashscope.aliyuncs.com/compatible-mode/v1"), "partial"),
        (card(base_url=DASHSCOPE), "partial"),
        (card(base_url="https://openrouter.ai/api/v1"), "assistant"),
        (card(base_url="http://127.0.0.1:8080/v1"), "assistant"),
        (card(base_url="https://dashscope.aliyuncs.com.example.org/v1"), "assistant"),
        (card(base_url="https://example.org/api.mistral.ai"), "assistant"),
        (card(base_url=VLLM, prefill_style="continue_final_message"), "continue_final_message"),
        (card(base_url=MISTRAL, prefill_style="assistant"), "assistant"),
        (card("mistralai:mistral-large-2512"), "prefix"),
        (card("anthropic:claude-haiku-4-5"), "assistant"),
        (card(chat_openai(DASHSCOPE)), "partial"),
        (card(ScriptedChatModel()), "assistant"),
    ],
)
def test_the_style_is_what_the_card_states_or_else_what_the_host_speaks(given: ModelCard, style: str) -> None:
    assert prefill_style(given) == style


def test_a_stated_style_states_that_a_partial_turn_is_taken() -> None:
    assert learnt(card(base_url=VLLM)) is None
    assert learnt(card(base_url=VLLM, prefill_style="continue_final_message")) is True


def test_a_models_tools_beside_a_partial_turn_are_known_only_where_they_are_stated() -> None:
    given = card(base_url=VLLM, abilities=Abilities(prefill=True, prefill_with_tools=True))
    assert complete_card(given).abilities == Abilities(prefill=True, prefill_with_tools=True)
    assert complete_card(card("anthropic:claude-haiku-4-5")).abilities.prefill_with_tools is None


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (card("mistral-large-2512", MISTRAL), True),
        (card("mistralai:mistral-large-2512"), True),
        (card(chat_openai(MISTRAL, "mistral-large-2512")), None),
        (card("llama-3.3-70b-versatile", "https://api.groq.com/openai/v1"), True),
        (card("llama-3.3-70b-versatile", "https://api.groq.com/openai/v1", api="responses"), None),
    ],
)
def test_what_the_catalogue_knows_counts_only_where_it_can_be_said(given: ModelCard, taken: bool | None) -> None:
    assert learnt(given) is taken


@pytest.mark.parametrize(
    "given",
    [
        card(chat_openai(DASHSCOPE), abilities=Abilities(prefill=True)),
        card("deepseek:deepseek-v4-pro", abilities=Abilities(prefill=True)),
        card(ScriptedChatModel(), prefill_style="prefix"),
        card(ScriptedChatModel(), prefill_style="continue_final_message"),
    ],
)
def test_what_is_stated_and_cannot_be_said_is_refused_with_a_way_out(given: ModelCard) -> None:
    with pytest.raises(ConfigError, match=r"must be reached by base_url to go on from .*; give base_url"):
        complete_card(given)


def test_an_api_where_every_turn_is_finished_takes_no_partial_one() -> None:
    with pytest.raises(ConfigError, match="must not state prefill with api='responses'"):
        complete_card(card(base_url=VLLM, api="responses", abilities=Abilities(prefill=True)))


def test_models_made_of_openais_send_fields_beside_the_messages() -> None:
    assert learnt(card(chat_openai(VLLM), prefill_style="continue_final_message")) is True
    assert learnt(card(chat_openai(VLLM).bind(seed=1), prefill_style="continue_final_message")) is True  # type: ignore[arg-type]  # cards take bound models too
