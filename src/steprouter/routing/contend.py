"""From what is known of the able models to contenders: their odds, their cost and their time at this step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeGuard

from ..memory.learned import Learned
from ..memory.outcomes import HALF_LIFE_SECONDS, Counters, Tally
from ..memory.recall import Missing, Recalled
from ..memory.session import Session
from ..models.card import ModelCard, Tier
from ..models.cost import priced_usd
from ..step.step import Step, StepKind
from .availability import Availability
from .efforts import at_length, expected_tokens, prior_at
from .odds import Prior, odds
from .plan_cost import Speaker
from .policy import RECOVER_PATIENCE, Policy
from .predict import NOTHING_FORETOLD, Foretold
from .priors import TIER_SUCCESS
from .sufficiency import Contender, Fate

KNOWN_ANSWERS = 3
"""Answers of a model at a kind before their own average length and time count."""

ESCALATIONS = 3
"""Escalations of a session, less the steps since that needed none, from which its steps begin with the reference: each
costs two answers, and a session that is hard stays so for a while."""

TELLING = 0.2
"""Confidence of labels, on average, from which they tell something; silence has 0.1 and a passed check 0.3."""

Masses = tuple[float, float]
"""Successes and failures, in observations."""

NOTHING: Masses = (0.0, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """What memory holds for a decision, each part empty where it is missing.

    Attributes:
        session: The thread so far.
        counters: Counts of the step's kind, and of its node.
        near: What the nearest outcomes say of each model.
        learned: What was learnt of deciding itself.
        lengths: Tokens of an answer, on average, of each model that has answered such steps often enough.
    """

    session: Session = field(default_factory=Session)
    counters: Counters = field(default_factory=Counters)
    near: Mapping[str, Masses] = field(default_factory=dict)
    learned: Learned = field(default_factory=Learned)
    lengths: Mapping[str, float] = field(default_factory=dict)


def knowledge(recalled: Recalled, now: float) -> Knowledge:
    """What was recalled, as far as a decision looks at it.

    Args:
        recalled: What the store brought.
        now: Unix time in seconds.
    """
    session, counters = recalled.section("session"), recalled.section("counters")
    near, taught = recalled.section("neighbours"), recalled.section("learned")
    learned = taught if isinstance(taught, Learned) else Learned()
    counted = counters if isinstance(counters, Counters) else Counters()
    said: Mapping[str, Masses] = {}
    if not isinstance(near, Missing):
        from ..memory.neighbours import evidence  # brings NumPy, which whoever has neighbours has already

        said = evidence(near, now, learned.aged)
    return Knowledge(
        session=session if isinstance(session, Session) else Session(),
        counters=counted,
        lengths=usual_lengths(counted),
        near=said,
        learned=learned,
    )


def tier_of(card: ModelCard) -> Tier:
    """The model's tier; mid where nobody knows."""
    return card.tier or Tier.MID


def tier_floor(step: Step, policy: Policy) -> Tier:
    """The weakest tier taken to be sufficient; recovery moves up when patience has run out."""
    floor = policy.tier_for(step.kind)
    if is_worn_out(step):
        raised = min(floor.rank + step.evidence.consecutive_errors - RECOVER_PATIENCE, Tier.HIGH.rank)
        return list(Tier)[raised]
    return floor


def is_worn_out(step: Step) -> bool:
    """Whether a recovery has failed so often that a weaker model is not worth another try."""
    return step.kind is StepKind.RECOVER and step.evidence.consecutive_errors > RECOVER_PATIENCE


def is_recovering(step: Step) -> bool:
    """Whether the step mends what just failed; then nobody steps down, as those who do lose the thread."""
    return step.kind is StepKind.RECOVER or step.evidence.consecutive_errors > 0


def incumbent_of(step: Step, session: Session) -> str | None:
    """The model that the session is on: who wrote the thoughts that tool results answer, or as memory has it."""
    if step.evidence.holds_thoughts and step.evidence.last_model is not None:
        return step.evidence.last_model
    return session.incumbent or step.evidence.last_model


