"""Decides which models answer a step, in which order, and says why. No I/O, no clock, no chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from types import MappingProxyType

from ..answering.balance import pick, score
from ..answering.draws import draw
from ..answering.health import Conditions
from ..errors import NoAbleModel
from ..memory.lessons import AtHand, Example
from ..memory.recall import Recalled
from ..models.card import ModelCard, Tier
from ..models.cost import Usage, cost_usd
from ..step.step import Step, StepKind
from .availability import ALL_WELL, Availability, availability
from .decision import Candidate, Decision
from .efforts import expected_tokens
from .filters import lacks
from .policy import RECOVER_PATIENCE, Policy
from .rules import Rule


def decide(
    step: Step,
    cards: Sequence[ModelCard],
    policy: Policy,
    recalled: Recalled,
    *,
    barred: Mapping[str, str] = MappingProxyType({}),
) -> Decision:
    """The models to try for `step`, in order.

    Among the models that are able, allowed and well, the cheapest of those at least as strong as the step's kind
    usually needs comes first; then the dearer ones; then, as a last resort, the weaker ones, strongest first.

    Args:
        step: The step.
        cards: The models.
        policy: What the user asks.
        recalled: What is known.
        barred: Models that cannot take the conversation, and why.

    Raises:
        NoAbleModel: No model is able and allowed; the message says what each lacks.
    """
    rule = next((rule for rule in policy.rules if rule.matches(step)), None)
    conditions = conditions_of(recalled)
    now = availability(cards, conditions, step.started_at)
    stopped = {**barred, **now.out}
    refused = {card.name: why for card in cards if (why := refusal(card, step, rule, stopped))}
    able = [card for card in cards if card.name not in refused]
    if not able:
        listed = "; ".join(f"{name}: {why}" for name, why in refused.items())
        advice = "mend what is out" if refused.keys() == now.out.keys() else "add a model, or widen the rule"
        raise NoAbleModel(f"no model can take this {step.kind} step ({listed}); {advice}")
    floor = tier_floor(step, policy)
    examples = examples_for(step, able, rule, recalled) if policy.mode == "route" else {}
    costs = {card.name: expected_usd(card, step, examples.get(card.name)) for card in cards}
    reference = reference_card(able, policy)
    spare: dict[str, str] = {}
    if now.shut:
        # A model whose circuit is open is left out while another is not; if all are, the one due soonest comes first.
        spare |= shut_of(able, now)
    if conditions.near and policy.mode == "route":
        spare |= too_dear([c for c in able if c.name not in spare], costs, reference, conditions.near[0])
    ordered = [card for card in able if card.name not in spare]
    ordered.sort(key=lambda card: order_key(card, floor, costs[card.name], now))
    ordered = balanced(ordered, costs, conditions, now, step)
    first = Standing(step=step, floor=floor, first=ordered[0], costs=costs, now=now, able=able)
    kept = [candidate(c, costs[c.name], standing(c, first), example=examples.get(c.name)) for c in ordered]
    if policy.mode == "observe":
        kept = reference_first(kept, reference.name, spare)
    lost = [
        candidate(c, costs[c.name], refused.get(c.name) or spare[c.name], kept=False, is_spare=c.name in spare)
        for c in cards
        if c.name in refused or c.name in spare
    ]
    return Decision(
        candidates=(*kept, *lost),
        reason=because(kept, rule),
        rule=rule.name if rule else None,
        reference=reference.name,
    )


def conditions_of(recalled: Recalled) -> Conditions:
    """The health of all deployments, as far as it is known."""
    known = recalled.section("health")
    return known if isinstance(known, Conditions) else NOTHING_KNOWN


NOTHING_KNOWN = Conditions()


def shut_of(able: Sequence[ModelCard], now: Availability) -> dict[str, str]:
    """What is left out because its circuit is open: nothing, if that is so of all."""
    shut = {card.name: now.why_shut[card.name] for card in able if card.name in now.shut}
    return shut if len(shut) < len(able) else {}


def too_dear(
    able: Sequence[ModelCard], costs: Mapping[str, float | None], reference: ModelCard, budget: str
) -> dict[str, str]:
    """What is left out past a budget's threshold: all that is not cheaper than the reference, if anything is."""
    most = costs[reference.name]
    cheaper = [c for c in able if (usd := costs[c.name]) is not None and (most is None or usd < most)]
    if not cheaper:
        return {}
    why = f"budget {budget!r} is past its threshold: only models cheaper than {reference.name}"
    return {card.name: why for card in able if card not in cheaper}


