"""Why each model stands where it stands in a decision, in words that a person understands."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from ..models.card import ModelCard, Tier
from ..step.step import Step
from .availability import ALL_WELL, Availability
from .contend import tier_of
from .decision import Candidate
from .rules import Rule
from .sufficiency import Choice, Fate, Weighed


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the reasons of a decision are told from.

    Attributes:
        step: The step.
        floor: The weakest tier that the step-kind table calls sufficient for it.
        first: The model that comes first.
        costs: What each model is expected to cost, by name.
        now: What stands in the way of models.
        choice: How those were weighed that can be asked.
        better: What stands in the way of each model that would come before the first if all were well, by name.
        untold: Names of the models that have no record yet at this kind of step.
    """

    step: Step
    floor: Tier
    first: ModelCard
    costs: Mapping[str, float | None]
    now: Availability
    choice: Choice
    better: Mapping[str, str] = field(default_factory=dict)
    untold: Collection[str] = ()


def standing(card: ModelCard, told: Standing) -> str:
    """Why an able model stands where it stands, its health included."""
    why, now = bare_standing(card, told), told.now
    if card is told.first:
        return "; ".join([why, *before_first(told)])
    if now is ALL_WELL or (trouble := now.trouble(card.name)) is None:
        return why
    return f"{why}; {trouble}"


def before_first(told: Standing) -> list[str]:
    """What is wrong with the first, and with those that would come before it if all were well."""
    now, first = told.now, told.first
    notes = [f"{name} would come first, but: {trouble}" for name, trouble in told.better.items()]
    if first.name in now.shut:
        return [f"no circuit is due sooner: {now.why_shut[first.name]}", *notes]
    return [*notes, *filter(None, [now.trouble(first.name)])]


def bare_standing(card: ModelCard, told: Standing) -> str:
    """Why an able model stands where it stands by its odds and its price."""
    if card is told.first:
        return first_standing(card, told)
    row, fate = told.choice.weighed[card.name], told.choice.fates[card.name]
    if (words := FATES.get(fate)) is not None:
        return words.format(tier=tier_of(card), floor=told.floor, kind=told.step.kind)
    if fate is Fate.UNPROVEN:
        return f"{likely(row)}, which is not proven, and too much was ventured of late to try it now"
    if row.is_sufficient:
        return dearer(told.costs[card.name], told.costs[told.first.name], told.first.name)
    if card.name in told.untold:
        return f"last resort: tier {tier_of(card)} is below {told.floor} for {told.step.kind}"
    return f"last resort: {likely(row)}, {told.choice.target:.0%} are needed"


FATES = {
    Fate.BELOW: "last resort: tier {tier} is below {floor} for {kind}",
    Fate.WEAKER: "last resort: weaker than the model that is recovering from an error",
    Fate.REFUSED: "last resort: too many answers of this session were refused of late",
    Fate.OVERRUN: "last resort: were its answer refused, the session might cost more than allowed beside the reference",
    Fate.FROZEN: "last resort: its answers got worse of late, so it is left alone for a while",
    Fate.SLOW: "would probably miss the deadline",
}


FALLEN = {
    Fate.UNPROVEN: ", not proven, and too much was ventured of late to try it now",
    Fate.REFUSED: ", but too many answers of this session were refused of late",
    Fate.OVERRUN: ", but were its answer refused, the session might cost more than allowed",
    Fate.FROZEN: ", and its answers got worse of late",
    Fate.SLOW: ", but too slow for the deadline",
}


def first_standing(card: ModelCard, told: Standing) -> str:
    """Why the first is first."""
    choice, usd = told.choice, told.costs[card.name]
    row, price = choice.weighed[card.name], "price unknown" if usd is None else f"~${usd:.6f}"
    at_hand = "" if told.now.is_clear else " that is at hand"
    if tier_of(card).rank < told.floor.rank and card.name in told.untold and not choice.is_trial:
        return f"last resort: tier {tier_of(card)} is below {told.floor} for {told.step.kind}"
    if choice.is_trial:
        return f"tried, as it may be sufficient: {likely(row)}, {choice.target:.0%} are needed ({price})"
    if choice.stays:
        return f"the session is on it, and another would save too little: {likely(row)} ({price})"
    if card.name in told.untold:
        return f"cheapest of tier {told.floor} or above{at_hand}, which {told.step.kind} needs ({price})"
    if (closest := likeliest_cheaper(card, told)) is None:
        return f"cheapest that is sufficient{at_hand}: {likely(row)}, {choice.target:.0%} are needed ({price})"
    fate, other = choice.fates[closest.model], f"{closest.model} is {likely(closest)}"
    if fate is Fate.DEARER:
        lost = f"{other}, and what it may lose costs more"
        return f"best value of the sufficient{at_hand}: {likely(row)}; {lost} ({price})"
    needed = f"{choice.target:.0%} are needed"
    return f"no cheaper model is sufficient{at_hand}: {other}{FALLEN.get(fate, '')}, {needed} ({price})"


def likeliest_cheaper(first: ModelCard, told: Standing) -> Weighed | None:
    """The likeliest to succeed of the models that cost less than the first; None where it is the cheapest."""
    rows, costs = told.choice.weighed, told.costs
    usd = costs[first.name]
    cheaper = [row for row in rows.values() if (own := costs[row.model]) is not None and (usd is None or own < usd)]
    return max(cheaper, key=lambda row: row.success, default=None)


def likely(row: Weighed) -> str:
    """How likely a model is to succeed, and how sure that is."""
    helped = ", checks and escalation included" if row.escalation >= 0.005 else ""
    return f"{row.success:.0%} ±{row.sd:.0%} likely to succeed{helped}"


def dearer(usd: float | None, best: float | None, first: str) -> str:
    """How much dearer than the first a sufficient model is."""
    if usd is None:
        return "price unknown, so never first"
    if usd == best:
        return f"costs as much as {first}"
    if best:
        return f"{usd / best:.1f}× the cost of {first}"
    return f"~${usd:.6f}, dearer than {first}"


def because(kept: Sequence[Candidate], rule: Rule | None) -> str:
    """The decision in one sentence."""
    only = " (the only able model)" if len(kept) == 1 else ""
    by_rule = f"rule {rule.name!r}; " if rule else ""
    return f"{by_rule}{kept[0].model}: {kept[0].reason}{only}"
