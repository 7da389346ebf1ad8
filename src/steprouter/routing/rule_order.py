"""What is wrong with rules taken together: names that are not there, nobody left to answer, one rule before another."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from ..errors import ConfigError
from ..models.card import ModelCard
from ..step.looking import ATTACHMENT, Looking, PersonalData
from ..step.step import Step, StepKind
from .rule_values import Expected
from .rule_words import says
from .rules import Reading, Rule, names, refuse_unknown


def first_match(rules: Sequence[Rule], step: Step) -> Rule | None:
    """The rule that counts for a step, if any."""
    reading = Reading(step)
    return next((rule for rule in rules if rule.matches(reading)), None)


def looked_at(rules: Sequence[Rule]) -> Looking:
    """What the rules have looked at in each conversation."""
    kinds = frozenset[str]().union(*(rule.pii_kinds for rule in rules if rule.pii is not None))
    return Looking(
        text=any(rule.keyword or rule.regex for rule in rules),
        personal=PersonalData(kinds - {ATTACHMENT}) if kinds else None,
    )


def check_rules(rules: Sequence[Rule], cards: Sequence[ModelCard], nodes: Collection[str]) -> None:
    """Raise where a rule can never do what it says.

    Args:
        rules: The rules in order.
        cards: The router's models.
        nodes: Names of the graph's nodes; empty where they are not known, then node names are not checked.

    Raises:
        ConfigError: Two rules share a name; a rule names an unknown model, tag, region or node, or allows no model; or
            one can never match, because another stands before it.
    """
    seen = set[str]()
    for rule in rules:
        if rule.name in seen:
            raise ConfigError(f"rule names must be unique, got {rule.name!r} twice")
        seen.add(rule.name)
        for check in name_checks(rule, cards, nodes).values():
            check()
        objections = {card.name: rule.objection(card) for card in cards}
        if all(objections.values()):
            told = "; ".join(f"{name}: {why}" for name, why in objections.items())
            raise ConfigError(f"rule {rule.name!r} allows none of the models {sorted(objections)!r} ({told})")
        refuse_shadowed(rule, rules[: len(seen) - 1])


def name_checks(rule: Rule, cards: Sequence[ModelCard], nodes: Collection[str]) -> Mapping[str, Callable[[], None]]:
    """What raises where a field of the rule names what is not there, by the field."""
    who = f"rule {rule.name!r}"
    known = {
        "models": ("model", names(rule.models), {name for c in cards for name in (*c.names, *c.tags)}),
        "regions": ("region", names(rule.regions), {card.region for card in cards if card.region is not None}),
        "node": ("node", names(rule.node) if nodes else frozenset[str](), set(nodes)),
    }

    def check_of(what: str, named: frozenset[str], there: set[str]) -> Callable[[], None]:
        return lambda: refuse_unknown(who, what, named, there)

    return {field: check_of(*given) for field, given in known.items()}


def refuse_shadowed(rule: Rule, before: Sequence[Rule]) -> None:
    """Raise where one of the rules before takes all the steps that a rule is for.

    Raises:
        ConfigError: One does.
    """
    for earlier in before:
        if shadows(earlier, rule):
            raise ConfigError(
                f"rule {rule.name!r} can never match: {earlier.name!r} stands before it and matches every step that it "
                f"matches; put {rule.name!r} first"
            )


def shadows(earlier: Rule, later: Rule) -> bool:
    """Whether each step that `later` matches is surely matched by `earlier`; False where that is not plain to see."""
    return (
        all(
            wanted_within(names(getattr(earlier, field)), names(getattr(later, field)))
            for field in ("node", "tag", "tenant", "user", "regex")
        )
        and (names(earlier.kind) == frozenset(StepKind) or wanted_within(names(earlier.kind), names(later.kind)))
        and tools_within(names(earlier.tools), names(later.tools))
        and (not earlier.min_tokens or (later.min_tokens or 0) >= earlier.min_tokens)
        and (earlier.max_tokens is None or (later.max_tokens is not None and later.max_tokens <= earlier.max_tokens))
        and expected_within(earlier.metadata, later.metadata)
        and expected_within(earlier.header, later.header)
        and keywords_within(names(earlier.keyword), names(later.keyword))
        and pii_within(earlier, later)
    )


def wanted_within(earlier: frozenset[str], later: frozenset[str]) -> bool:
    """Whether all that the later condition wants the earlier one wants too."""
    return not earlier or (bool(later) and later <= earlier)


def tools_within(earlier: frozenset[str], later: frozenset[str]) -> bool:
    """As `wanted_within`, where `any` stands for all names and with `none` for everything."""
    if {"any", "none"} <= earlier:
        return True
    return wanted_within(earlier, later) or (bool(later) and "any" in earlier and "none" not in later)


def expected_within(earlier: Mapping[str, Expected], later: Mapping[str, Expected]) -> bool:
    """Whether what the later rule expects of values is what the earlier one does, or less."""
    return all(
        key in later and all(any(mine.implies(term) for term in terms) for mine in later[key])
        for key, terms in earlier.items()
    )


def keywords_within(earlier: frozenset[str], later: frozenset[str]) -> bool:
    """Whether each of the later keywords holds one of the earlier ones."""
    return not earlier or (bool(later) and all(says(keyword, earlier) for keyword in later))


def pii_within(earlier: Rule, later: Rule) -> bool:
    """Whether the earlier condition on personal data holds where the later one does."""
    if earlier.pii is None:
        return True
    if later.pii is None or (earlier.pii is False) is not (later.pii is False):
        return False
    return earlier.pii is False or later.pii_kinds <= earlier.pii_kinds