def balanced(
    ordered: Sequence[ModelCard],
    costs: Mapping[str, float | None],
    conditions: Conditions,
    now: Availability,
    step: Step,
) -> list[ModelCard]:
    """The order with deployments of one model sorted among themselves by their load."""
    if not any(card.deployment_of for card in ordered):
        return list(ordered)
    done: list[ModelCard] = []
    for _, run in groupby(ordered, lambda card: (card.deployment_of or card.name, costs[card.name])):
        peers = {card.name: card for card in run}
        if len(peers) > 1:
            scores = {name: load(card, conditions, now) for name, card in peers.items()}
            drawn = pick(list(peers), scores, draw(step.id, "deployment"), full=now.late.keys())
            peers = {name: peers[name] for name in drawn}
        done += peers.values()
    return done


def load(card: ModelCard, conditions: Conditions, now: Availability) -> float:
    """How busy and slow a deployment is."""
    health, slower = conditions.of(card.name), now.penalties.get(card.name, 1.0)
    return score(health.latency_seconds, in_flight=health.in_flight, weight=card.weight, penalty=slower)


def reference_first(kept: Sequence[Candidate], reference: str, spare: Mapping[str, str]) -> list[Candidate]:
    """The candidates as `observe` tries them; the reason of the first says what `route` would have done."""
    answering = next((c for c in kept if c.model == reference), None)
    if answering is None:
        why = f"observe mode, but the reference {reference} cannot be asked: {spare[reference]}; {kept[0].reason}"
        return [replace(kept[0], reason=why), *kept[1:]]
    why = f"observe mode: the reference answers; routed would be {kept[0].model}: {kept[0].reason}"
    return [replace(answering, reason=why), *(c for c in kept if c is not answering)]


def refusal(card: ModelCard, step: Step, rule: Rule | None, barred: Mapping[str, str]) -> str | None:
    """Why `card` may not answer `step`; None if it may."""
    if rule is not None and not rule.allows(card):
        return f"not allowed by rule {rule.name!r}"
    pinned = step.place.metadata.get("steprouter_model")
    if isinstance(pinned, str) and pinned not in (card.name, card.deployment):
        return f"the caller asked for {pinned!r}"
    return lacks(card, step.needs) or barred.get(card.name)


def tier_floor(step: Step, policy: Policy) -> Tier:
    """The weakest tier taken to be sufficient; recovery moves up when patience has run out."""
    floor = policy.tier_for(step.kind)
    if step.kind is StepKind.RECOVER and step.evidence.consecutive_errors > RECOVER_PATIENCE:
        raised = min(floor.rank + step.evidence.consecutive_errors - RECOVER_PATIENCE, Tier.HIGH.rank)
        return list(Tier)[raised]
    return floor


def tier_of(card: ModelCard) -> Tier:
    """The model's tier; mid where nobody knows."""
    return card.tier or Tier.MID


def order_key(card: ModelCard, floor: Tier, usd: float | None, now: Availability) -> tuple[float, ...]:
    """Sufficient before insufficient; at hand before busy; cheap before dear; among the insufficient, strong first."""
    rank, is_late = tier_of(card).rank, card.name in now.late
    due = now.shut.get(card.name, 0.0)
    short = rank < floor.rank
    # An unknown price sorts as the dearest: it must never win by being unknown.
    price = float("inf") if usd is None else usd * now.penalties.get(card.name, 1.0)
    # Of those that cost nothing, and of those whose price nobody knows, the healthier comes first.
    slower = now.penalties.get(card.name, 1.0)
    return (due, short, is_late, -rank, price, slower) if short else (due, short, is_late, price, slower, rank)


def examples_for(step: Step, able: Sequence[ModelCard], rule: Rule | None, recalled: Recalled) -> Mapping[str, Example]:
    """The lesson that is at hand for each able model, where its window has room for one."""
    known = recalled.section("lessons")
    if not isinstance(known, AtHand) or not known.lessons:
        return {}
    found: dict[str, Example] = {}
    for card in able:
        example = known.example(step, card.name, tier_of(card), rule.name if rule else None)
        if example is not None:
            longer = replace(step.needs, input_tokens=step.needs.input_tokens + example.lesson.tokens)
            if lacks(card, longer) is None:
                found[card.name] = example
    return found


