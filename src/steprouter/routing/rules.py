"""Rules: what users state outright about who may answer which steps."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from functools import cached_property
from typing import Any

from ..errors import ConfigError
from ..models.card import ModelCard, Tier
from ..models.locality import is_local
from ..step.step import Step, StepKind
from .rule_values import Expected, read_expected
from .rule_words import check_patterns, finds, folded, keyword_of, says, searchable

Names = str | Collection[str] | None
"""One name, several of which any will do, or none."""


def names(given: Names) -> frozenset[str]:
    """The names as a set; empty where nothing was asked for."""
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
        header: Names of HTTP headers, whatever their case, with what each must have, as in `metadata`. LangGraph's
            server passes those on that its `configurable_headers` name.
        metadata: Keys of the run's metadata or configurable values with what each must have: a value, a comparison
            such as `">= 3"`, `"!= beta"`, `"in [a, b]"`, `"exists"` or `"absent"`, or a list of either.
        keyword: A word or phrase in what a human asked last, as whole words, whatever its case and accents.
        regex: A pattern in what a human asked last, searched by RE2 in linear time; needs `steprouter[regex]`.
        pii: Personal data anywhere in the prompt. True is any, and any attachment; False is none; or names of kinds
            (`email`, `iban`, …, `attachment`).
        min_tokens: The prompt is at least this long (estimated tokens).
        max_tokens: The prompt is at most this long.
        tools: A tool of this name is bound; `any` or `none` for whether tools are bound at all.

    Effects (all that are given hold together):
        models: Names or tags of the only models that may answer.
        tier: The weakest tier that may answer.
        max_tier: The strongest tier that may answer.
        regions: The only regions a model may run in; one whose card states none may not answer.
        local_only: Only models on this machine may answer: their card has the region `local`, or none and a
            `base_url` on the loopback interface.
        quality_loss: In place of the policy's, for such steps: 0 to 1.

    Raises:
        ConfigError: A condition or effect cannot be read, no step can match, or nothing would come of it.
    """

    name: str
    kind: Names = None
    node: Names = None
    tag: Names = None
    tenant: Names = None
    user: Names = None
    header: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    keyword: Names = None
    regex: Names = None
    pii: bool | Names = None
    min_tokens: int | None = None
    max_tokens: int | None = None
    tools: Names = None
    models: Names = None
    tier: Tier | None = None
    max_tier: Tier | None = None
    regions: Names = None
    local_only: bool = False
    quality_loss: float | None = None

    def __post_init__(self) -> None:
        for f in fields(self):
            if f.type == "Names":
                object.__setattr__(self, f.name, self.read_names(f.name))
        self.read_conditions()
        self.read_effects()

    def read_names(self, what: str) -> frozenset[str]:
        """The names that a field has.

        Raises:
            ConfigError: They are none.
        """
        given = getattr(self, what)
        listed = [given] if isinstance(given, str) else given or ()
        if not isinstance(listed, Collection) or not all(isinstance(name, str) for name in listed):
            raise ConfigError(f"{what} of rule {self.name!r} must be names, got {given!r}")
        return names(listed)

    def read_conditions(self) -> None:
        """Take the conditions apart, once.

        Raises:
            ConfigError: One of them cannot be read, or they contradict each other.
        """
        who = f"rule {self.name!r}"
        refuse_unknown(who, "kind", names(self.kind), [*map(str, StepKind)])
        check_patterns(who, names(self.regex))
        header = {key.lower(): read_expected(f"header {key!r} of {who}", given) for key, given in self.header.items()}
        metadata = {key: read_expected(f"metadata {key!r} of {who}", given) for key, given in self.metadata.items()}
        keywords = frozenset(map(keyword_of, names(self.keyword)))
        if "" in keywords:
            raise ConfigError(
                f"{who} must have keywords with a letter, digit or sign, got {sorted(names(self.keyword))!r}"
            )
        for what, read in (("header", header), ("metadata", metadata), ("keyword", keywords)):
            object.__setattr__(self, what, read)
        if not isinstance(self.pii, bool):
            object.__setattr__(self, "pii", self.read_names("pii") or None)
            refuse_unknown(who, "kind of personal data", self.pii_kinds, sensitive())
        least, most = (count_of(what, who, getattr(self, what)) for what in ("min_tokens", "max_tokens"))
        if least is not None and most is not None and least > most:
            raise ConfigError(f"{who} can never match: min_tokens {least!r} > max_tokens {most!r}")

    def read_effects(self) -> None:
        """Take the effects apart, once.

        Raises:
            ConfigError: One of them cannot be read, there is none, or they contradict each other.
        """
        who = f"rule {self.name!r}"
        for what in ("tier", "max_tier"):
            if (tier := getattr(self, what)) is not None:
                refuse_unknown(who, "tier", {str(tier)}, [*map(str, Tier)])
                object.__setattr__(self, what, Tier(tier))
        if self.tier is not None and self.max_tier is not None and self.tier.rank > self.max_tier.rank:
            raise ConfigError(f"{who} allows nobody: tier {self.tier} is above max_tier {self.max_tier}")
        if self.local_only not in (True, False):
            raise ConfigError(f"local_only of {who} must be True or False, got {self.local_only!r}")
        loss: Any = self.quality_loss
        if loss is not None and (isinstance(loss, bool) or not isinstance(loss, int | float) or not 0 <= loss <= 1):
            raise ConfigError(f"quality_loss of {who} must be between 0 and 1, got {loss!r}")
        given = (self.models, self.tier, self.max_tier, self.regions, self.local_only, loss is not None)
        if not any(given):
            raise ConfigError(
                f"{who} must have an effect (models, tier, max_tier, regions, local_only or quality_loss), got none; "
                "it would change nothing"
            )

    @property
    def pii_kinds(self) -> frozenset[str]:
        """Names of the kinds of personal data that the condition is about; empty where there is none."""
        if isinstance(self.pii, bool):
            return personal()
        return names(self.pii)

    def matches(self, step: Step | Reading) -> bool:
        """Whether the rule applies to a step."""
        reading = step if isinstance(step, Reading) else Reading(step)
        place, size = reading.step.place, reading.step.needs.input_tokens
        return (
            meets(self.kind, reading.step.kind)
            and meets(self.node, place.node)
            and meets(self.tenant, place.tenant)
            and meets(self.user, place.user)
            and (not self.tag or not place.tags.isdisjoint(names(self.tag)))
            and (self.min_tokens is None or size >= self.min_tokens)
            and (self.max_tokens is None or size <= self.max_tokens)
            and self.tools_match(reading.step)
            and are_as_expected(self.metadata, place.metadata)
            and (not self.header or are_as_expected(self.header, reading.headers))
            and self.pii_matches(reading.step.personal)
            and (not self.keyword or says(reading.words, names(self.keyword)))
            and (not self.regex or finds(names(self.regex), reading.pattern_text))
        )

    def tools_match(self, step: Step) -> bool:
        """Whether the bound tools are as the rule wants them."""
        wanted, bound = names(self.tools), {*step.tool_names, *step.needs.builtin_tools}
        return not wanted or bool(wanted & bound or ("any" in wanted and bound) or ("none" in wanted and not bound))

    def pii_matches(self, found: frozenset[str] | None) -> bool:
        """Whether the personal data found is what the rule is about; what nobody looked for may be anything."""
        if self.pii is None:
            return True
        holds = found is None or not found.isdisjoint(self.pii_kinds)
        return holds is not (self.pii is False)

    def allows(self, card: ModelCard) -> bool:
        """Whether the rule lets `card` answer."""
        return self.objection(card) is None

    def objection(self, card: ModelCard) -> str | None:
        """Why the rule does not let `card` answer; None if it does."""
        wanted, tier = names(self.models), card.tier or Tier.MID
        if wanted and card.name not in wanted and card.tags.isdisjoint(wanted):
            return "not one of its models"
        if self.tier is not None and tier.rank < self.tier.rank:
            return f"tier {tier} is below {self.tier}"
        if self.max_tier is not None and tier.rank > self.max_tier.rank:
            return f"tier {tier} is above {self.max_tier}"
        if self.regions and card.region not in names(self.regions):
            return (
                "its card states no region"
                if card.region is None
                else f"region {card.region} is not one of its regions"
            )
        if self.local_only and not is_local(card):
            return "not a local model"
        return None


