"""From a card with several efforts to a candidate for each: one deployment, asked to think more or less."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.language_models import BaseChatModel

from ..errors import ConfigError
from .card import ModelCard, lowered
from .catalogue import for_card
from .effort import DEFAULT, Effort, candidate_name, levels_above, tokens_beside

FAR_BELOW = -2
"""So many levels below what a model does untold, it is taken to be one tier weaker (ours): the step from Claude's
`high` to `low`, or from GPT's `medium` to `none`. A level nearer only lowers what is thought of it."""

SENT_AS_EFFORT = frozenset({"openai", "azure", "azure_openai", "anthropic", "google_genai", "groq", "xai"})
"""Providers whose LangChain models take `reasoning_effort` with a call and turn it into their API's own words: read in
langchain-openai 1.7.3, -anthropic 1.7.7, -google-genai 4.4.2, -groq 1.1.3, -xai 1.3.0."""

BUDGETED = re.compile(r"gemini-2\.|claude-3|claude-(haiku|sonnet)-4-5|claude-(opus|sonnet)-4(-[01])?(-20\d{6})?$")
"""They think by a budget of tokens and answer 400 to a level: "This model does not support the effort parameter",
"Thinking level is not supported for this model"."""

BUDGETS = {
    "anthropic": "{'off': {}, 'on': {'thinking': {'type': 'enabled', 'budget_tokens': 8000}}}",
    "google_genai": "{'off': {'thinking_budget': 0}, 'on': {'thinking_budget': 8000}}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the sources say of a model's levels.

    Attributes:
        levels: Those it takes; empty is unknown.
        usual: What it does untold; None is unknown.
    """

    levels: tuple[str, ...] = ()
    usual: str | None = None


def known_levels(card: ModelCard) -> Known:
    """What the model object's profile says, or else the catalogue."""
    profile = getattr(card.model, "profile", None) if isinstance(card.model, BaseChatModel) else None
    if isinstance(profile, Mapping) and (levels := profile.get("reasoning_effort_levels")):
        return Known(levels=tuple(levels), usual=profile.get("reasoning_effort_default"))
    entry = for_card(card)
    return Known() if entry is None else Known(levels=entry.efforts, usual=entry.usual_effort)


def expanded(cards: Sequence[ModelCard], providers: Mapping[str, str | None]) -> tuple[ModelCard, ...]:
    """The candidates that the cards make, in their order.

    A card without efforts that is another place of one that has some takes that one's.

    Args:
        cards: The cards, completed.
        providers: The provider of each by its name, as tracing knows it.

    Raises:
        ConfigError: How an effort is sent is not known, or the model is known not to take it.
    """
    named = {card.name: card for card in cards}
    made: list[ModelCard] = []
    for card in cards:
        other = named.get(card.deployment_of or "")
        efforts = card.efforts or (other.efforts if other is not None else ())
        if not efforts:
            made.append(card)
            continue
        own = replace(card, efforts=efforts)
        made += [candidate(own, name, other, providers[card.name]) for name in efforts]
    return tuple(made)


def candidate(card: ModelCard, name: str, other: ModelCard | None, provider: str | None) -> ModelCard:
    """The candidate of a card at one of its efforts.

    Args:
        card: The card.
        name: The effort.
        other: The card of which it is another place, if any.
        provider: The model's provider.
    """
    known, names = known_levels(card), tuple(card.efforts)
    settings = sent(card, name, known, provider)
    above = levels_above(names, name, known.usual)
    is_weaker = above <= FAR_BELOW
    peer = None if other is None or name not in other.efforts else candidate_name(other.name, name)
    return replace(
        card,
        name=candidate_name(card.name, name),
        efforts=(),
        effort=Effort(
            name=name,
            base=card.name,
            settings=settings,
            above=above,
            is_weaker=is_weaker,
            tokens=tokens_beside(name, known.usual),
        ),
        tier=lowered(card.tier) if card.tier is not None and is_weaker else card.tier,
        # Whoever names the card in a rule means all of them.
        tags=card.tags | {card.name},
        deployment_of=peer,
    )


def sent(card: ModelCard, name: str, known: Known, provider: str | None) -> dict[str, Any]:
    """What is sent with a call for an effort.

    Raises:
        ConfigError: It is not known, or the model is known not to take it.
    """
    if isinstance(card.efforts, Mapping):
        return dict(card.efforts[name])
    if name == DEFAULT:
        return {}
    outright = f"say what to send for each: efforts={{{name!r}: {{'reasoning_effort': {name!r}}}}}"
    if known.levels and name not in known.levels:
        raise ConfigError(
            f"efforts of {card.name!r} must be among {list(known.levels)!r}, which its model takes, got {name!r}; "
            f"take one of them, or {outright}"
        )
    if card.abilities.reasoning is False:
        raise ConfigError(f"efforts of {card.name!r} must be left out: its model does not think; or {outright}")
    if card.base_url is None and provider in BUDGETS and BUDGETED.search(model_name(card)):
        raise ConfigError(
            f"efforts of {card.name!r} must say what to send, got only names: its model thinks by a budget of tokens; "
            f"write efforts={BUDGETS[provider]}"
        )
    if card.base_url is not None or provider in SENT_AS_EFFORT:
        own = own_reasoning(card)
        return {"reasoning": {**own, "effort": name}} if own else {"reasoning_effort": name}
    if provider == "openrouter":
        return {"reasoning": {**own_reasoning(card), "effort": name}}
    raise ConfigError(
        f"efforts of {card.name!r} must say what to send, got only names: how {provider or 'its provider'!r} is told "
        f"of an effort is not known; {outright}, with the words of its API"
    )


def own_reasoning(card: ModelCard) -> Mapping[str, Any]:
    """What the user says about thoughts in Responses' words, of which an effort is to change only the level."""
    own = getattr(card.model, "reasoning", None) if isinstance(card.model, BaseChatModel) else None
    own = own or card.settings.get("reasoning")
    return own if isinstance(own, Mapping) else {}


def model_name(card: ModelCard) -> str:
    """The model's name, wherever the card has it."""
    if isinstance(card.model, str):
        return card.model.lower()
    return str(getattr(card.model, "model_name", None) or getattr(card.model, "model", "")).lower()
