"""What asking each model now costs its session, prompt caches and the steps to come counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..models.card import ModelCard
from ..step.step import Step
from .contend import Knowledge, incumbent_of, output_tokens, warm_tokens
from .plan_cost import Ahead, Speaker, plan
from .predict import Foretold

USUAL_RESULT_TOKENS = 100
"""What comes into a conversation between two answers, while nothing is known of it: a short tool result."""


def session_costs(
    cards: Sequence[ModelCard],
    step: Step,
    known: Knowledge,
    foretold: Foretold,
    costs: Mapping[str, float | None],
) -> Mapping[str, float | None]:
    """For each model what this step costs with its share of what it costs the steps after it; USD.

    Args:
        cards: The models.
        step: The step.
        known: What memory holds.
        foretold: What a trained predictor says of answers.
        costs: What the step alone costs, which is all there is to it outside a thread.
    """
    if step.place.thread is None:
        return costs
    speakers = {card.name: speaker(card, step, known, foretold) for card in cards}
    incumbent = speakers.get(incumbent_of(step, known.session) or "")
    coming = ahead(step, known, incumbent)
    found = dict(costs)
    for name, one in speakers.items():
        if one is not None:
            found[name] = plan(one, incumbent, coming).usd
    return found


def speaker(card: ModelCard, step: Step, known: Knowledge, foretold: Foretold) -> Speaker | None:
    """A model as a plan sees it; None where its price is unknown."""
    if card.price is None:
        return None
    length = output_tokens(card, step, known.lengths, foretold.expects(card.name).output_tokens)
    return Speaker(price=card.price, warm_tokens=warm_tokens(card, step, known.session), output_tokens=length)


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
