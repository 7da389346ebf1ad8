"""What a candidate's effort changes in what is expected of it: how long its answers are, and how often they will do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from ..models.card import ModelCard, Tier, lowered
from ..models.effort import Effort
from ..step.step import StepKind
from .odds import Prior
from .policy import OUTPUT_TOKENS, Policy
from .priors import TIER_SUCCESS, VOUCHED_STRENGTH, VOUCHED_SUCCESS, prior_of

LOGIT_PER_LEVEL = 0.15
"""What a level of effort moves the log odds of success before any outcome is counted (ours): enough to put the efforts
of one model in order, and little against the distance between two tiers."""


def expected_tokens(card: ModelCard, kind: StepKind) -> int:
    """Tokens that an answer of `card` is expected to have, thoughts included, where nothing is known of its own."""
    return at_length(card, OUTPUT_TOKENS[kind])


def at_length(card: ModelCard, tokens: float) -> int:
    """How long an answer is at a candidate's effort that would have so many tokens at the usual one; at least 1."""
    return max(1, round(tokens * (1.0 if card.effort is None else card.effort.tokens)))


def prior_at(effort: Effort | None, tier: Tier, floor: Tier, reference: Tier) -> Prior:
    """What is thought of a tier at a kind of step and at an effort; more thought is never thought worse.

    Who labelled the steps that the table rests on let each model think as it does untold. At less it is taken for one
    of the next weaker tier, which the table vouches for only where it would for that.

    Args:
        effort: The effort; None is a model that is not told.
        tier: The candidate's tier.
        floor: The weakest that the kind usually needs.
        reference: The tier of the model that sets the standard.
    """
    if effort is None or effort.above >= 0:
        return at_effort(prior_of(tier, floor, reference), effort)
    weaker = tier if effort.is_weaker else lowered(tier)
    if weaker.rank >= floor.rank:
        usual = Prior(success=VOUCHED_SUCCESS, strength=VOUCHED_STRENGTH, is_vouched=True)
    else:
        usual = Prior(success=TIER_SUCCESS[weaker])
    return at_effort(usual, effort)


def at_effort(prior: Prior, effort: Effort | None) -> Prior:
    """A prior moved by the levels that an effort is above or below what the model does untold."""
    if effort is None or not effort.above or not 0 < prior.success < 1:
        return prior
    logit = math.log(prior.success / (1 - prior.success)) + LOGIT_PER_LEVEL * effort.above
    return replace(prior, success=1 / (1 + math.exp(-logit)))


def strength(card: ModelCard) -> tuple[int, int]:
    """Sorts the efforts of one model by how well each stands for it; the one nearest to what it does untold is last."""
    return (0, 0) if card.effort is None else (-abs(card.effort.above), card.effort.above)


def candidate_named(name: str, cards: Sequence[ModelCard]) -> str:
    """The candidate that a name stands for where only one can: of several efforts the one nearest to the model's own.

    A name that is none is given back, for whoever checks it.
    """
    meant = [card for card in cards if name in (card.name, card.deployment)]
    nearest = max(meant, key=strength, default=None)
    return name if nearest is None or any(card.name == name for card in meant) else nearest.name


def candidates_named(names: Sequence[str], cards: Sequence[ModelCard]) -> tuple[str, ...]:
    """All candidates that names stand for, in their order; names that are none stay, for whoever checks them."""
    found = [[card.name for card in cards if name in (card.name, card.deployment)] or [name] for name in names]
    return tuple(dict.fromkeys(name for some in found for name in some))


def for_candidates(policy: Policy, cards: Sequence[ModelCard]) -> Policy:
    """The policy with candidates' names where it names models; rules find them by their tags."""
    if not any(card.effort for card in cards):
        return policy
    wanted = policy.content_filter
    models = tuple(dict.fromkeys(candidate_named(name, cards) for name in wanted.models))
    reference = None if policy.reference is None else candidate_named(policy.reference, cards)
    return replace(policy, reference=reference, content_filter=replace(wanted, models=models))
