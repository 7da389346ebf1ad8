"""Decides which models answer a step, in which order, and says why. No I/O, no clock, no chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, takewhile
from math import isinf
from types import MappingProxyType

from ..answering.balance import pick, score
from ..answering.draws import draw
from ..answering.health import Conditions
from ..errors import NoAbleModel
from ..memory.lessons import AtHand, Example
from ..memory.recall import Recalled
from ..models.card import ModelCard
from ..step.step import Step
from .availability import ALL_WELL, Availability, availability
from .contend import (
    Knowledge,
    contenders,
    expected_usd,
    incumbent_of,
    is_labelled,
    knowledge,
    speaker,
    tier_floor,
    tier_of,
    untold,
)
from .decision import Candidate, Decision
from .efforts import strength
from .filters import lacks
from .plan_cost import Speaker
from .policy import Policy
from .predict import NOTHING_FORETOLD, Foretold
from .route_effects import Narrowed, narrowed_by_route
from .routes import RouteMatch
from .rule_order import first_match
from .rules import Rule
from .session_cost import session_costs
from .session_limit import too_dear_at_worst
from .standing import Standing, because, standing
from .sufficiency import Checks, Choice, Stakes, allowance, choose


def decide(
    step: Step,
    cards: Sequence[ModelCard],
    policy: Policy,
    recalled: Recalled,
    *,
    barred: Mapping[str, str] = MappingProxyType({}),
    foretold: Foretold = NOTHING_FORETOLD,
    route: RouteMatch | None = None,
) -> Decision:
    """The models to try for `step`, in order.

    Among the models that are able, allowed and well, the cheapest that is sufficient comes first (`sufficiency`); then
    the other sufficient ones, by their price; then, as a last resort, the rest, the likeliest to succeed first.

    Args:
        step: The step.
        cards: The models.
        policy: What the user asks.
        recalled: What is known.
        barred: Models that cannot take the conversation, and why.
        foretold: What a trained predictor says of this step; the step-kind table is asked of models it does not know.
        route: What the semantic routes say of the step; None where there are none.

    Raises:
        NoAbleModel: No model is able and allowed; the message says what each lacks.
    """
    rule = first_match(policy.rules, step)
    conditions = conditions_of(recalled)
    now = availability(cards, conditions, step.started_at)
    stopped = {**barred, **now.out}
    refused = {card.name: why for card in cards if (why := refusal(card, step, rule, stopped))}
    if len(refused) == len(cards):
        raise none_able(step, refused, now)
    narrowed = narrowed_by_route([card for card in cards if card.name not in refused], route)
    refused |= narrowed.refused
    able = [card for card in cards if card.name not in refused]
    examples = examples_for(step, able, rule, recalled) if policy.mode == "route" else {}
    known = knowledge(recalled, step.started_at)
    well = [card for card in cards if refused.get(card.name) is None or refused[card.name] == now.out.get(card.name)]
    asked = considered(step, policy, loss_of(step, policy, rule, narrowed), known, well, examples, foretold)
    reference, costs = reference_card(able, policy), asked.alone
    spare = left_out(able, costs, reference, conditions, now, is_routed=policy.mode == "route")
    free = [card for card in able if card.name not in spare]
    choice = chosen(free, asked, now)
    ordered = balanced(in_order(free, choice, now), costs, conditions, now, step)
    told = Standing(
        step=step,
        floor=tier_floor(step, policy),
        first=ordered[0],
        costs=costs,
        now=now,
        choice=choice,
        better={} if now.is_clear and not spare else hindered(ordered[0], ordered_if_well(well, asked), now, spare),
        untold=untold(able, known),
    )
    kept = [candidate(c, costs, standing(c, told), choice, example=examples.get(c.name)) for c in ordered]
    if policy.mode == "observe":
        kept = reference_first(kept, reference.name, spare)
    return Decision(
        candidates=(*kept, *left(cards, refused, spare, costs, choice)),
        reason=f"{narrowed.told}{because(kept, rule)}",
        rule=rule.name if rule else None,
        reference=reference.name,
        target=choice.target,
        charge=choice.charge if policy.mode == "route" else 0.0,
        route=None if route is None else route.name,
        route_scores=() if route is None else route.scores,
    )


def left(
    cards: Sequence[ModelCard],
    refused: Mapping[str, str],
    spare: Mapping[str, str],
    costs: Mapping[str, float | None],
    choice: Choice,
) -> list[Candidate]:
    """The models that are not tried: those that cannot take the step, and those that are kept for others."""
    return [
        candidate(card, costs, why, choice, kept=False, is_spare=card.name in spare)
        for card in cards
        if (why := refused.get(card.name) or spare.get(card.name)) is not None
    ]


def none_able(step: Step, refused: Mapping[str, str], now: Availability) -> NoAbleModel:
    """What is said where nobody can take a step: what each model lacks, and the way out."""
    listed = "; ".join(f"{name}: {why}" for name, why in refused.items())
    advice = "mend what is out" if refused.keys() == now.out.keys() else "add a model, or widen the rule"
    return NoAbleModel(f"no model can take this {step.kind} step ({listed}); {advice}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a choice is made from beside the models.

    Attributes:
        step: The step.
        policy: What the user asks.
        loss: What the step may lose on the reference's chance of success.
        known: What memory holds.
        costs: What each model is expected to cost the session.
        alone: What this step costs on each by itself.
        foretold: What a trained predictor says.
        speakers: What asking each model depends on.
    """

    step: Step
    policy: Policy
    loss: float
    known: Knowledge
    costs: Mapping[str, float | None]
    alone: Mapping[str, float | None]
    foretold: Foretold
    speakers: Mapping[str, Speaker | None]


