"""Chooses the cheapest model that is sufficient: what each would cost, all in, and what it would lose.

CSR, "cheapest sufficient with a regret ledger". A model is sufficient where its chance of success, an escalation
included, is not below the reference's by more than the user allows. Of those the one with the lowest price is taken,
where an expected loss has a price too. What is believed but not yet proven is tried as far as a ledger allows, which
holds what such trials are expected to lose. Constants that are said to be replayed were chosen with
benchmarks/replay.py on one data set and are the same for all. No I/O, no clock, no chance.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from .odds import Odds

QUALITY_LOSS = 0.03
"""What a step may lose on the reference's chance of success, on average, unless the user says otherwise."""

STEP_LOSSES = 2.0
"""How many times that a single step may lose: gains elsewhere make up for it, as the price of a loss decides where
it pays most. With 1 the replay kept to the reference wherever a kind was harder, and cost half as much again."""

HIGHEST_TARGET = 0.98
"""No model is asked to be better than this; measured checks and judges disagree on more."""

REFERENCE_OPTIMISM = 1.25
"""Standard deviations by which the reference is thought better than it is known to be. Replayed: at 0.5 a wrong prior
loses twice as much; from 1 to 1.3 each 0.1 costs some 2 % of the reference's price and gains 0.1 points."""

OPTIMISM = 0.5
"""Standard deviations by which others are, so that little evidence against a model does not end its trial. Replayed:
from 0.5 to 0.75 all bounds hold; at 1 the loss comes near a third of `QUALITY_LOSS`."""

CERTAINTY = 1.28
"""Standard deviations below its mean at which a model must still be sufficient to count as proven: one-sided 90 %."""

LEAST_MASS = 3.0
"""Outcomes of a kind before a model's own record counts; until then the reference is taken to be what the table says,
and any other model may be tried as far as the ledger allows."""

REFERENCE_SUCCESS = 0.98
"""What the reference is taken to be until it has a record: low would make everything look sufficient."""

LOSS_PRICE = 0.25
"""Part of the reference's cost that is saved for a loss of `QUALITY_LOSS`: at 0.03, a wrong answer is worth 8 calls of
the reference (replayed: from 0.15 to 0.35 within the noise; at 1 little is ever saved)."""

UNPROVEN_SHARE = 0.5
"""Part of the allowed loss that trials of unproven models may use up."""

WINDOW = 500
"""Decisions the ledger looks back, weighed by 0.998 for each."""

STARTING_DECISIONS = 10
"""A ledger begins as if so many decisions had earned their allowance: 0.15 wrong answers to learn from."""

SWITCH_MARGIN = 0.05
"""What another model must save, as part of the cost, before a session leaves the one it is on."""


class Fate(StrEnum):
    """Why a model was chosen, or was not."""

    CHOSEN = "chosen"
    DEARER = "dearer"
    """Sufficient, but dearer, its expected loss included."""
    WEAK = "weak"
    """Not sufficient, as far as is known."""
    UNPROVEN = "unproven"
    """Perhaps sufficient, but the ledger allows no trial now."""
    FROZEN = "frozen"
    """It got worse of late, and is left alone for a while."""
    SLOW = "slow"
    """It would probably miss the deadline."""
    LATE = "late"
    """Its provider asked to be left alone for a moment."""
    UNPRICED = "unpriced"
    """Nobody knows what it costs, so it is never first."""
    WEAKER = "weaker"
    """Weaker than the model that is just recovering from an error."""
    REFUSED = "refused"
    """Too many answers of its session were refused by checks of late, so the reference is asked at once."""
    OVERRUN = "overrun"
    """Were its answer refused, its session might cost more than the user allows beside the reference."""
    BELOW = "below"
    """Of a weaker tier than the user, or a recovery that failed again, asks for."""


