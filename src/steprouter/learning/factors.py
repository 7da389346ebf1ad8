"""Matrix factorisation as RouteLLM has it: a step is projected on few hidden numbers, and each model weighs them.

Log odds of model m at step x are the table's + v_m · A x, where A is shared by all models and v_m is the model's. Who
was preferred, a or b, is told by Bradley and Terry's rule from the difference of the two. Models share what is learnt
of texts, so many models with few rows each gain most; words are left out, as 2^15 places times the rank overfit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .contenders import chance, means_of
from .features import Design, Seen, design, scales_of
from .logistic import Linear
from .minimise import minimise
from .table import Floats, Table

RANK = 8
PENALTIES = (16.0, 4.0, 1.0)
"""Tried in turn, on half the sum of squares of A and of v each, which together bound the rank softly."""


@dataclass(frozen=True, slots=True)
class Factors:
    """Matrix factorisation on the vector and the shape.

    Attributes:
        name: What it is called.
        seed: Of the numbers it starts from.
        rank: Hidden numbers at most.
    """

    name: str = "factors"
    settings: Sequence[float] = PENALTIES
    seed: int = 0
    rank: int = RANK

    def fit(self, read: Seen, table: Table, setting: float) -> Linear:
        """Learns from rows and pairs together."""
        mine = read.without(words=True)
        steps = np.unique(np.concatenate((table.item, table.pairs[:, 0])))
        scales = scales_of(mine, steps)
        features, means = design(mine, scales), means_of(table)
        models, rank = len(table.models), max(1, min(self.rank, len(table.models) - 1))
        offsets = means.logits[table.items.kinds]
        start = np.concatenate(
            (
                np.zeros(features.width * rank),
                np.random.default_rng(self.seed).normal(0, 1, rank * models) / np.sqrt(rank),
            )
        )

        def loss(place: Floats) -> tuple[float, Floats]:
            projection = place[: features.width * rank].reshape(features.width, rank)
            weights = place[features.width * rank :].reshape(rank, models)
            value, errors, hidden = data_loss(features, table, offsets, projection, weights)
            slope = (features.dense.T @ (errors @ weights.T), hidden.T @ errors)
            value += 0.5 * setting * float(place @ place)
            return value, np.concatenate([one.ravel() for one in slope]) + setting * place

        place = minimise(loss, start)
        split = features.width * rank
        return Linear(
            features,
            scales,
            means,
            table.items.kinds,
            place[:split].reshape(features.width, rank),
            place[split:].reshape(rank, models),
        )


def data_loss(
    features: Design, table: Table, offsets: Floats, projection: Floats, weights: Floats
) -> tuple[float, Floats, Floats]:
    """The log loss of rows and pairs, how it changes with each score (steps, models), and the hidden numbers."""
    hidden = features.dense @ projection
    logits = offsets + hidden @ weights
    errors = np.zeros_like(logits)
    mine = logits[table.item, table.model]
    value = float(table.weight @ (np.logaddexp(0.0, mine) - table.success * mine))
    np.add.at(errors, (table.item, table.model), table.weight * (chance(mine) - table.success))
    if len(table.pairs):
        item, first, second = table.pairs.T
        lead = logits[item, first] - logits[item, second]
        value += float((np.logaddexp(0.0, lead) - table.first_won * lead).sum())
        wrong = chance(lead) - table.first_won
        np.add.at(errors, (item, first), wrong)
        np.add.at(errors, (item, second), -wrong)
    return value, errors, hidden
