"""How likely a model is to answer a step well, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass

PRIOR_STRENGTH = 6.0
"""Observations that a guess weighs which nothing but a tier stands behind; replaced by the first dozen outcomes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """What is thought of a model at a kind of step before any outcome is counted.

    Attributes:
        success: Probability that its answer is sufficient, 0 to 1.
        strength: How much that weighs, in observations.
    """

    success: float
    strength: float = PRIOR_STRENGTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Odds:
    """What is thought of a model at a step, outcomes included.

    Attributes:
        success: Probability that its answer is sufficient, 0 to 1.
        sd: Standard deviation of that probability.
        mass: Observations behind it that are outcomes, decayed; the prior is not among them.
    """

    success: float
    sd: float
    mass: float = 0.0
