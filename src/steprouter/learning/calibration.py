"""Makes probabilities mean what they say, on rows that were not learnt from, and says what they are worth."""

from __future__ import annotations

import numpy as np

from ..routing.predict import STRONGEST
from ..routing.trained import Curve
from .contenders import chance
from .metrics import BINS, reliability
from .minimise import minimise
from .table import Floats, Numbers

RIDGE = 1.0
"""Keeps a slope near 1 and an intercept near 0 where there are few rows."""

MOST_SLOPE = 3.0
"""A held-out score may be stretched so far at most."""

WEAKEST = 1.0
"""Observations that a prediction weighs at least, if it is used at all."""

FEWEST = 20
"""Rows in a bin below which its share of success says nothing."""

KNOTS = 64
"""Corners of an isotonic curve that are kept."""


def platt(logits: Floats, successes: Floats, weights: Floats) -> Curve:
    """A straight line through log odds (Platt 1999), the most likely one with a weak pull to changing nothing."""

    def loss(place: Floats) -> tuple[float, Floats]:
        slope, intercept = place
        turned = slope * logits + intercept
        wrong = weights * (chance(turned) - successes)
        value = weights @ (np.logaddexp(0.0, turned) - successes * turned)
        pull = RIDGE * np.array([slope - 1, intercept])
        value += 0.5 * RIDGE * ((slope - 1) ** 2 + intercept**2)
        return float(value), np.array([wrong @ logits, wrong.sum()]) + pull

    slope, intercept = minimise(loss, np.array([1.0, 0.0]), gained=1e-10)
    return Curve(slope=float(np.clip(slope, 0.0, MOST_SLOPE)), intercept=float(intercept))


def isotonic(logits: Floats, successes: Floats, weights: Floats) -> Curve:
    """The rising steps nearest to the outcomes (pool adjacent violators), joined by lines.

    Each step is drawn half an observation to either side, so that none is certain.
    """
    order = np.argsort(logits, kind="stable")
    pools: list[list[float]] = []  # scores, good and mass of each step, summed by mass
    for score, success, mass in zip(logits[order], successes[order], weights[order], strict=True):
        if mass <= 0:
            continue
        pools.append([score * mass, success * mass, mass])
        while len(pools) > 1 and pools[-2][1] * pools[-1][2] >= pools[-1][1] * pools[-2][2]:
            last = pools.pop()
            pools[-1] = [one + other for one, other in zip(pools[-1], last, strict=True)]
    table = np.array(pools)
    if len(table) > KNOTS:
        table = np.add.reduceat(table, np.unique(np.linspace(0, len(table) - 1, KNOTS).astype(int)), axis=0)
    shares = (table[:, 1] + 0.5) / (table[:, 2] + 1)
    shares = np.maximum.accumulate(shares)
    return Curve(scores=table[:, 0] / table[:, 2], logits=np.log(shares / (1 - shares)))


def worth(successes: Floats, guesses: Floats, weights: Floats, cells: Numbers) -> float:
    """How many observations a guess is worth: as many as would leave a mean with as large an error.

    The error of a guess is what its bin's share of success differs by, less what chance alone would make of so many
    rows; a mean of n observations differs by p(1 − p)/(n + 1). Between `WEAKEST` and `STRONGEST`.

    Args:
        successes: (n,) 0 to 1, of rows that were not learnt from.
        guesses: (n,) calibrated on others.
        weights: (n,) of the rows.
        cells: (n,) the kind and model of each, by any number; bins are made within.
    """
    error = spread = mass = 0.0
    for cell in np.unique(cells):
        mine = cells == cell
        bins = reliability(successes[mine], guesses[mine], weights[mine], bins=BINS)
        variance = bins.happened * (1 - bins.happened)
        enough = bins.rows >= FEWEST
        by_chance = variance / np.maximum(bins.rows, 1)
        error += float((bins.rows * (np.square(bins.guessed - bins.happened) - by_chance))[enough].sum())
        spread += float((bins.rows * variance)[enough].sum())
        mass += float(bins.rows[enough].sum())
    if not mass:
        return WEAKEST
    if error <= 0:
        return STRONGEST
    return float(np.clip(spread / error - 1, WEAKEST, STRONGEST))