LAST_RESORTS = frozenset({Fate.BELOW, Fate.FROZEN, Fate.OVERRUN, Fate.REFUSED, Fate.WEAKER})
"""Fates of models that are asked last, whatever their odds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checks:
    """How good the checks of a kind of step are.

    Attributes:
        detection: Probability that a wrong answer is refused.
        false_alarm: Probability that a right one is.
    """

    detection: float = 0.0
    false_alarm: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A model that may answer, with what is known of it.

    Attributes:
        model: Its name.
        odds: Its chance of success.
        usd: What an answer costs, with what it does to the session's prompt caches; None where its price is unknown.
        seconds: How long an answer takes; 0 where nothing is known.
        rank: Position of its tier, which breaks ties.
        is_vouched: Whether the step-kind table says that it is sufficient.
        barred: Why it may not be first; None if it may.
    """

    model: str
    odds: Odds
    usd: float | None
    seconds: float = 0.0
    rank: int = 0
    is_vouched: bool = False
    barred: Fate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stakes:
    """What a choice turns on beside the models.

    Attributes:
        reference: The model that sets the standard; one of the contenders.
        quality_loss: What may be lost on its chance of success on average, 0 to 1.
        value_of_failure_usd: What a wrong answer costs the user; None derives it from `quality_loss`.
        checks: How good the checks of this kind are.
        after: The reference's chance of success after another model's answer was refused, when the step is likely
            hard; None takes its usual one.
        allowance: What the ledger lets an unproven model be expected to lose at worst, in wrong answers.
        incumbent: The model that the session is on.
        is_locked: Whether the session stays on it wherever it is sufficient.
        is_irreversible: Whether nothing unproven may be tried.
        is_labelled: Whether steps of this kind get labels that tell more than that nobody complained.
        seconds_left: Until the step's deadline; None where there is none.
        second_usd: What it costs to ask the reference after another model's answer was refused: this step alone, on
            what its provider still caches of it. None takes what the reference costs as the first.
    """

    reference: str
    quality_loss: float = QUALITY_LOSS
    value_of_failure_usd: float | None = None
    checks: Checks = field(default_factory=Checks)
    after: Odds | None = None
    allowance: float = 0.0
    incumbent: str | None = None
    is_locked: bool = False
    is_irreversible: bool = False
    is_labelled: bool = True
    seconds_left: float | None = None
    second_usd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """A model as the choice saw it.

    Attributes:
        model: Its name.
        odds: Its own chance of success.
        success: The same with an escalation to the reference included.
        sd: Standard deviation of that.
        escalation: Probability that its answer is refused and the reference asked.
        usd: Expected cost, that escalation included; None where its price is unknown.
        seconds: Expected time, that escalation included.
        loss: Expected loss of success against the reference, 0 or more.
        price_usd: `usd` and the price of the loss, times what its health adds: what is minimised.
        is_sufficient: Whether it is sufficient, as far as is known and hoped.
        is_proven: Whether it is, with 90 % certainty.
    """

    model: str
    odds: Odds
    success: float
    sd: float
    escalation: float = 0.0
    usd: float | None
    seconds: float
    loss: float
    price_usd: float
    is_sufficient: bool
    is_proven: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The model that answers first, and how all were weighed.

    Attributes:
        model: The model.
        weighed: Every contender, by name.
        fates: Why each was chosen or not.
        target: The chance of success that is sufficient.
        charge: What the ledger is charged: the expected loss of an unproven choice.
        is_trial: Whether the model was taken though it is not proven.
        stays: Whether it is taken because the session is on it, though another would be cheaper.
    """

    model: str
    weighed: Mapping[str, Weighed]
    fates: Mapping[str, Fate]
    target: float
    charge: float = 0.0
    is_trial: bool = False
    stays: bool = False

    def is_sufficient(self, model: str) -> bool:
        """Whether a model is thought sufficient, and nothing but its price or a moment's trouble speaks against it."""
        return self.weighed[model].is_sufficient and self.fates[model] not in LAST_RESORTS