def families(cards: Iterable[ModelCard]) -> dict[str, tuple[str, ...]]:
    """For each card the names of all deployments of its model: they share what is known of its judgement."""
    found: dict[str, list[str]] = {}
    for card in cards:
        found.setdefault(card.deployment_of or card.name, []).append(card.name)
    return {name: tuple(names) for names in found.values() for name in names}


def summed(masses: Mapping[str, Masses], names: Sequence[str]) -> Masses:
    """The masses of several models as one."""
    if len(names) == 1:
        return masses.get(names[0], NOTHING)
    successes = failures = 0.0
    for name in names:
        good, bad = masses.get(name, NOTHING)
        successes, failures = successes + good, failures + bad
    return successes, failures


def masses_at(tallies: Mapping[str, Tally], now: float) -> dict[str, Masses]:
    """What was counted of each model, as it weighs at `now`."""
    return {name: tally.masses(now) for name, tally in tallies.items()}


def is_labelled(counters: Counters, model: str) -> bool:
    """Whether the labels of a model at this kind tell more, on average, than that nobody complained."""
    tally = counters.kind.get(model)
    return tally is not None and tally.successes + tally.failures >= TELLING * tally.labels


def has_drifted(model: str, learned: Learned, now: float) -> bool:
    """Whether a model got worse within the time in which an outcome loses half its weight."""
    drift = learned.drift.get(model)
    return drift is not None and drift.alarms > 0 and now - drift.at < HALF_LIFE_SECONDS


def untold(cards: Iterable[ModelCard], known: Knowledge) -> frozenset[str]:
    """Names of the models that nothing but a prior is known of at this kind."""
    seen = known.counters.kind.keys() | known.near.keys()
    return frozenset(card.name for card in cards if card.name not in seen)


def usual_lengths(counters: Counters) -> dict[str, float]:
    """Tokens of an answer of each model that has answered such steps often enough, on average."""
    return {
        name: one.output_tokens
        for name, one in counters.kind.items()
        if one.seen >= KNOWN_ANSWERS and one.output_tokens > 0
    }


def output_tokens(card: ModelCard, step: Step, lengths: Mapping[str, float], foretold: float | None = None) -> int:
    """How long an answer is expected to be, reasoning included; never longer than was asked for.

    A model that has not answered such steps yet is taken to be as wordy as those that have: a guess for the one beside
    a measurement of the other would compare nothing.
    """
    usual = expected_tokens(card, step.kind)
    if (own := lengths.get(card.name) or foretold) is not None:
        usual = round(own)
    elif lengths:
        usual = at_length(card, sum(lengths.values()) / len(lengths))
    return min(usual, step.needs.output_tokens or usual)


def is_known(tally: Tally | None) -> TypeGuard[Tally]:
    """Whether a model has answered often enough for its averages to count."""
    return tally is not None and tally.seen >= KNOWN_ANSWERS


def trusted(prior: Prior | None, trust: float) -> Prior | None:
    """A prediction, which weighs less while texts are of another sort than it was trained on."""
    return prior if prior is None or trust >= 1 else replace(prior, strength=prior.strength * trust)


def warm_tokens(card: ModelCard, step: Step, session: Session) -> int:
    """How much of the prompt the model's provider probably still caches."""
    warm = session.warm.get(card.name)
    if warm is None or warm.until <= step.started_at or not step.trail.begins_with(warm.digest, warm.messages):
        return 0
    return min(warm.tokens, step.needs.input_tokens)


def speaker(card: ModelCard, step: Step, known: Knowledge, foretold: Foretold = NOTHING_FORETOLD) -> Speaker | None:
    """What asking a model depends on; None where its price is unknown."""
    if card.price is None:
        return None
    length = output_tokens(card, step, known.lengths, foretold.expects(card.name).output_tokens)
    return Speaker(price=card.price, warm_tokens=warm_tokens(card, step, known.session), output_tokens=length)


