"""Logistic regression for each model on top of the step-kind table, with a penalty (ridge)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .contenders import Means, chance, means_of
from .features import Design, Places, Scales, Seen, design, scales_of
from .minimise import minimise
from .table import Floats, Table

PENALTIES = (32.0, 8.0, 2.0)
"""Tried in turn: weights are thought to lie within 1/√penalty; at infinity the table is left. Below 2 the log loss on
MMLU falls by .001 more, but models are told apart worse: APGR .673 at ½, .685 at 2."""


@dataclass(frozen=True, slots=True)
class Logistic:
    """Log odds = the table's + weights · features, the weights of each model by themselves.

    Attributes:
        name: What it is called.
        words: Whether it looks at words.
        vector: Whether it looks at the vector.
    """

    name: str = "logistic"
    words: bool = True
    vector: bool = True
    settings: Sequence[float] = PENALTIES

    def fit(self, read: Seen, table: Table, setting: float) -> Linear:
        """Learns the weights of each model that has rows."""
        mine = read.without(words=not self.words, vector=not self.vector)
        steps = np.unique(table.item)
        scales = scales_of(mine, steps)
        features, means = design(mine, scales), means_of(table)
        weights = np.zeros((features.width, len(table.models)))
        for model in range(len(table.models)):
            rows = np.flatnonzero(table.model == model)
            if len(rows):
                weights[:, model] = weights_of(features, table, rows, means, setting)
        return Linear(features, scales, means, table.items.kinds, weights, np.eye(len(table.models)))


def weights_of(features: Design, table: Table, rows: Places, means: Means, penalty: float) -> Floats:
    """The weights of one model, (width,): the most likely ones under a penalty.

    Args:
        features: Of all steps.
        table: Rows to learn from.
        rows: Those of the model.
        means: The step-kind table that the weights correct.
        penalty: On half the sum of their squares.
    """
    steps, mine = np.unique(table.item[rows], return_inverse=True)
    mass = np.bincount(mine, table.weight[rows])
    good = np.bincount(mine, table.weight[rows] * table.success[rows])
    here = features.of(steps)
    offsets = means.logits[table.items.kinds[steps], table.model[rows[0]]]

    def loss(weights: Floats) -> tuple[float, Floats]:
        logits = offsets + here.scores(weights)
        value = mass @ np.logaddexp(0.0, logits) - good @ logits + 0.5 * penalty * (weights @ weights)
        return float(value), here.slope(mass * chance(logits) - good) + penalty * weights

    return minimise(loss, np.zeros(features.width))


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """Log odds that are the table's and a sum over features, through `rank` hidden numbers.

    Attributes:
        features: Of all steps.
        scales: Those of the features.
        means: The step-kind table below it.
        kinds: (n,) kinds of all steps.
        weights: (width, rank).
        models: (rank, models); the unit matrix where each model has its own weights.
    """

    features: Design
    scales: Scales
    means: Means
    kinds: npt.NDArray[np.int64]
    weights: Floats
    models: Floats

    def logits(self, chosen: Places) -> Floats:
        """Log odds of each model at some steps."""
        here = self.features.of(chosen)
        hidden = np.stack([here.scores(column) for column in self.weights.T], axis=1)
        found: Floats = self.means.logits[self.kinds[chosen]] + hidden @ self.models
        return found
