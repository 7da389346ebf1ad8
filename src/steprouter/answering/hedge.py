"""Hedging: whether a second deployment is asked when the first is late with its first token, and when.

After Dean and Barroso, "The tail at scale" (2013): a second request after the 95th percentile cut the 99.9th of a
BigTable read from 1 800 to 74 ms for 2 % more requests. A model's answer costs more than a read does, so only short
ones are asked for twice, and never one that may call a tool.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .breaker_state import Breaker, State
from .breaker_window import SLOW_SECONDS, penalty
from .patience import late_seconds

MOST_OUTPUT_TOKENS = 256
"""Of an answer that may be asked for twice (ours): for a longer one the first token is a small part of the wait, and
the answer that loses costs more than the wait was worth."""

CALLS_PER_HEDGE = 50
"""Calls that earn one hedge: 2 % ["The tail at scale"]."""

MOST_HEDGES = 5
"""Hedges that can be saved up (ours): when a whole provider is late, all that it meets at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HedgeBudget:
    """How many hedges are left, shared by all steps of a client; it begins with none.

    Attributes:
        calls: Calls that no hedge has used up yet; whole numbers, so that 2 % are 2 % to the last call.
    """

    calls: int = 0

    def earned(self) -> HedgeBudget:
        """The budget after a call that was no hedge."""
        return HedgeBudget(calls=min(MOST_HEDGES * CALLS_PER_HEDGE, self.calls + 1))

    def spent(self) -> HedgeBudget | None:
        """The budget after a hedge; None if there is none left, and then none is to be made.

        It is spent when a race is planned, because others plan theirs before this one has made its second call.
        """
        return HedgeBudget(calls=self.calls - CALLS_PER_HEDGE) if self.calls >= CALLS_PER_HEDGE else None

    def returned(self) -> HedgeBudget:
        """The budget after a planned hedge that was not needed."""
        return HedgeBudget(calls=min(MOST_HEDGES * CALLS_PER_HEDGE, self.calls + CALLS_PER_HEDGE))


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A deployment that could be asked second, and is able to take the step.

    Attributes:
        model: Its name.
        breaker: Its circuit breaker.
        usd: What the call is expected to cost; None where the price is unknown.
        has_room: Whether its pace allows one more call.
    """

    model: str
    breaker: Breaker
    usd: float | None = None
    has_room: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Hedge:
    """Ask a second deployment if the first has said nothing by then.

    Attributes:
        model: Which one.
        after_seconds: Counted from the beginning of the first call.
    """

    model: str
    after_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NoHedge:
    """Ask the first deployment only.

    Attributes:
        why: Why.
    """

    why: str


def hedge_after(
    first: Breaker,
    others: Sequence[Target],
    budget: HedgeBudget,
    *,
    now: float,
    has_tools: bool,
    max_tokens: int | None,
    expected_tokens: float | None = None,
    seconds_left: float | None = None,
) -> Hedge | NoHedge:
    """Whether, when and whom to ask second. The cheapest healthy one is; equal ones in the order given.

    Args:
        first: The breaker of the deployment that is asked first.
        others: Which others could take the step.
        budget: What is left of it; the caller spends it on a `Hedge`.
        now: Unix time in seconds.
        has_tools: Whether the answer may call tools. What a model does on its side while it answers would be done
            twice, and of two calls that differ only one can be followed.
        max_tokens: The longest answer allowed; None is no limit.
        expected_tokens: How long answers to such steps are, so that a generous limit hinders nothing.
        seconds_left: Until the step's deadline; None if it has none.
    """
    if has_tools:
        return NoHedge(why="the answer may call tools")
    if not is_short(max_tokens) and not is_short(expected_tokens):
        return NoHedge(why=f"the answer may have more than {MOST_OUTPUT_TOKENS} tokens")
    if first.state is not State.CLOSED:
        return NoHedge(why="the call is a probe")
    late = late_seconds(first)
    if late is None:
        return NoHedge(why="not known yet what is late")
    after = max(SLOW_SECONDS, late)
    if seconds_left is not None and not after < seconds_left:
        return NoHedge(why=f"only {seconds_left:.1f} s are left")
    healthy = [one for one in others if is_healthy(one, now)]
    if not healthy:
        return NoHedge(why="no other deployment is healthy and has room")
    if budget.spent() is None:
        return NoHedge(why="the budget of hedges is used up")
    return Hedge(model=min(healthy, key=price).model, after_seconds=after)


def is_short(tokens: float | None) -> bool:
    """Whether an answer of so many tokens may be asked for twice; one of unknown length may not."""
    return tokens is not None and tokens <= MOST_OUTPUT_TOKENS


def is_healthy(target: Target, now: float) -> bool:
    """Whether a deployment may be asked second: closed, without a sign of gray failure, and with room."""
    return target.has_room and target.breaker.state is State.CLOSED and penalty(target.breaker, now) <= 1.0


def price(target: Target) -> float:
    """What to compare targets by; an unknown price is taken for the highest."""
    return math.inf if target.usd is None else target.usd
