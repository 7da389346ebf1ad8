"""Who speaks in a history: whose words a message holds, and what a model that reads them is like."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal
from urllib.parse import urlsplit

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableBinding

from ..models.card import ModelCard
from ..models.identify import identity

SAME_PROVIDER = {
    "azure": "openai",
    "azure_openai": "openai",
    "anthropic-bedrock": "anthropic",
    "anthropic-mantle": "anthropic",
    "anthropicvertex": "anthropic",
    "google_anthropic_vertex": "anthropic",
    "google": "google_genai",
    "google-genai": "google_genai",
    "google_vertexai": "google_genai",
    "mistral": "mistralai",
    "amazon_bedrock": "bedrock",
    "bedrock_converse": "bedrock",
}
"""Integrations call themselves one thing to tracers (`ls_provider`) and another in messages (`model_provider`)."""

DATED = re.compile(r"[-@](\d{8}|\d{4}-\d{2}-\d{2})$")
"""Models asked for by their short name answer under a dated one."""

KEPT_BY_SERVER = frozenset({"openai"})
"""Their native blocks name what one account keeps (`rs_…`, `resp_…`, sealed reasoning). Azure and OpenAI call
themselves alike in messages, so only the router's own card tells such accounts apart."""

KNOWN_NAMES = 4096
"""Pairs of names whose likeness is remembered; a process sees a few dozen."""

OPENAI_HOSTS = re.compile(r"(.+\.)?api\.openai\.com")
OPENAI_URL_NAMES = ("OPENAI_API_BASE", "OPENAI_BASE_URL")
"""Variables by which LangChain's and OpenAI's own code finds another server, in the order they are asked."""

AZURE_SERVES = re.compile(r"gpt-|o\d|codex")
"""OpenAI's models on Azure; its others answer 400 to a `prompt_cache_key` (zed#52000, kimi-code#2611)."""