def expected_usd(speaker: Speaker | None, step: Step, *, example_tokens: int = 0) -> float | None:
    """Expected cost of `step` by itself, the model's prompt cache counted; None where the price is unknown."""
    if speaker is None:
        return None
    read = speaker.warm_tokens
    fresh = step.needs.input_tokens + example_tokens - read
    return priced_usd(speaker.price, fresh=fresh, read=read, output=speaker.output_tokens)


def contenders(
    step: Step,
    *,
    able: Sequence[ModelCard],
    policy: Policy,
    known: Knowledge,
    costs: Mapping[str, float | None],
    reference: str,
    now: Availability,
    foretold: Foretold,
    risky: frozenset[str] = frozenset(),
) -> list[Contender]:
    """What a choice among `able` models is made from.

    Args:
        step: The step.
        able: The models that may answer.
        policy: What the user asks.
        known: What memory holds.
        costs: What the step is expected to cost on each.
        reference: The model that sets the standard.
        now: What stands in the way of models.
        foretold: What a trained predictor says of them; the step-kind table is asked of those it does not know.
        risky: Models that might make the session too dear.
    """
    floor, kin, at = tier_floor(step, policy), families(able), step.started_at
    counters, learned = known.counters, known.learned
    of_kind = masses_at(counters.kind, at)
    of_node = None if step.place.node is None else masses_at(counters.node, at)
    trust = learned.weight(str(step.kind))
    near = {} if learned.is_off(str(step.kind)) else known.near
    standard = next(tier_of(card) for card in able if card.name == reference)
    barred = barriers(step, able=able, policy=policy, known=known, reference=reference, now=now, risky=risky)
    found = []
    for card in able:
        name, tier = card.name, tier_of(card)
        prior = trusted(foretold.priors.get(name), trust) or prior_at(card.effort, tier, floor, standard)
        if prior.is_vouched and name != reference and has_drifted(name, learned, at):
            prior = Prior(success=TIER_SUCCESS[tier])  # what the table says of its tier, it has disproved
        whole = kin[name]  # what is known of one deployment is known of its model
        node = None if of_node is None else summed(of_node, whole)
        tally = counters.kind.get(name)
        found.append(
            Contender(
                model=name,
                odds=odds(prior, kind=summed(of_kind, whole), node=node, near=summed(near, whole)),
                usd=costs[name],
                seconds=tally.seconds if is_known(tally) else foretold.expects(name).seconds or 0.0,
                rank=tier.rank,
                is_vouched=prior.is_vouched,
                barred=barred.get(name),
            )
        )
    return found


def barriers(
    step: Step,
    *,
    able: Sequence[ModelCard],
    policy: Policy,
    known: Knowledge,
    reference: str,
    now: Availability,
    risky: frozenset[str],
) -> dict[str, Fate]:
    """Why models may not be first whatever their odds; the reference may, if its provider can be asked."""
    incumbent = incumbent_of(step, known.session)
    highest = next((tier_of(card).rank for card in able if card.name == incumbent), 0) if is_recovering(step) else 0
    least = tier_floor(step, policy).rank if step.kind in policy.kinds or is_worn_out(step) else 0
    is_hard = known.session.escalation >= ESCALATIONS
    found = {}
    for card in able:
        name, rank = card.name, tier_of(card).rank
        if name in now.late:
            found[name] = Fate.LATE
        elif name == reference:
            continue
        elif rank < least:
            found[name] = Fate.BELOW
        elif known.learned.is_frozen(name):
            found[name] = Fate.FROZEN
        elif is_hard:
            found[name] = Fate.REFUSED
        elif name in risky:
            found[name] = Fate.OVERRUN
        elif rank < highest:
            found[name] = Fate.WEAKER
    return found