def considered(
    step: Step,
    policy: Policy,
    loss: float,
    known: Knowledge,
    cards: Sequence[ModelCard],
    examples: Mapping[str, Example],
    foretold: Foretold,
) -> Asked:
    """What a choice is made from, with what asking each of `cards` costs."""
    speakers = {card.name: speaker(card, step, known, foretold) for card in cards}
    alone = {name: expected_usd(one, step, example_tokens=tokens_of(examples, name)) for name, one in speakers.items()}
    costs = session_costs(speakers, step, known, alone)
    return Asked(
        step=step,
        policy=policy,
        loss=loss,
        known=known,
        costs=costs,
        alone=alone,
        foretold=foretold,
        speakers=speakers,
    )


def chosen(cards: Sequence[ModelCard], asked: Asked, now: Availability) -> Choice:
    """The choice among `cards`, the strongest of which sets the standard unless the user names another."""
    reference, policy = reference_card(cards, asked.policy).name, asked.policy
    risky: frozenset[str] = frozenset()
    if (overrun := policy.session_overrun) is not None:
        risky = too_dear_at_worst(
            cards,
            asked.speakers,
            reference,
            asked.step,
            asked.known.session,
            overrun,
            escalates=policy.escalate,
        )
    weighed = contenders(
        asked.step,
        able=cards,
        policy=policy,
        known=asked.known,
        costs=asked.costs,
        reference=reference,
        now=now,
        foretold=asked.foretold,
        risky=risky,
    )
    return choose(weighed, stakes(asked, reference), penalties=now.penalties)


def stakes(asked: Asked, reference: str) -> Stakes:
    """What the choice turns on beside the models."""
    step, policy, learned = asked.step, asked.policy, asked.known.learned
    detection, false_alarm = learned.verifier(str(step.kind)).rates() if policy.escalate else (0.0, 0.0)
    return Stakes(
        reference=reference,
        quality_loss=asked.loss,
        value_of_failure_usd=policy.value_of_failure_usd,
        checks=Checks(detection=detection, false_alarm=false_alarm),
        allowance=allowance(learned.ledger.decisions, learned.ledger.charged, asked.loss),
        incumbent=incumbent_of(step, asked.known.session),
        is_locked=step.evidence.holds_thoughts,
        is_irreversible=step.kind in policy.critical,
        is_labelled=is_labelled(asked.known.counters, reference),
        seconds_left=seconds_left(step, policy),
        second_usd=asked.alone[reference],
    )


