"""How a model is given a partial turn of its own to go on from, and where that cannot be said."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from langchain_core.runnables import RunnableBinding

from ..errors import ConfigError
from .card import Abilities, ModelCard, PrefillStyle
from .catalogue import API_HOSTS, PROVIDERS, first_text

STYLES: Mapping[str, PrefillStyle] = {"deepseek": "prefix", "mistralai": "prefix", "moonshotai": "partial"}
"""By provider, as their API references have it (2026-11): docs.mistral.ai/api, AssistantMessage;
api-docs.deepseek.com/guides/chat_prefix_completion; platform.kimi.ai/docs/api/partial."""

STYLES_AT: Mapping[str, PrefillStyle] = {
    **{host: STYLES[provider] for host, provider in API_HOSTS.items() if provider in STYLES},
    "api.moonshot.cn": "partial",
}
DASHSCOPE = re.compile(r"(?:[a-z0-9-]+\.)?dashscope(?:-[a-z]+)?\.aliyuncs\.com")
"""Alibaba's hosts in each region; partial mode as in alibabacloud.com/help/en/model-studio/partial-mode."""


def prefill_style(card: ModelCard) -> PrefillStyle:
    """How a partial turn is sent to the model of a card: as it states, or as its provider has it."""
    if card.prefill_style is not None:
        return card.prefill_style
    provider, host = provider_of(card), host_of(card)
    if DASHSCOPE.fullmatch(host):
        return "partial"
    return STYLES_AT.get(host) or STYLES.get(provider or "") or "assistant"


def is_sayable(card: ModelCard) -> bool:
    """Whether a partial turn can be sent in that style.

    LangChain's models drop what their own messages have no word for: only Mistral's sends `prefix`, none `partial`,
    and those made of OpenAI's send fields beside the messages (langchain-mistralai 1.1.6, langchain-openai 1.7.3,
    langchain-deepseek 1.1.1).
    """
    if card.base_url is not None:
        return card.api == "chat_completions"
    match prefill_style(card):
        case "assistant":
            return True
        case "prefix":
            return provider_of(card) == "mistralai"
        case "continue_final_message":
            return takes_extra_body(card)
    return False


def with_prefill(card: ModelCard, stated: Abilities) -> ModelCard:
    """A card that is known to go on from a partial turn only where one can be sent.

    Args:
        card: The card with everything looked up.
        stated: What was stated before that.

    Raises:
        ConfigError: It was stated, and cannot be sent.
    """
    if not card.abilities.prefill or is_sayable(card):
        return card
    if stated.prefill and card.base_url is not None:
        raise ConfigError(
            f"model {card.name!r} must not state prefill with api={card.api!r}, where the last turn is always "
            "finished; leave it out, or take api='chat_completions'"
        )
    if stated.prefill:
        raise ConfigError(
            f"model {card.name!r} must be reached by base_url to go on from a partial turn, which its LangChain "
            f"model cannot send in the style {prefill_style(card)!r}; give base_url and the server's model name, or "
            "leave prefill out"
        )
    return replace(card, abilities=replace(card.abilities, prefill=None))


def provider_of(card: ModelCard) -> str | None:
    """Whose LangChain model it is, by the catalogue's name of the provider; None where it is reached by `base_url`."""
    if card.base_url is not None:
        return None
    if isinstance(card.model, str):
        return PROVIDERS.get(card.model.partition(":")[0].strip().lower())
    package = type(unbound(card.model)).__module__.partition(".")[0]
    return PROVIDERS.get(package.removeprefix("langchain_"))


def host_of(card: ModelCard) -> str:
    """The host that a card or its model object names; empty where that is the provider's own."""
    url = card.base_url
    if url is None and not isinstance(card.model, str):
        url = first_text(unbound(card.model), "openai_api_base", "base_url", "api_base")
    return urlsplit(url or "").hostname or ""


def takes_extra_body(card: ModelCard) -> bool:
    """Whether a LangChain model sends fields of the caller's own."""
    if isinstance(card.model, str):
        return provider_of(card) == "openai"
    return any(kind.__name__ == "BaseChatOpenAI" for kind in type(unbound(card.model)).__mro__)


def unbound(model: object) -> object:
    """The chat model that `bind` and `with_config` had wrapped."""
    while isinstance(model, RunnableBinding):
        model = model.bound
    return model
