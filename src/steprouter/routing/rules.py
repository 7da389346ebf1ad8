"""Rules: what a user states outright about who may answer which steps."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any

from ..errors import ConfigError
from ..models.card import ModelCard, Tier
from ..step.step import Step, StepKind

Names = str | Collection[str] | None


def names(given: Names) -> frozenset[str]:
    """One name or several, as a set."""
    if given is None:
        return frozenset()
    return frozenset({given}) if isinstance(given, str) else frozenset(given)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """If a step is like this, only these models may answer it. The first rule that matches counts.

    Conditions (all that are given must hold; several values of one condition are alternatives):
        kind: The step's kind.
        node: Name of the graph node.
        tag: A tag of the run.
        tenant: Whose data it is.
        user: On whose behalf.
        keyword: A word or phrase in the step's text, whatever its case, as whole words.
        min_tokens: The prompt is at least this long (estimated tokens).
        max_tokens: The prompt is at most this long.
        tools: A tool of this name is bound; `any` or `none` for whether tools are bound at all.
        metadata: Keys of the run's metadata or configurable values (HTTP headers that LangGraph's server
            passes on are among them) with the value each must have.

    Effects:
        models: Names or tags of the only models that may answer.
        tier: The weakest tier that may answer.
    """

    name: str
    kind: Names = None
    node: Names = None
    tag: Names = None
    tenant: Names = None
    user: Names = None
    keyword: Names = None
    min_tokens: int | None = None
    max_tokens: int | None = None
    tools: Names = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    models: Names = None
    tier: Tier | None = None

    def __post_init__(self) -> None:
        for f in fields(self):
            if f.type == "Names":
                object.__setattr__(self, f.name, names(getattr(self, f.name)))
        unknown = sorted(names(self.kind) - set(StepKind))
        if unknown:
            raise ConfigError(
                f"rule {self.name!r} names the kind {unknown[0]!r}; kinds are {[str(k) for k in StepKind]!r}"
            )
        if self.tier is not None and self.tier not in set(Tier):
            raise ConfigError(f"rule {self.name!r} names the tier {self.tier!r}; tiers are {list(map(str, Tier))!r}")
        if not self.models and self.tier is None:
            raise ConfigError(f"rule {self.name!r} must say `models` or `tier`; it would change nothing")
        if self.min_tokens is not None and self.max_tokens is not None and self.min_tokens > self.max_tokens:
            raise ConfigError(
                f"rule {self.name!r} can never match: min_tokens {self.min_tokens!r} > max_tokens {self.max_tokens!r}"
            )
        object.__setattr__(self, "tier", Tier(self.tier) if self.tier else None)

    def matches(self, step: Step) -> bool:
        """Whether the rule applies to `step`."""
        place, size = step.place, step.needs.input_tokens
        return (
            meets(self.kind, step.kind)
            and meets(self.node, place.node)
            and meets(self.tenant, place.tenant)
            and meets(self.user, place.user)
            and (not self.tag or not place.tags.isdisjoint(names(self.tag)))
            and (self.min_tokens is None or size >= self.min_tokens)
            and (self.max_tokens is None or size <= self.max_tokens)
            and self.tools_match(step)
            and all(place.metadata.get(key) == value for key, value in self.metadata.items())
            and (not self.keyword or says(step.text, names(self.keyword)))
        )

    def tools_match(self, step: Step) -> bool:
        """Whether the bound tools are as the rule wants them."""
        wanted, bound = names(self.tools), {*step.tool_names, *step.needs.builtin_tools}
        return not wanted or bool(wanted & bound or ("any" in wanted and bound) or ("none" in wanted and not bound))

    def allows(self, card: ModelCard) -> bool:
        """Whether the rule lets `card` answer."""
        wanted = names(self.models)
        named = not wanted or card.name in wanted or not card.tags.isdisjoint(wanted)
        return named and (self.tier is None or (card.tier or Tier.MID).rank >= self.tier.rank)


def meets(wanted: Names, value: str | None) -> bool:
    """Whether `value` is one of the wanted ones, where any are wanted."""
    return not wanted or value in wanted


def says(text: str, keywords: Collection[str]) -> bool:
    """Whether one of `keywords` stands in `text` as whole words. Plain words only, so it takes linear time."""
    return any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE) for word in keywords)


def check_rules(rules: Sequence[Rule], cards: Sequence[ModelCard], nodes: Collection[str]) -> None:
    """Raise where a rule can never do what it says.

    Args:
        rules: The rules in order.
        cards: The router's models.
        nodes: Names of the graph's nodes; empty where they are not known, then node names are not checked.

    Raises:
        ConfigError: Two rules share a name, or a rule names an unknown model, tag or node, or allows no model.
    """
    known = {card.name for card in cards} | {tag for card in cards for tag in card.tags}
    seen = set[str]()
    for rule in rules:
        if rule.name in seen:
            raise ConfigError(f"rule names must be unique, got {rule.name!r} twice")
        seen.add(rule.name)
        refuse_unknown(f"rule {rule.name!r}", "model", names(rule.models), known)
        if nodes:
            refuse_unknown(f"rule {rule.name!r}", "node", names(rule.node), nodes)
        if not any(rule.allows(card) for card in cards):
            raise ConfigError(f"rule {rule.name!r} allows none of the models {sorted(c.name for c in cards)!r}")


def refuse_unknown(who: str, what: str, named: Collection[str], known: Collection[str]) -> None:
    """Raise a `ConfigError` for the first name that is not known, with the nearest known one."""
    for name in sorted(named):
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known are {sorted(known)!r}"
            raise ConfigError(f"{who} names the unknown {what} {name!r}{hint}")
