"""What to do after an attempt: accept, try another model, or give up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..routing.decision import Decision
from ..routing.policy import Policy
from .attempt import Attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """Call a model next.

    Attributes:
        model: Which one.
        why: Why now.
        change: What this is to the consumer: the first attempt, a failover, or an escalation.
    """

    model: str
    why: str
    change: Literal["first", "failover", "escalated"] = "first"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accept:
    """Give this attempt's answer to the consumer."""

    attempt: Attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp:
    """There is no answer.

    Attributes:
        why: `cancelled`, `bad_request` (no model would take it), `broken` (part was shown and cannot be taken
            back), or `exhausted` (every model was tried).
    """

    why: Literal["cancelled", "bad_request", "broken", "exhausted"]


Move = Try | Accept | GiveUp


def next_move(decision: Decision, attempts: Sequence[Attempt], policy: Policy) -> Move:
    """The next move, given what has been tried so far.

    What was shown is a fact that no later attempt may contradict: after it, nothing is escalated and nothing
    starts over. An answer that fails a check is still better than none, so it is kept for the end.
    """
    if not attempts:
        first = decision.models[0]
        return Try(model=first, why=decision.candidate(first).reason)
    last = attempts[-1]
    if last.is_sufficient:
        return Accept(attempt=last)
    if last.failure is not None and last.failure.kind == "cancelled":
        return GiveUp(why="cancelled")
    if last.failure is not None and last.failure.is_callers:
        return GiveUp(why="bad_request")
    if last.shown:
        return Accept(attempt=last) if last.answer is not None else GiveUp(why="broken")
    onward = next_model(decision, attempts, policy)
    if onward is not None:
        return onward
    insufficient = [a for a in attempts if a.answer is not None]
    return Accept(attempt=insufficient[-1]) if insufficient else GiveUp(why="exhausted")


def next_model(decision: Decision, attempts: Sequence[Attempt], policy: Policy) -> Try | None:
    """The next model to try; None when nothing is left that could do better."""
    if len(attempts) >= policy.max_attempts:
        return None
    tried = {attempt.model for attempt in attempts}
    left = [c for c in decision.candidates if c.kept and c.model not in tried]
    last = attempts[-1]
    if last.answer is None:
        why = f"{last.model} failed: {last.failure.kind if last.failure else 'unknown'}"
        return Try(model=left[0].model, why=why, change="failover") if left else None
    if not policy.escalate:
        return None
    beaten = max(decision.candidate(a.model).tier.rank for a in attempts if a.answer is not None)
    stronger = [c for c in left if c.tier.rank > beaten] or [c for c in left if c.tier.rank == beaten]
    why = f"{last.model} was not sufficient: {last.problems[0]}"
    return Try(model=stronger[0].model, why=why, change="escalated") if stronger else None