def expected_usd(card: ModelCard, step: Step, example: Example | None = None) -> float | None:
    """Expected cost of `step` on `card` with a cold prompt cache; None where the price is unknown."""
    more = example.lesson.tokens if example is not None and example.shown else 0
    output = expected_tokens(card, step.kind)
    output = min(output, step.needs.output_tokens or output)
    prompt = step.needs.input_tokens + more
    return cost_usd(Usage(input_tokens=prompt, output_tokens=output, estimated=True), card.price)


def reference_card(able: Sequence[ModelCard], policy: Policy) -> ModelCard:
    """The model savings are counted against: the stated one if it is able, else the strongest able one."""
    stated = next((card for card in able if card.name == policy.reference), None)
    return stated or max(able, key=lambda card: (tier_of(card).rank, card.price.output if card.price else 0.0))


def candidate(
    card: ModelCard,
    usd: float | None,
    reason: str,
    *,
    kept: bool = True,
    is_spare: bool = False,
    example: Example | None = None,
) -> Candidate:
    """What the decision says of `card`."""
    if example is not None and example.shown:
        reason = f"{reason}; shown a solved example (~{example.lesson.tokens} tokens)"
    return Candidate(
        model=card.name,
        tier=tier_of(card),
        kept=kept,
        reason=reason,
        is_spare=is_spare,
        expected_usd=usd,
        example=example,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the reasons of a decision are told from.

    Attributes:
        step: The step.
        floor: The weakest tier taken to be sufficient for it.
        first: The model that comes first.
        costs: What each model is expected to cost, by name.
        now: What stands in the way of models.
        able: The models that are able and allowed.
    """

    step: Step
    floor: Tier
    first: ModelCard
    costs: Mapping[str, float | None]
    now: Availability
    able: Sequence[ModelCard]


def standing(card: ModelCard, told: Standing) -> str:
    """Why an able model stands where it stands, its health included."""
    why, now = price_standing(card, told), told.now
    if now.is_clear:
        return why
    if card is told.first:
        return "; ".join([why, *before_first(told)])
    return f"{why}; {trouble}" if (trouble := now.trouble(card.name)) else why


def before_first(told: Standing) -> list[str]:
    """What is wrong with the first, and with those that would come before it if all were well."""
    now, first = told.now, told.first
    own = order_key(first, told.floor, told.costs[first.name], ALL_WELL)
    better = [c for c in told.able if order_key(c, told.floor, told.costs[c.name], ALL_WELL) < own]
    troubles = [(c.name, trouble) for c in better if c is not first and (trouble := now.trouble(c.name))]
    notes = [f"{name} would come first, but: {trouble}" for name, trouble in troubles]
    if first.name in now.shut:
        return [f"no circuit is due sooner: {now.why_shut[first.name]}", *notes]
    return [*notes, *filter(None, [now.trouble(first.name)])]


def price_standing(card: ModelCard, told: Standing) -> str:
    """Why an able model stands where it stands by tier and price."""
    tier, first, floor, kind = tier_of(card), told.first, told.floor, told.step.kind
    if tier.rank < floor.rank:
        return f"last resort: tier {tier} is below {floor} for {kind}"
    usd, best = told.costs[card.name], told.costs[first.name]
    if card is first:
        known = "price unknown" if usd is None else f"~${usd:.6f}"
        cheapest = f"cheapest of tier {floor} or above"
        return f"{cheapest}{'' if told.now.is_clear else ' that is at hand'}, which {kind} needs ({known})"
    if usd is None:
        return "price unknown, so never first"
    if usd == best:
        return f"costs as much as {first.name}"
    if best:
        return f"{usd / best:.1f}× the cost of {first.name}"
    return f"~${usd:.6f}, dearer than {first.name}"


def because(kept: Sequence[Candidate], rule: Rule | None) -> str:
    """The decision in one sentence."""
    only = " (the only able model)" if len(kept) == 1 else ""
    by_rule = f"rule {rule.name!r}; " if rule else ""
    return f"{by_rule}{kept[0].model}: {kept[0].reason}{only}"
