"""What to do after an attempt: accept, try another model, or give up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..routing.decision import Decision
from ..routing.policy import Policy
from .attempt import Attempt
from .check import is_refused


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
    if last.shown:
        return Accept(attempt=last) if last.answer is not None else GiveUp(why="broken")
    callers = last.failure is not None and last.failure.is_callers
    onward = None if callers else next_model(decision, attempts, policy)
    if onward is not None:
        return onward
    insufficient = [a for a in attempts if a.answer is not None]
    if insufficient:
        return Accept(attempt=insufficient[-1])
    return GiveUp(why="bad_request" if callers else "exhausted")


def next_model(decision: Decision, attempts: Sequence[Attempt], policy: Policy) -> Try | None:
    """The next model to try; None when nothing is left that could do better."""
    if len(attempts) >= policy.max_attempts:
        return None
    tried = {attempt.model for attempt in attempts}
    left = [c for c in decision.candidates if c.kept and c.model not in tried]
    last = attempts[-1]
    answered = [decision.candidate(a.model).tier.rank for a in attempts if a.answer is not None]
    if answered:
        # What was not sufficient once is not asked for again from a weaker model, whatever failed since.
        left = [c for c in left if c.tier.rank > max(answered)] or [c for c in left if c.tier.rank == max(answered)]
    if not left or (last.answer is not None and (not policy.escalate or is_refused(last.answer))):
        return None
    if last.answer is None:
        why = f"{last.model} failed: {last.failure.kind if last.failure else 'unknown'}"
        return Try(model=left[0].model, why=why, change="failover")
    why = f"{last.model} was not sufficient: {last.problems[0]}"
    return Try(model=left[0].model, why=why, change="escalated")
