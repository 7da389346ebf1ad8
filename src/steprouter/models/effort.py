"""How hard a model thinks: the levels that providers name, and one of them as part of a candidate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ..errors import ConfigError

LEVELS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""The levels that OpenAI, Anthropic, Google, xAI and Groq name, from the least thought to the most."""

USUAL = "medium"
"""Where a model is taken to stand of which no source says what it does untold; OpenAI's and half of Google's do so."""

DEFAULT = "default"
"""The level that says nothing to the provider, so that the model thinks as it does untold."""

TOKENS: Mapping[str, float] = MappingProxyType(
    {"none": 0.4, "minimal": 0.5, "low": 0.7, "medium": 1.0, "high": 1.6, "xhigh": 2.4, "max": 3.5}
)
"""Tokens of an answer, thoughts included, against `medium`: round guesses, used only to compare costs until a
candidate's own average is known. In steps of agents a lower effort saved about half of the thoughts (Ares,
arXiv 2603.07915: 42 to 53 %); in single hard questions the steps between levels are larger."""

LEAST_BUDGET_TOKENS = 1024
"""Claude refuses a smaller budget for its thoughts (Anthropic's API reference, 2026)."""

Efforts = tuple[str, ...] | Mapping[str, Mapping[str, Any]]
"""Levels by name, or what to send for each name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """The effort of one candidate.

    Attributes:
        name: What the user calls it.
        base: The card that has it among its efforts, which is the deployment that all of them share.
        settings: What is sent with every call.
        above: How many levels it is above what the model does untold; less than 0 is below.
        is_weaker: Whether it is so far below that the candidate counts as one tier weaker.
        tokens: How long its answers are expected to be, against what the model does untold.
    """

    name: str
    base: str
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    above: int = 0
    is_weaker: bool = False
    tokens: float = 1.0


def candidate_name(card: str, effort: str) -> str:
    """What the candidate of a card at an effort is called."""
    return f"{card}@{effort}"


def levels_above(names: Sequence[str], name: str, usual: str | None) -> int:
    """How many levels `name` is above what the model does untold.

    Names of the user's own stand as they were listed, the least first; the last is taken to be the model as it is
    known, and so are all that a list mixes with levels that are known.
    """
    if name == DEFAULT:
        return 0
    own = [one for one in names if one not in LEVELS and one != DEFAULT]
    if name in own:
        return 0 if len(own) < len([one for one in names if one != DEFAULT]) else own.index(name) - len(own) + 1
    return LEVELS.index(name) - LEVELS.index(usual if usual in LEVELS else USUAL)


def tokens_beside(name: str, usual: str | None) -> float:
    """How long answers are at a level, against what the model does untold."""
    return TOKENS.get(name, 1.0) / TOKENS.get(usual or USUAL, 1.0) if name in LEVELS else 1.0


def checked(card: str, efforts: object) -> Efforts:
    """The efforts of a card as they are kept.

    Raises:
        ConfigError: They are neither names nor settings by name, a name will not do, or a budget is too small.
    """
    if isinstance(efforts, Mapping):
        for name, settings in efforts.items():
            if not isinstance(settings, Mapping):
                raise ConfigError(
                    f"efforts of {card!r} must give settings for each name, got {settings!r} for {name!r}; "
                    f"write {{{name!r}: {{'reasoning_effort': 'low'}}}}"
                )
            check_budget(card, settings)
        check_names(card, efforts)
        return {str(name): dict(settings) for name, settings in efforts.items()}
    if isinstance(efforts, str) or not isinstance(efforts, Iterable):
        raise ConfigError(f"efforts of {card!r} must be a list of names or settings by name, got {efforts!r}")
    names = tuple(efforts)
    check_names(card, names)
    return names


def check_names(card: str, names: Iterable[object]) -> None:
    """Refuse names that cannot be part of a candidate's."""
    seen: list[object] = []
    for name in names:
        if not isinstance(name, str) or not name.isprintable() or not name or "@" in name:
            raise ConfigError(f"efforts of {card!r} must have printable names without '@', got {name!r}")
        if name in seen:
            raise ConfigError(f"efforts of {card!r} must have names of their own, got {name!r} twice")
        seen.append(name)


def check_budget(card: str, settings: Mapping[str, Any]) -> None:
    """Refuse a budget for thoughts that Claude would refuse."""
    budget = budget_tokens(settings)
    if budget is not None and budget < LEAST_BUDGET_TOKENS:
        raise ConfigError(
            f"a thinking budget of {card!r} must be {LEAST_BUDGET_TOKENS} tokens or more, got {budget}; "
            "leave `thinking` out, or say {'type': 'disabled'}, for no thoughts"
        )


def budget_tokens(settings: Mapping[str, Any]) -> int | None:
    """What Claude may spend on its thoughts; None where no budget is set."""
    thinking = settings.get("thinking")
    if not isinstance(thinking, Mapping) or thinking.get("type") != "enabled":
        return None
    budget = thinking.get("budget_tokens")
    return budget if isinstance(budget, int) and not isinstance(budget, bool) else None