class Reading:
    """A step as rules read it; what several of them look at is made once.

    Args:
        step: The step.
    """

    def __init__(self, step: Step) -> None:
        self.step = step

    @cached_property
    def words(self) -> str:
        """What was asked, for keywords."""
        return folded(self.step.asked or self.step.text)

    @cached_property
    def pattern_text(self) -> bytes:
        """What was asked, for patterns."""
        return searchable(self.step.asked or self.step.text)

    @cached_property
    def headers(self) -> dict[str, Any]:
        """Configurable values by name in lower case, as LangGraph's server writes headers.

        One that is written so wins over other spellings, which only a client can have set.
        """
        given = self.step.place.metadata
        return {key.lower(): value for key, value in given.items()} | {k: v for k, v in given.items() if k == k.lower()}


def are_as_expected(expected: Mapping[str, Expected], given: Mapping[str, Any]) -> bool:
    """Whether all values are as expected."""
    return all(any(term.holds(given.get(key)) for term in terms) for key, terms in expected.items())


def meets(wanted: Names, value: str | None) -> bool:
    """Whether `value` is one of the wanted ones, where any are wanted."""
    return not wanted or value in wanted


def count_of(what: str, who: str, tokens: Any) -> int | None:
    """A number of tokens, or none.

    Raises:
        ConfigError: It is no such number.
    """
    if tokens is not None and (isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 0):
        raise ConfigError(f"{what} of {who} must be a whole number, 0 or more, got {tokens!r}")
    return tokens


def personal() -> frozenset[str]:
    """Names of what `pii: true` is about."""
    from ..redaction.kinds import PERSONAL_KINDS  # compiles all patterns of its package
    from ..step.looking import ATTACHMENT

    return frozenset({*map(str, PERSONAL_KINDS), ATTACHMENT})


def sensitive() -> frozenset[str]:
    """Names that `pii` may have: secrets may be looked for as well."""
    from ..redaction.kinds import Kind

    return personal() | frozenset(map(str, Kind))


def refuse_unknown(who: str, what: str, named: Collection[str], known: Collection[str]) -> None:
    """Raise a `ConfigError` for the first name that is not known, with the nearest known one."""
    for name in sorted(named):
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known are {sorted(known)!r}"
            raise ConfigError(f"{who} names the unknown {what} {name!r}{hint}")
