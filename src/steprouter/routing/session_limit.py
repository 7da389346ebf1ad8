"""Keeps a session from costing much more than its reference would have cost, whatever becomes of its answers.

What the session has cost so far, with the most that a model's answer may still lead to, is held against what the
reference alone would have cost until now. The most is that the answer is refused and every stronger model asked after
it, up to the reference; or that it is accepted and the reference comes back later to a cache that has gone cold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from ..memory.session import Session
from ..models.card import ModelCard
from ..step.step import Step
from .contend import tier_of
from .plan_cost import Speaker, step_usd

LENGTHS = (0.0, 4.0)
"""Between nothing and so many times what is expected an answer is counted on to be long. With 1 alone one simulated
session in 900 cost 1.106 instead of 1.1 times the reference, by an answer that two models gave at length and in vain
(benchmarks/sessions.py)."""


def too_dear_at_worst(
    cards: Iterable[ModelCard],
    speakers: Mapping[str, Speaker | None],
    reference: str,
    step: Step,
    session: Session,
    overrun: float,
    *,
    escalates: bool,
) -> frozenset[str]:
    """Models whose answer might make the session cost more than `1 + overrun` times what the reference would have.

    Args:
        cards: The models that may answer, the reference among them; a model without a price is not bounded.
        speakers: What asking each depends on.
        reference: The model that sets the standard; never among those that are found.
        step: The step.
        session: What the session was so far.
        overrun: Share above the reference's cost that may be spent.
        escalates: Whether a refused answer is asked for again from a stronger model.
    """
    if step.place.thread is None or speakers.get(reference) is None:
        return frozenset()
    others = sorted((card for card in cards if card.name != reference), key=lambda card: -tier_of(card).rank)
    names = [card.name for card in others]
    # All terms are linear in the length of answers, so that what holds for short and long ones holds between.
    return frozenset().union(
        *(beyond(names, at_length(speakers, times), reference, step, session, overrun, escalates) for times in LENGTHS)
    )


def beyond(
    names: Sequence[str],
    speakers: Mapping[str, Speaker],
    reference: str,
    step: Step,
    session: Session,
    overrun: float,
    escalates: bool,
) -> set[str]:
    """As `too_dear_at_worst`, for answers of the lengths that `speakers` name; the strongest of `names` first."""
    standard, prompt = speakers[reference], step.needs.input_tokens
    due = session.reference_usd + step_usd(standard, prompt, session.shared_tokens(step))
    left = (1 + overrun) * due - session.spent_usd
    # Who stays would read this prompt at the next step; who comes back writes it. What comes after it both write.
    back = step_usd(standard, prompt, 0) - step_usd(standard, prompt, prompt)
    # Whoever is refused is followed by the stronger ones that are not left out themselves.
    after = step_usd(standard, prompt, standard.warm_tokens) if escalates else 0.0
    found = set()
    for name in names:
        speaker = speakers.get(name)
        usd = 0.0 if speaker is None else step_usd(speaker, prompt, speaker.warm_tokens)
        if speaker is None or usd + max(after, back) > left:
            found.add(name)
        elif escalates:
            after += usd
    return found


def at_length(speakers: Mapping[str, Speaker | None], times: float) -> dict[str, Speaker]:
    """The models whose price is known, with answers so many times as long as expected."""
    return {
        name: replace(one, output_tokens=round(times * one.output_tokens))
        for name, one in speakers.items()
        if one is not None
    }
