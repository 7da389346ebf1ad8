"""Who a card stands for, and what is known of it from its profile and the catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.language_models import BaseChatModel, ModelProfile

from ..errors import ConfigError
from .card import Abilities, ModelCard
from .catalogue import complete, for_card, from_genai_prices
from .expand import expanded
from .prefill import with_prefill


def complete_cards(cards: Sequence[ModelCard]) -> tuple[ModelCard, ...]:
    """The candidates: the cards with what they leave open looked up, and one for each effort where a card has some.

    Raises:
        ConfigError: There is none, two share a name, or one states what its way to the model rules out.
    """
    if not cards:
        raise ConfigError("models must not be empty; give at least one ModelCard")
    names = [name for card in cards for name in card.names]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"model names must be unique, got {twice[0]!r} twice; give each card its own name")
    known = [card.name for card in cards]
    unknown = sorted({card.deployment_of for card in cards if card.deployment_of} - set(known))
    if unknown:
        raise ConfigError(f"deployment_of must name a card of this router, got {unknown[0]!r}; cards are {known!r}")
    return candidates_of(cards)


def candidates_of(cards: Sequence[ModelCard]) -> tuple[ModelCard, ...]:
    """As `complete_cards`, for cards that need not make a whole router.

    Raises:
        ConfigError: A card states what its way to the model rules out, or an effort that its model does not take.
    """
    complete = tuple(complete_card(card) for card in cards)
    return expanded(complete, {card.name: identity(card)[0] for card in complete if card.efforts or card.deployment_of})


def complete_card(card: ModelCard) -> ModelCard:
    """A card with what it leaves open taken from the model object's profile and from the catalogue.

    Raises:
        ConfigError: It states an ability that its way to the model rules out.
    """
    provider, name = identity(card)
    if card.prefill_style is not None:
        card = replace(card, abilities=card.abilities.over(Abilities(prefill=True)))
    stated = card.abilities
    if card.tools != "native":
        emulated = Abilities(tools=True, tool_choice=True, parallel_tools=False, json_schema=True)
        card = replace(card, abilities=card.abilities.over(emulated))
    profile = getattr(card.model, "profile", None) if isinstance(card.model, BaseChatModel) else None
    if profile:
        card = replace(
            card,
            abilities=card.abilities.over(profile_abilities(profile)),
            window_tokens=card.window_tokens or profile.get("max_input_tokens"),
            max_output_tokens=card.max_output_tokens or profile.get("max_output_tokens"),
        )
    entry = for_card(card)
    if entry is None and card.price is None and card.base_url is None and name:
        entry = from_genai_prices(name, provider)
    return with_prefill(complete(card, entry), stated)


def identity(card: ModelCard) -> tuple[str | None, str | None]:
    """Provider and model name as tracing and the catalogue know them."""
    if isinstance(card.model, BaseChatModel):
        params = card.model._get_ls_params()  # LangChain's own way to ask; none is public
        return params.get("ls_provider"), params.get("ls_model_name")
    if card.base_url is not None or ":" not in card.model:
        return None, card.model
    provider, _, name = card.model.partition(":")
    return provider, name


def profile_abilities(profile: Mapping[str, Any]) -> Abilities:
    """What a LangChain model profile says of a model's abilities."""
    return Abilities(
        tools=profile.get("tool_calling"),
        tool_choice=profile.get("tool_choice"),
        json_schema=profile.get("structured_output"),
        images=profile.get("image_inputs"),
        audio=profile.get("audio_inputs"),
        files=profile.get("pdf_inputs"),
        reasoning=profile.get("reasoning_output"),
    )


PROFILE_LIMITS = {"max_input_tokens": "window_tokens", "max_output_tokens": "max_output_tokens"}
PROFILE_ABILITIES = {
    "tool_calling": "tools",
    "tool_choice": "tool_choice",
    "structured_output": "json_schema",
    "image_inputs": "images",
    "audio_inputs": "audio",
    "pdf_inputs": "files",
    "reasoning_output": "reasoning",
}


def shared_profile(cards: Sequence[ModelCard]) -> ModelProfile:
    """What every candidate can do: limits are the smallest, abilities hold only if all are known to have them."""
    profile: Any = {}
    for key, name in PROFILE_LIMITS.items():
        limits = [getattr(card, name) for card in cards]
        if all(limits):
            profile[key] = min(limits)
    for key, name in PROFILE_ABILITIES.items():
        known = [getattr(card.abilities, name) for card in cards]
        if all(known) or any(able is False for able in known):
            profile[key] = all(known)
    shared: ModelProfile = profile
    return shared
