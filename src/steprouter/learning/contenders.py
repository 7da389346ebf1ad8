"""What the contenders for a predictor have in common: each is fitted to rows and then scores every step and model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from .features import Places, Seen
from .table import Floats, Table, totals

STRENGTH = 6.0
"""Observations that the mean over kinds weighs in a kind's mean, as `routing.odds.PRIOR_STRENGTH`."""

FURTHEST = 0.01
"""A mean is kept so far from 0 and 1: a model without a failure among fifty may still fail."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Means:
    """The step-kind table: how often each model is right at each kind of step.

    Attributes:
        success: (kinds, models) means, each drawn to its model's over all kinds.
        rows: (kinds, models) how many rows each has, weighted.
    """

    success: Floats
    rows: Floats

    @property
    def logits(self) -> Floats:
        """(kinds, models) the means as log odds."""
        return logit(np.clip(self.success, FURTHEST, 1 - FURTHEST))


def means_of(table: Table) -> Means:
    """The step-kind table of rows."""
    size = (len(table.kinds), len(table.models))
    cells = table.kind * size[1] + table.model
    good = totals(cells, table.weight * table.success, size)
    rows = totals(cells, table.weight, size)
    overall = good.sum() / max(rows.sum(), 1e-9)
    model = (good.sum(axis=0) + STRENGTH * overall) / (rows.sum(axis=0) + STRENGTH)
    return Means(success=(good + STRENGTH * model) / (rows + STRENGTH), rows=rows)


def logit(chances: Floats) -> Floats:
    """Log odds."""
    odds: Floats = np.log(chances) - np.log1p(-chances)
    return odds


def chance(logits: Floats) -> Floats:
    """The probability of log odds, without overflow."""
    found: Floats = 0.5 * (1 + np.tanh(0.5 * logits))
    return found


class Fitted(Protocol):
    """What has learnt."""

    def logits(self, chosen: Places) -> Floats:
        """Log odds of success of each model at some steps, (n, models).

        Args:
            chosen: Places of the steps, each at most once.
        """
        ...


class Contender(Protocol):
    """A way to learn.

    Promises:
        - `settings` are tried on a part of the learning rows, the strictest first.
        - `fit` learns from the rows of a table and nothing else, and does the same every time.
    """

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def settings(self) -> Sequence[float]:
        """How strongly to hold back, the strictest first."""
        ...

    def fit(self, read: Seen, table: Table, setting: float) -> Fitted:
        """Learns.

        Args:
            read: All steps.
            table: The rows to learn from.
            setting: One of `settings`.
        """
        ...


@dataclass(frozen=True, slots=True)
class TableOnly:
    """The step-kind table as a contender: what the others must beat."""

    name: str = "table"
    settings: Sequence[float] = (0.0,)

    def fit(self, read: Seen, table: Table, setting: float) -> Fitted:
        """Takes the means."""
        return OfTable(means_of(table), table.items.kinds)


@dataclass(frozen=True, slots=True, eq=False)
class OfTable:
    """A step-kind table, fitted."""

    means: Means
    kinds: npt.NDArray[np.int64]

    def logits(self, chosen: Places) -> Floats:
        """The kind's means."""
        return self.means.logits[self.kinds[chosen]]