def choose(contenders: Sequence[Contender], stakes: Stakes, *, penalties: Mapping[str, float] | None = None) -> Choice:
    """The cheapest sufficient model of `contenders`.

    Args:
        contenders: Models that may answer, the reference among them.
        stakes: What else counts.
        penalties: What to multiply the price of a model with that is not well, above 1, by name.
    """
    table = weigh(contenders, stakes, penalties or {})
    barred = barriers(contenders, table.rows, stakes.seconds_left)
    free = table.free(contenders, barred)
    untried = [c for c in free if is_untried(c) and c.model != stakes.reference] if table.tells(stakes) else []
    plausible = [c for c in free if table.rows[c.model].is_sufficient or c in untried] or free
    opt = table.cheapest(plausible)
    if untried and opt.model == stakes.reference:
        # What was never tried is tried, as far as the ledger allows: a wrong prior must not last for ever.
        cheaper = [c for c in untried if table.is_cheaper(c)]
        opt = table.cheapest(cheaper or [opt])
    incumbent = next((c for c in plausible if c.model == stakes.incumbent), None)
    stays = incumbent is not None and incumbent is not opt and table.keeps(incumbent, opt, is_locked=stakes.is_locked)
    if incumbent is not None and stays:
        opt = incumbent
    is_trial = not table.is_safe(opt)
    if is_trial and (stakes.is_irreversible or table.worst_loss(opt) > stakes.allowance):
        barred[opt.model] = Fate.UNPROVEN
        safe = [c for c in plausible if table.is_safe(c)] or [c for c in free if c is not opt] or free
        opt, is_trial, stays = table.cheapest(safe), False, False
    row = table.rows[opt.model]
    fates = {c.model: Fate.CHOSEN if c is opt else barred.get(c.model) or table.fate(c) for c in contenders}
    return Choice(
        model=opt.model,
        weighed=table.rows,
        fates=fates,
        target=table.target,
        charge=row.loss if is_trial else 0.0,
        is_trial=is_trial,
        stays=stays,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """All contenders weighed against the reference.

    Attributes:
        rows: The contenders, by name.
        reference: The one that sets the standard.
        success: Its chance of success, as it is taken.
        reference_mass: Outcomes it has.
        target: What is sufficient.
        penalties: What the price of a model is multiplied with that is not well, by name.
    """

    rows: Mapping[str, Weighed]
    reference: str
    success: float
    reference_mass: float
    target: float
    penalties: Mapping[str, float]

    def tells(self, stakes: Stakes) -> bool:
        """Whether trials would teach anything: the reference has a record, and labels that are more than silence."""
        return stakes.is_labelled and self.reference_mass >= LEAST_MASS

    def is_safe(self, contender: Contender) -> bool:
        """Whether it may be taken without asking the ledger: it is proven, or the table vouches until a record does."""
        is_vouched = contender.is_vouched and contender.odds.mass < LEAST_MASS
        return contender.model == self.reference or is_vouched or self.rows[contender.model].is_proven

    def free(self, contenders: Sequence[Contender], barred: Mapping[str, Fate]) -> list[Contender]:
        """Who may be first; who is only busy or slow may too, where nobody else can be relied on."""
        found = [c for c in contenders if c.model not in barred]
        if any(self.is_safe(c) for c in found):
            return found
        return [c for c in contenders if barred.get(c.model) in (None, Fate.LATE, Fate.SLOW)] or list(contenders)

    def is_cheaper(self, contender: Contender) -> bool:
        """Whether it costs less than the reference."""
        usd, most = self.rows[contender.model].usd, self.rows[self.reference].usd
        return usd is not None and (most is None or usd < most)

    def worst_loss(self, contender: Contender) -> float:
        """What it may lose at worst, with 90 % certainty."""
        row = self.rows[contender.model]
        return max(0.0, self.success - max(0.0, row.success - CERTAINTY * row.sd))

    def cheapest(self, contenders: Iterable[Contender]) -> Contender:
        """The one with the lowest price; of equals the healthier, then who loses least, then the weaker tier."""
        return min(contenders, key=lambda c: self.standing(c.model, c.rank))

    def standing(self, model: str, rank: int) -> tuple[float, ...]:
        """By what models are put in order; where nobody knows prices, a weaker tier is taken to be cheaper."""
        row, slower = self.rows[model], self.penalties.get(model, 1.0)
        return (row.price_usd, slower, 0.0 if math.isinf(row.price_usd) else row.loss, rank)

    def keeps(self, incumbent: Contender, other: Contender, *, is_locked: bool) -> bool:
        """Whether a session stays on the model it is on, though another would be cheaper."""
        here, there = self.rows[incumbent.model], self.rows[other.model]
        return is_locked or here.price_usd - there.price_usd <= SWITCH_MARGIN * (here.usd or 0.0)

    def fate(self, contender: Contender) -> Fate:
        """Why one that might have been chosen was not."""
        if contender.usd is None:
            return Fate.UNPRICED
        return Fate.DEARER if self.rows[contender.model].is_sufficient else Fate.WEAK


def weigh(contenders: Sequence[Contender], stakes: Stakes, penalties: Mapping[str, float]) -> Table:
    """What each contender would give and cost, an escalation to the reference included."""
    reference = next(c for c in contenders if c.model == stakes.reference)
    own, loss_allowed = reference.odds, max(stakes.quality_loss, 0.001)
    standard = own.success if own.mass >= LEAST_MASS else max(own.success, REFERENCE_SUCCESS)
    optimistic = min(0.999, standard + REFERENCE_OPTIMISM * own.sd)
    target = min(HIGHEST_TARGET, optimistic) - STEP_LOSSES * stakes.quality_loss
    dearest = max((c.usd for c in contenders if c.usd is not None), default=0.0)
    reference_usd = dearest if reference.usd is None else reference.usd
    second_usd = reference_usd if stakes.second_usd is None else stakes.second_usd
    failure_usd = stakes.value_of_failure_usd
    if failure_usd is None:
        failure_usd = LOSS_PRICE * reference_usd / loss_allowed
    after = standard if stakes.after is None else min(standard, stakes.after.success)
    rows = {}
    for one in contenders:
        if one is reference:
            success, sd, escalation = standard, own.sd, 0.0
        else:
            success, sd, escalation = with_checks(one.odds, stakes.checks, after)
        usd = None if one.usd is None else one.usd + escalation * second_usd
        loss = max(0.0, standard - success)
        price = math.inf if usd is None else usd * penalties.get(one.model, 1.0) + failure_usd * loss
        rows[one.model] = Weighed(
            model=one.model,
            odds=one.odds,
            success=success,
            sd=sd,
            escalation=escalation,
            usd=usd,
            seconds=one.seconds + escalation * reference.seconds,
            loss=loss,
            price_usd=price,
            is_sufficient=one is reference or success + OPTIMISM * sd >= target,
            is_proven=one is reference or success - CERTAINTY * sd >= target,
        )
    return Table(
        rows=rows,
        reference=reference.model,
        success=standard,
        reference_mass=own.mass,
        target=target,
        penalties=penalties,
    )


def with_checks(own: Odds, checks: Checks, after: float) -> tuple[float, float, float]:
    """Success and its standard deviation with checks that escalate, and how likely that is.

    A wrong answer is caught with `detection`, a right one refused with `false_alarm`; then the reference answers, which
    succeeds with `after`: P = p(1 − fa) + e·after, e = (1 − p)d + p·fa.
    """
    # A check that refuses right answers more often than wrong ones tells nothing; it must not speak for a worse model.
    p, d, fa = own.success, max(checks.detection, checks.false_alarm), checks.false_alarm
    escalation = (1 - p) * d + p * fa
    return p * (1 - fa) + escalation * after, abs((1 - fa) - (d - fa) * after) * own.sd, escalation


def is_untried(contender: Contender) -> bool:
    """Whether a model has too little of a record to be judged."""
    return contender.odds.mass < LEAST_MASS


def barriers(
    contenders: Sequence[Contender], rows: Mapping[str, Weighed], seconds_left: float | None
) -> dict[str, Fate]:
    """Who may not be first, and why; a deadline bars nobody if none can keep it."""
    left = float("inf") if seconds_left is None else seconds_left
    in_time = any(row.seconds <= left for row in rows.values())
    found = {c.model: Fate.SLOW for c in contenders if in_time and rows[c.model].seconds > left}
    return found | {c.model: c.barred for c in contenders if c.barred is not None}


def allowance(decisions: float, charged: float, quality_loss: float) -> float:
    """What a ledger lets an unproven model be expected to lose at worst, in wrong answers.

    Args:
        decisions: How many decisions it has seen.
        charged: What it was charged, faded by a factor of 1 − 1 / `WINDOW` with each.
        quality_loss: What the user allows a decision to lose on average.
    """
    earned = UNPROVEN_SHARE * quality_loss * min(max(decisions, STARTING_DECISIONS), WINDOW)
    return max(0.0, earned - charged)
