"""What is thought of a model at a kind of step before anything was observed: the published step-kind table."""

from __future__ import annotations

from ..models.card import Tier
from .odds import Prior
from .sufficiency import REFERENCE_SUCCESS

VOUCHED_SUCCESS = 0.97
"""Of a tier that the step-kind table calls sufficient: outside code repair 94 % of 634 steps need only the lowest tier
and 98 % the next (TwinRouterBench, arXiv 2605.18859); labels of which one in 64 did not hold in its audit."""

VOUCHED_STRENGTH = 24.0
"""What that weighs: the third failure in a row ends it, not the first."""

TIER_SUCCESS = {Tier.LOW: 0.70, Tier.MID: 0.80, Tier.MID_HIGH: 0.85, Tier.HIGH: 0.88}
"""Of a tier that the table does not call sufficient: round figures in the order of the tiers, for single questions of
mixed difficulty; the first dozen outcomes replace them."""


def prior_of(tier: Tier, floor: Tier, reference: Tier) -> Prior:
    """What is thought of a tier at a kind of step; a stronger tier is never thought worse.

    Args:
        tier: The model's tier.
        floor: The weakest that the kind usually needs.
        reference: The tier of the model that sets the standard: nobody is better as far as is known.
    """
    if tier.rank >= reference.rank:
        return AS_REFERENCE
    if tier.rank >= floor.rank:
        return VOUCHED
    return GUESSED[tier]


AS_REFERENCE = Prior(success=REFERENCE_SUCCESS, strength=VOUCHED_STRENGTH, is_vouched=True)
VOUCHED = Prior(success=VOUCHED_SUCCESS, strength=VOUCHED_STRENGTH, is_vouched=True)
GUESSED = {tier: Prior(success=success) for tier, success in TIER_SUCCESS.items()}
"""The only three there are, made once."""
