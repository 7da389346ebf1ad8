"""Learning from pairs: who was better says something of who is good enough, and more of who is stronger."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .contenders import chance
from .metrics import log_losses
from .table import Floats, Table

WEIGHT = 0.5
"""A preference as an outcome of each model: the loser's answer was not good enough, the winner's was, and both at a
tie. That is often wrong, since two answers may both do or both fail, so it weighs half."""

ROUNDS = 200
STILL = 1e-9
"""A change of strengths below which they have settled."""


def with_preferences(table: Table) -> Table:
    """The table with each pair as an outcome of both its models, besides being a pair."""
    if not len(table.pairs):
        return table
    unknown = np.full(2 * len(table.pairs), np.nan)
    success = np.concatenate((table.first_won > 0, table.first_won < 1)).astype(np.float64)
    return replace(
        table,
        item=np.concatenate((table.item, table.pairs[:, 0], table.pairs[:, 0])),
        model=np.concatenate((table.model, table.pairs[:, 1], table.pairs[:, 2])),
        success=np.concatenate((table.success, success)),
        weight=np.concatenate((table.weight, np.full(len(success), WEIGHT))),
        usd=np.concatenate((table.usd, unknown)),
        output_tokens=np.concatenate((table.output_tokens, unknown)),
        seconds=np.concatenate((table.seconds, unknown)),
    )


def bradley_terry(table: Table) -> Floats:
    """How strong each model is by the pairs alone, (models,), as log odds, the mean being 0.

    The most likely strengths by Hunter's rounds (2004, "MM algorithms for generalized Bradley-Terry models"), with one
    tie of each model against an average one added, so that a model that always won stays finite. A tie is half a win
    for each.
    """
    count = len(table.models)
    wins, games = np.full(count, 0.5), np.zeros((count, count))
    first, second = table.pairs[:, 1], table.pairs[:, 2]
    np.add.at(wins, first, table.first_won)
    np.add.at(wins, second, 1 - table.first_won)
    np.add.at(games, (first, second), 1.0)
    games += games.T
    strengths = np.ones(count)
    for _ in range(ROUNDS):
        shares = games / (strengths[:, None] + strengths)
        fresh = wins / (shares.sum(axis=1) + 1 / (strengths + 1))
        fresh /= np.exp(np.log(fresh).mean())
        settled = np.abs(fresh - strengths).max() < STILL
        strengths = fresh
        if settled:
            break
    return np.log(strengths)


def preference_loss(table: Table, logits: Floats) -> float:
    """Mean log loss of foretelling who is preferred, from log odds that differ between the two.

    Args:
        table: Whose pairs are foretold.
        logits: (pairs, models) of each pair's step.
    """
    rows = np.arange(len(table.pairs))
    lead = logits[rows, table.pairs[:, 1]] - logits[rows, table.pairs[:, 2]]
    return float(log_losses(table.first_won, chance(lead)).mean())
