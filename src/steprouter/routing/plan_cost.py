"""What asking a model now costs a session: prompt caches make the next steps dearer or cheaper with it.

A step that leaves the session's model finds a cold cache, and so does the way back. So a model is priced by the better
of two plans: an excursion, one step and back, or a switch for all the steps that are left. Both are billed as providers
do step by step: a prefix the model has seen lately is read, the rest is written, the answer is paid; what was answered
is written with the next prompt. Totals equal a token-by-token count (tests/routing/test_plan_cost.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..models.card import Price
from ..models.cost import priced_usd

MOST_STEPS = 64
"""Steps that are looked ahead; those after them change no comparison that matters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """A model as a plan sees it.

    Attributes:
        price: What it costs.
        warm_tokens: Part of the prompt that its provider still caches.
        output_tokens: Expected length of its answers.
    """

    price: Price
    warm_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """The steps that a session has before it.

    Attributes:
        prompt_tokens: Length of this step's prompt.
        growth_tokens: By how much a prompt is longer than the one before it; at least 0.
        steps: Steps that are left, this one included; at least 1.
        cools: Whether the session's model has lost its cache when it is asked again after an excursion.
    """

    prompt_tokens: int
    growth_tokens: int = 0
    steps: int = 1
    cools: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", max(1, min(self.steps, MOST_STEPS)))
        object.__setattr__(self, "growth_tokens", max(0, self.growth_tokens))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The better plan with a model.

    Attributes:
        kind: `stay` for the session's own model; `excursion` or `switch` for another.
        usd: What this step costs so, with its share of what it costs later; comparable between models.
        total_usd: All steps that are left.
    """

    kind: Literal["stay", "excursion", "switch"]
    usd: float
    total_usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Staying:
    """What it costs not to leave the session's model.

    Attributes:
        total_usd: All steps that are left.
        back_usd: All but this one, which another model answers.
    """

    total_usd: float
    back_usd: float


def step_usd(speaker: Speaker, prompt_tokens: int, warm_tokens: int) -> float:
    """One step: what is warm is read, the rest written, the answer paid."""
    warm = min(warm_tokens, prompt_tokens)
    return priced_usd(speaker.price, read=warm, written=prompt_tokens - warm, output=speaker.output_tokens)


def run_usd(speaker: Speaker, ahead: Ahead, *, first: int = 0, warm_tokens: int | None = None) -> float:
    """A model that answers the steps from `first` on, each prompt being warm for the next."""
    steps, growth = ahead.steps - first, ahead.growth_tokens
    if steps < 1:
        return 0.0
    prompt = ahead.prompt_tokens + first * growth
    warm = min(speaker.warm_tokens if warm_tokens is None else warm_tokens, prompt)
    # Each later step reads the prompt before it, `prompt` and 0, 1, 2 … times the growth, and writes the growth.
    later = steps - 1
    read = warm + later * prompt + growth * (later * (later - 1) // 2)
    written, output = prompt - warm + later * growth, steps * speaker.output_tokens
    return priced_usd(speaker.price, read=read, written=written, output=output)


def staying(incumbent: Speaker, ahead: Ahead) -> Staying:
    """What it costs not to leave a session's model, or to come back to it."""
    warm = 0 if ahead.cools else incumbent.warm_tokens
    return Staying(total_usd=run_usd(incumbent, ahead), back_usd=run_usd(incumbent, ahead, first=1, warm_tokens=warm))


def plan(speaker: Speaker, incumbent: Speaker | None, ahead: Ahead, stay: Staying | None = None) -> Plan:
    """The better plan with a model.

    Args:
        speaker: The model.
        incumbent: The model that the session is on; None where it is on none. The speaker itself stays.
        ahead: What is before the session.
        stay: What `staying` says of the incumbent, if that has been asked already.
    """
    switched = run_usd(speaker, ahead)
    if incumbent is None or incumbent is speaker:
        return Plan(kind="stay", usd=switched / ahead.steps, total_usd=switched)
    stay = stay or staying(incumbent, ahead)
    excursion = step_usd(speaker, ahead.prompt_tokens, speaker.warm_tokens) + stay.back_usd
    usual = stay.total_usd / ahead.steps
    # An excursion is for one step, so all it changes is this step's; a switch is for all, so each bears its share.
    as_excursion, as_switch = usual + excursion - stay.total_usd, switched / ahead.steps
    if as_excursion < as_switch:
        return Plan(kind="excursion", usd=as_excursion, total_usd=excursion)
    return Plan(kind="switch", usd=as_switch, total_usd=switched)
