"""What asking each model now costs its session, prompt caches and the steps to come counted."""

from __future__ import annotations

from collections.abc import Mapping

from ..step.step import Step
from .contend import Knowledge, incumbent_of
from .plan_cost import Ahead, Speaker, plan, staying

USUAL_RESULT_TOKENS = 100
"""What comes into a conversation between two answers, while nothing is known of it: a short tool result."""


def session_costs(
    speakers: Mapping[str, Speaker | None],
    step: Step,
    known: Knowledge,
    costs: Mapping[str, float | None],
) -> Mapping[str, float | None]:
    """For each model what this step costs with its share of what it costs the steps after it; USD.

    Args:
        speakers: The models, by name; None where a price is unknown.
        step: The step.
        known: What memory holds.
        costs: What the step alone costs, which is all there is to it outside a thread.
    """
    if step.place.thread is None:
        return costs
    incumbent = speakers.get(incumbent_of(step, known.session) or "")
    coming = ahead(step, known, incumbent)
    stay = None if incumbent is None else staying(incumbent, coming)
    return {name: None if one is None else plan(one, incumbent, coming, stay).usd for name, one in speakers.items()}


def ahead(step: Step, known: Knowledge, incumbent: Speaker | None) -> Ahead:
    """What is before the session, as far as it can be told from what is behind it."""
    session, prompt = known.session, step.needs.input_tokens
    growth = USUAL_RESULT_TOKENS
    if incumbent is not None:
        growth = prompt - incumbent.warm_tokens if incumbent.warm_tokens else growth + incumbent.output_tokens
    warm = session.warm.get(session.incumbent or "")
    return Ahead(
        prompt_tokens=prompt,
        growth_tokens=growth,
        steps=round(known.learned.remaining_steps(step.place.node, session.steps)),
        cools=warm is not None and warm.until < step.started_at + 2 * session.shape.seconds,
    )
