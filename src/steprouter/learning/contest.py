"""Who foretells best what nobody showed it: contenders learn on some groups of steps and are judged on the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..routing.trained import Curve
from .calibration import isotonic, platt
from .contenders import Contender, TableOnly, chance
from .features import Seen
from .metrics import briers, log_losses
from .table import Floats, Numbers, Table

FOLDS = 5
DRAWS = 1000
"""Bootstrap samples; the lower bound of a gain moves by a tenth of its width between two runs of so many."""

DOUBT = 0.05
"""That a contender is taken for better than the table though it is not, all contenders together."""

ISOTONIC_ROWS = 2000
ISOTONIC_GAIN = 0.001
"""Nats that a calibration of many corners must gain on a straight line; with fewer rows it follows chance."""

Judge = Callable[[Floats, Floats], Floats]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeldOut:
    """What a contender said of steps that it had not learnt from.

    Attributes:
        name: Of the contender.
        logits: (items, models) raw log odds.
        chances: (items, models) probabilities, calibrated on other folds.
        is_isotonic: Whether the calibration has corners.
        setting: The one that won most often.
    """

    name: str
    logits: Floats
    chances: Floats
    is_isotonic: bool
    setting: float


def folds_of(groups: Numbers, seed: int, folds: int = FOLDS) -> Numbers:
    """A fold for each step, the same for all steps of a group."""
    names, places = np.unique(groups, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    found: Numbers = (order % folds)[places]
    return found


def hold_out(contender: Contender, read: Seen, table: Table, folds: Numbers, seed: int) -> HeldOut:
    """What a contender says of each fold after learning from the others.

    How strongly it holds back is chosen on a part of the rows it learns from, so that what is judged played no part.

    Args:
        contender: Who.
        read: All steps.
        table: All rows.
        folds: (items,) of each step.
        seed: Of the part for choosing.
    """
    logits = np.zeros((len(table.items), len(table.models)))
    chosen: list[float] = []
    for fold in np.unique(folds):
        learning = table.of_items(folds != fold)
        setting = setting_of(contender, read, learning, seed)
        chosen.append(setting)
        asked = np.flatnonzero(folds == fold)
        logits[asked] = contender.fit(read, learning, setting).logits(asked)
    chances, is_isotonic = calibrated(table, logits, folds)
    if isinstance(contender, TableOnly):
        # Means of rows are calibrated, and a straight line through them would only learn which rows are held out.
        chances, is_isotonic = chance(logits), False
    setting = max(contender.settings, key=chosen.count)
    return HeldOut(name=contender.name, logits=logits, chances=chances, is_isotonic=is_isotonic, setting=setting)


def setting_of(contender: Contender, read: Seen, table: Table, seed: int) -> float:
    """The setting that foretells a fifth of the rows best from the rest; the stricter of equals."""
    if len(contender.settings) == 1:
        return contender.settings[0]
    part = folds_of(table.items.groups, seed + 1) == 0
    learning, judged = table.of_items(~part), table.of_items(part)
    if not len(learning) or not len(judged):
        return contender.settings[0]
    asked = np.unique(judged.item)
    rows = np.searchsorted(asked, judged.item)

    def loss(setting: float) -> float:
        guesses = chance(contender.fit(read, learning, setting).logits(asked))[rows, judged.model]
        return float(judged.weight @ log_losses(judged.success, guesses))

    return min(contender.settings, key=loss)


def calibrated(table: Table, logits: Floats, folds: Numbers) -> tuple[Floats, bool]:
    """Probabilities of each fold, calibrated on the others, and whether the calibration has corners."""
    straight = crossed(platt, table, logits, folds)
    if len(table) < ISOTONIC_ROWS:
        return straight, False
    bent = crossed(isotonic, table, logits, folds)

    def loss(chances: Floats) -> float:
        return float(table.weight @ log_losses(table.success, chances[table.item, table.model]) / table.weight.sum())

    is_better = loss(bent) < loss(straight) - ISOTONIC_GAIN
    return (bent, True) if is_better else (straight, False)


def crossed(fit: Callable[[Floats, Floats, Floats], Curve], table: Table, logits: Floats, folds: Numbers) -> Floats:
    """Probabilities by a calibration that each fold has from the others."""
    chances = np.empty_like(logits)
    for fold in np.unique(folds):
        others, here = table.of_items(folds != fold), folds == fold
        chances[here] = chance(fit(logits[others.item, others.model], others.success, others.weight)(logits[here]))
    return chances


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """How much lower one contender's loss is than another's, per row.

    Attributes:
        mean: On all rows.
        low: What it is at least, but for the doubt allowed, by bootstrap over groups.
    """

    mean: float
    low: float

    @property
    def is_clear(self) -> bool:
        """Whether it can hardly be chance."""
        return self.low > 0


def gain(table: Table, judge: Judge, better: Floats, than: Floats, *, doubt: float, seed: int) -> Gain:
    """How much lower the loss of one set of probabilities is.

    Args:
        table: The rows.
        judge: The loss of each row.
        better: (items, models).
        than: (items, models).
        doubt: One-sided.
        seed: Of the draws.
    """
    losses = (judge(table.success, one[table.item, table.model]) for one in (than, better))
    old, new = losses
    groups = np.unique(table.items.groups[table.item], return_inverse=True)[1]
    lead = np.bincount(groups, table.weight * (old - new))
    mass = np.bincount(groups, table.weight)
    rng, drawn = np.random.default_rng(seed), np.empty(DRAWS)
    for draw in range(DRAWS):
        times = np.bincount(rng.integers(0, len(lead), len(lead)), minlength=len(lead))
        drawn[draw] = (times @ lead) / max(float(times @ mass), 1e-9)
    return Gain(mean=float(lead.sum() / mass.sum()), low=float(np.quantile(drawn, doubt)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Who won and why.

    Attributes:
        winner: Name of the contender.
        why: In words.
        gains: Each contender's lead on the table, in log loss and in Brier score.
    """

    winner: str
    why: str
    gains: Mapping[str, tuple[Gain, Gain]]


def judged(table: Table, told: Sequence[HeldOut], seed: int) -> Verdict:
    """The contender with the lowest log loss of those that clearly beat the table, or a simpler one as good.

    Args:
        table: The rows.
        told: The table first, then the contenders, the simplest first.
        seed: Of the draws.
    """
    base, others = told[0], told[1:]
    doubt = DOUBT / max(1, len(others))

    def lead(one: HeldOut, on: HeldOut, judge: Judge) -> Gain:
        return gain(table, judge, one.chances, on.chances, doubt=doubt, seed=seed)

    gains = {one.name: (lead(one, base, log_losses), lead(one, base, briers)) for one in others}
    clear = [one for one in others if any(found.is_clear for found in gains[one.name])]
    if not clear:
        why = "no contender is clearly better than the mean of each kind and model on held-out rows"
        return Verdict(winner=base.name, why=why, gains=gains)
    best = max(clear, key=lambda one: gains[one.name][0].mean)
    winner = next(one for one in clear if one is best or not lead(best, one, log_losses).is_clear)
    loss, brier = gains[winner.name]
    why = (
        f"its log loss is {loss.mean:.4f} below the table's (at least {loss.low:.4f}), "
        f"its Brier score {brier.mean:.4f} (at least {brier.low:.4f})"
    )
    if winner is not best:
        why += f"; {best.name} is not clearly better, and {winner.name} is simpler"
    return Verdict(winner=winner.name, why=why, gains=gains)
