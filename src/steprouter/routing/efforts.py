"""What a candidate's effort changes in what is expected of it: how long its answers are, and how often they will do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from ..models.card import ModelCard
from ..models.effort import Effort
from ..step.step import StepKind
from .odds import Prior
from .policy import OUTPUT_TOKENS, Policy

LOGIT_PER_LEVEL = 0.15
"""What a level of effort moves the log odds of success before any outcome is counted (ours): enough to put the efforts
of one model in order, and little against the distance between two tiers."""


def expected_tokens(card: ModelCard, kind: StepKind) -> int:
    """Tokens that an answer of `card` is expected to have, thoughts included, where nothing is known of its own."""
    return OUTPUT_TOKENS[kind] if card.effort is None else max(1, round(OUTPUT_TOKENS[kind] * card.effort.tokens))


def at_effort(prior: Prior, effort: Effort | None) -> Prior:
    """What is thought of a model at an effort, from what is thought of it as it does untold; more is never less."""
    if effort is None or not effort.above or not 0 < prior.success < 1:
        return prior
    logit = math.log(prior.success / (1 - prior.success)) + LOGIT_PER_LEVEL * effort.above
    return replace(prior, success=1 / (1 + math.exp(-logit)))


def candidate_named(name: str, cards: Sequence[ModelCard]) -> str:
    """The candidate that a name stands for where only one can: of several efforts the one nearest to the model's own.

    A name that is none is given back, for whoever checks it.
    """
    meant = [card for card in cards if name in (card.name, card.deployment)]
    nearest = min(meant, key=lambda card: (0, 0) if card.effort is None else nearness(card.effort), default=None)
    return name if nearest is None or any(card.name == name for card in meant) else nearest.name


def nearness(effort: Effort) -> tuple[int, int]:
    """Sorts the efforts of a model by their distance from what it does untold; of two, more thought comes first."""
    return abs(effort.above), -effort.above


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