def loss_of(step: Step, policy: Policy, rule: Rule | None, narrowed: Narrowed) -> float:
    """What a step may lose: what its rule says, else its route, else the policy."""
    said = None if rule is None else rule.quality_loss
    said = narrowed.quality_loss if said is None else said
    return policy.loss_for(step.kind) if said is None else said


def seconds_left(step: Step, policy: Policy) -> float | None:
    """How long the step may take: what the policy and the graph allow, whichever is less."""
    limits = [one for one in (policy.deadline_seconds, step.place.deadline_seconds) if one is not None]
    return min(limits, default=None)


def tokens_of(examples: Mapping[str, Example], model: str) -> int:
    """What a shown example adds to a model's prompt."""
    example = examples.get(model)
    return example.lesson.tokens if example is not None and example.shown else 0


def left_out(
    able: Sequence[ModelCard],
    costs: Mapping[str, float | None],
    reference: ModelCard,
    conditions: Conditions,
    now: Availability,
    *,
    is_routed: bool,
) -> dict[str, str]:
    """Which able models are not to be tried, and why: an open circuit, a budget past its threshold."""
    spare = shut_of(able, now) if now.shut else {}
    if conditions.near and is_routed:
        spare |= too_dear([c for c in able if c.name not in spare], costs, reference, conditions.near[0])
    return spare


def in_order(free: Sequence[ModelCard], choice: Choice, now: Availability) -> list[ModelCard]:
    """The models in the order to try them.

    The chosen one comes first; then those that are sufficient, by their price; then, as a last resort, the others, the
    likeliest to succeed first. Of those whose circuits are all open the one due soonest comes before all.
    """
    first = next(card for card in free if card.name == choice.model)

    def key(card: ModelCard) -> tuple[float, ...]:
        row, name = choice.weighed[card.name], card.name
        due, is_late = now.shut.get(name, 0.0), name in now.late
        slower = now.penalties.get(name, 1.0)
        if is_peer(card, first):
            return (due, 0, is_late)
        if choice.is_sufficient(name):
            return (
                due,
                1,
                is_late,
                row.price_usd,
                slower,
                0.0 if isinf(row.price_usd) else row.loss,
                tier_of(card).rank,
            )
        return (due, 2, is_late, -row.success, row.price_usd, slower)

    return sorted(free, key=key)


def ordered_if_well(cards: Sequence[ModelCard], asked: Asked) -> list[ModelCard]:
    """The order if nothing stood in anybody's way."""
    return in_order(cards, chosen(cards, asked, ALL_WELL), ALL_WELL)


def hindered(
    first: ModelCard, ordered: Sequence[ModelCard], now: Availability, spare: Mapping[str, str]
) -> dict[str, str]:
    """The models that stand before the first if all is well, each with what stands in its way."""
    names = [card.name for card in takewhile(lambda card: card is not first, ordered)]
    return {name: why for name in names if (why := now.trouble(name) or spare.get(name))}


def is_peer(card: ModelCard, other: ModelCard) -> bool:
    """Whether two cards are deployments of one model at one price, of which the less busy comes first."""
    same = (card.deployment_of or card.name) == (other.deployment_of or other.name)
    return card is other or (same and card.price == other.price)


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
    if rule is not None and (objection := rule.objection(card)) is not None:
        return f"not allowed by rule {rule.name!r}: {objection}"
    pinned = step.place.metadata.get("steprouter_model")
    if isinstance(pinned, str) and pinned not in (card.name, card.deployment):
        return f"the caller asked for {pinned!r}"
    return lacks(card, step.needs) or barred.get(card.name)


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


def reference_card(able: Sequence[ModelCard], policy: Policy) -> ModelCard:
    """The model savings are counted against: the stated one if it is able, else the strongest able one."""
    stated = next((card for card in able if card.name == policy.reference), None)
    return stated or max(
        able, key=lambda card: (tier_of(card).rank, card.price.output if card.price else -1.0, strength(card))
    )


def candidate(
    card: ModelCard,
    costs: Mapping[str, float | None],
    reason: str,
    choice: Choice,
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
        expected_usd=costs.get(card.name),
        example=example,
        weighed=choice.weighed.get(card.name),
        fate=choice.fates.get(card.name),
    )
