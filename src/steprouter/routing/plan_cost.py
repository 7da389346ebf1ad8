"""What asking a model now costs a session: prompt caches make the next steps dearer or cheaper with it.

A step that leaves the session's model finds a cold cache, and so does the way back. So a model is priced by the better
of two plans: an excursion, one step and back, or a switch for all the steps that are left. Both are billed step by step
as providers do: a prefix the model has seen lately is read, the rest is written, the answer is paid; what was answered
is written with the next prompt. Totals equal a token-by-token count (tests/routing/test_plan_cost.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..models.card import Price
from ..models.cost import PER_MILLION

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
        growth_tokens: By how much a prompt is longer than the one before it.
        steps: Steps that are left, this one included; at least 1.
        cools: Whether the session's model has lost its cache when it is asked again after an excursion.
    """

    prompt_tokens: int
    growth_tokens: int = 0
    steps: int = 1
    cools: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", max(1, min(self.steps, MOST_STEPS)))


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


def step_usd(speaker: Speaker, prompt_tokens: int, warm_tokens: int) -> float:
    """One step: what is warm is read, the rest written, the answer paid. Unknown cache prices count as plain input."""
    price = speaker.price
    read = price.input if price.cache_read is None else price.cache_read
    write = price.input if price.cache_write is None else price.cache_write
    warm = min(warm_tokens, prompt_tokens)
    return PER_MILLION * (warm * read + (prompt_tokens - warm) * write + speaker.output_tokens * price.output)


def run_usd(speaker: Speaker, ahead: Ahead, *, first: int = 0, warm_tokens: int | None = None) -> float:
    """A model that answers the steps from `first` on, each prompt being warm for the next."""
    warm = speaker.warm_tokens if warm_tokens is None else warm_tokens
    total = 0.0
    for number in range(first, ahead.steps):
        prompt = ahead.prompt_tokens + number * ahead.growth_tokens
        total += step_usd(speaker, prompt, warm)
        warm = prompt
    return total


def plan(speaker: Speaker, incumbent: Speaker | None, ahead: Ahead) -> Plan:
    """The better plan with a model.

    Args:
        speaker: The model.
        incumbent: The model that the session is on; None where it is on none. The speaker itself stays.
        ahead: What is before the session.
    """
    switched = run_usd(speaker, ahead)
    if incumbent is None or incumbent is speaker:
        return Plan(kind="stay", usd=switched / ahead.steps, total_usd=switched)
    stayed = run_usd(incumbent, ahead)
    back = run_usd(incumbent, ahead, first=1, warm_tokens=0 if ahead.cools else incumbent.warm_tokens)
    excursion = step_usd(speaker, ahead.prompt_tokens, speaker.warm_tokens) + back
    usual = stayed / ahead.steps
    # An excursion is for one step, so all it changes is this step's; a switch is for all, so each bears its share.
    as_excursion, as_switch = usual + excursion - stayed, switched / ahead.steps
    if as_excursion < as_switch:
        return Plan(kind="excursion", usd=as_excursion, total_usd=excursion)
    return Plan(kind="switch", usd=as_switch, total_usd=switched)
