"""How likely a model is to answer a step well, and how sure that is.

A prior stands for what is known beforehand; the counts of the step's kind replace it, those of its node refine them,
and the nearest remembered outcomes have the last word: four Beta distributions, each the prior of the next.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

PRIOR_STRENGTH = 6.0
"""Observations that a guess weighs which nothing but a tier stands behind; replaced by the first dozen outcomes."""

KIND_STRENGTH = 20.0
"""What is known of a kind weighs at most beside the counts of one of its nodes: nodes differ, and a new one should not
have to learn from nothing. Replayed (benchmarks/replay.py): with 8 a model that got worse was left two thirds later."""

COUNTED_STRENGTH = 40.0
"""What all counts weigh at most beside the neighbours, so that these can still speak."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """What is thought of a model at a kind of step before any outcome is counted.

    Attributes:
        success: Probability that its answer is sufficient, 0 to 1.
        strength: How much that weighs, in observations.
        is_vouched: Whether the step-kind table says that the model's tier is sufficient for the kind.
    """

    success: float
    strength: float = PRIOR_STRENGTH
    is_vouched: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Odds:
    """What is thought of a model at a step, outcomes included.

    Attributes:
        success: Probability that its answer is sufficient, 0 to 1.
        sd: Standard deviation of that probability.
        mass: Outcomes of the kind that were counted, decayed, in observations; the prior is not among them.
    """

    success: float
    sd: float
    mass: float = 0.0


def odds(
    prior: Prior,
    *,
    kind: tuple[float, float] = (0.0, 0.0),
    node: tuple[float, float] | None = None,
    near: tuple[float, float] = (0.0, 0.0),
) -> Odds:
    """A prior refined by what was counted; each argument is (successes, failures), in observations.

    Args:
        prior: What is thought beforehand.
        kind: Outcomes of the model at this kind of step, the node's among them.
        node: Those at the step's own node among them; None where the node is not known.
        near: Outcomes at similar steps, by their nearness.
    """
    successes, failures = prior.strength * prior.success, prior.strength * (1 - prior.success)
    if node is None:
        successes, failures = successes + kind[0], failures + kind[1]
    else:
        # What was counted at the node itself is not counted a second time as what is known of its kind.
        successes, failures = successes + max(0.0, kind[0] - node[0]), failures + max(0.0, kind[1] - node[1])
        successes, failures = at_most(KIND_STRENGTH, successes, failures)
        successes, failures = successes + node[0], failures + node[1]
    successes, failures = at_most(COUNTED_STRENGTH, successes, failures)
    successes, failures = successes + near[0], failures + near[1]
    total = successes + failures
    success = successes / total
    return Odds(success=success, sd=math.sqrt(success * (1 - success) / (total + 1)), mass=kind[0] + kind[1])


def at_most(strength: float, successes: float, failures: float) -> tuple[float, float]:
    """The same share of successes, weighing no more than `strength`."""
    total = successes + failures
    if total <= strength:
        return successes, failures
    return successes * strength / total, failures * strength / total