CacheWords = Literal["marks", "setting", "key"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """A model, as the one that will read a history.

    Attributes:
        provider: Its provider as tracing knows it; None for a server that speaks OpenAI's API.
        model: Its name at the provider.
        card: What a router calls it. Answers of a router say it too, so a model behind an alias knows its own.
        late_system: Whether it takes system messages after the user's words; None goes by the provider. OpenAI's
            models take them anywhere.
        also: What else the router calls it: the same model at other efforts, whose answers are its own.
        caching: How it is told what to keep in its prompt cache: by `marks` in content and tools (Claude), by one
            `setting` from which its integration makes marks (Claude on Bedrock), or by a `key` that names prompts
            with one beginning (OpenAI). None where nothing need or may be said, or the user says it already.
    """

    provider: str | None
    model: str | None
    card: str | None = None
    also: frozenset[str] = frozenset()
    late_system: bool | None = None
    caching: CacheWords | None = None

    @property
    def family(self) -> str:
        """One name for the names its provider goes by."""
        return family_of(self.provider)

    @property
    def is_claude(self) -> bool:
        """Whether it is one of Anthropic's models, wherever it runs."""
        return self.family == "anthropic" or "claude" in (self.model or "").lower()


@lru_cache(maxsize=KNOWN_NAMES)
def family_of(provider: str | None) -> str:
    """One name for the names a provider goes by; a server that speaks OpenAI's API has none of its own."""
    name = (provider or "openai_compatible").lower()
    return SAME_PROVIDER.get(name, name)


def is_own(message: AIMessage, to: Speaker) -> bool:
    """Whether `to` wrote this message, so that everything native in it may stay.

    An unknown writer is a stranger, and so is whoever went on from another model's half. Calls that cannot be told
    apart by their ids make a stranger too: native blocks repeat the ids, which must be changed.
    """
    metadata = message.response_metadata
    provider = metadata.get("model_provider")
    if not isinstance(provider, str) or family_of(provider) != to.family:
        return False
    if message.tool_calls or message.invalid_tool_calls:
        ids = [call["id"] for call in (*message.tool_calls, *message.invalid_tool_calls)]
        if not all(ids) or len(set(ids)) < len(ids):
            return False
    routed = metadata.get("steprouter")
    if isinstance(routed, Mapping):
        if routed.get("resumed"):
            return False
        if to.card is not None and (card := routed.get("model")) is not None:
            if card == to.card or card in to.also:
                return True
            if to.family in KEPT_BY_SERVER:
                return False
    model = metadata.get("model_name")
    return isinstance(model, str) and to.model is not None and is_same_model(model, to.model)


@lru_cache(maxsize=KNOWN_NAMES)
def is_same_model(one: str, other: str) -> bool:
    """Whether two names mean one model: alike but for a path in front, and a date that only one of them has."""
    if not one or not other:
        return False
    one, other = (name.lower().rpartition("/")[2].removesuffix("-latest") for name in (one, other))
    return one == other or DATED.sub("", one) == other or one == DATED.sub("", other)


def speaker_of(card: ModelCard, environ: Mapping[str, str] | None = None, *, also: Collection[str] = ()) -> Speaker:
    """The model of a card as a reader of histories.

    Args:
        card: The card.
        environ: Environment variables, which may send a model that is only named to another server.
        also: What else the router calls the model.
    """
    card, bound = unbound(card)
    provider, name = identity(card)
    if card.base_url is not None and (card.api == "responses" or is_openais(card.base_url)):
        provider = "openai"  # as its own answers say
    profile = getattr(card.model, "profile", None) or {}
    return Speaker(
        provider=provider,
        model=name,
        card=card.name,
        also=frozenset(also),
        late_system=profile.get("mid_conversation_system_messages"),
        caching=None if says_what_to_cache({**given_to(card), **bound}) else caching_of(card, environ or {}),
    )


def unbound(card: ModelCard) -> tuple[ModelCard, dict[str, Any]]:
    """A card with the model that `bind` and `with_config` had wrapped, and what was bound to it."""
    bound: dict[str, Any] = {}
    model: Any = card.model
    while isinstance(model, RunnableBinding):
        model, bound = model.bound, {**model.kwargs, **bound}
    return (card if model is card.model else replace(card, model=model)), bound


def says_what_to_cache(given: Mapping[str, Any]) -> bool:
    """Whether the user tells a model in every call what to cache."""
    return bool({*given, *(given.get("extra_body") or {})} & {"cache_control", "prompt_cache_key"})


def caching_of(card: ModelCard, environ: Mapping[str, str]) -> CacheWords | None:
    """How a model is told what to cache; None where nothing may be said."""
    provider, name = identity(card)
    family = family_of(provider)
    if family == "anthropic" and card.base_url is None:
        return "marks"
    if family == "bedrock" and "claude" in (name or "").lower():
        return "setting"
    is_openais_wire = family == "openai" or card.base_url is not None
    return "key" if is_openais_wire and takes_cache_key(card, name or "", environ) else None


def takes_cache_key(card: ModelCard, name: str, environ: Mapping[str, str]) -> bool:
    """Whether a card leads to a server of OpenAI's own; others refuse fields they do not know.

    Groq, Cerebras, Mistral, NVIDIA and Azure's other models answer 400 or 422 (zed#36215, picoclaw#1333).
    """
    if identity(card)[0] in ("azure", "azure_openai"):
        version = getattr(card.model, "openai_api_version", None) or card.settings.get("api_version") or "v1"
        # GPT's dated versions of 2024 are older than the field.
        return AZURE_SERVES.match(name.lower()) is not None and not str(version).startswith(("2022", "2023", "2024"))
    if isinstance(card.model, BaseChatModel):
        url = getattr(getattr(card.model, "root_client", None), "base_url", None)
        return url is not None and is_openais(str(url))
    named = (card.settings.get(key) for key in ("base_url", "openai_api_base"))
    url = card.base_url or next(filter(None, (*named, *(environ.get(key) for key in OPENAI_URL_NAMES))), None)
    return url is None or is_openais(str(url))


def is_openais(url: str) -> bool:
    """Whether an address is OpenAI's own."""
    return OPENAI_HOSTS.fullmatch(urlsplit(url).hostname or "") is not None


def thinks(card: ModelCard, settings: Mapping[str, Any] | None = None) -> bool:
    """Whether a Claude is told to think with a budget (`thinking={"type": "enabled", …}`).

    Only then does its API demand thoughts at the beginning of a tool loop. Adaptive thinking, which an effort
    goes with, lets it answer without thoughts, so a loop without any is as good there.

    Args:
        card: The card.
        settings: Settings of the call, which win over the card's.
    """
    given = given_for(card, settings or {})
    fields = given.get("additional_model_request_fields")  # Bedrock's name for what it hands on
    thinking = given.get("thinking") or (fields.get("thinking") if isinstance(fields, Mapping) else None)
    return isinstance(thinking, Mapping) and thinking.get("type") == "enabled"


def given_for(card: ModelCard, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a card's model is told in a call of these settings, which win over the card's and its effort's."""
    card, bound = unbound(card)
    effort = {} if card.effort is None else card.effort.settings
    return {**given_to(card), **bound, **effort, **settings}


def given_to(card: ModelCard) -> dict[str, Any]:
    """What a card's model was told for every call: the card's settings, or the model object's own."""
    if not isinstance(card.model, BaseChatModel):
        return {**(card.settings.get("model_kwargs") or {}), **card.settings}
    names = ("thinking", "additional_model_request_fields", "extra_body", "prompt_cache_key", "cache_control")
    own = {name: value for name in names if (value := getattr(card.model, name, None)) is not None}
    return {**(getattr(card.model, "model_kwargs", None) or {}), **own}
