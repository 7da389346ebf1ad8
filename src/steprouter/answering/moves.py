"""What to do next: ask a model, at once or after a wait, accept an answer, or give up. Each failure has its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from .answer import Answer, Delta
from .attempt import Attempt
from .check import is_refused
from .failures import Failure, FailureKind
from .pacing import Next, WaitFor
from .progress import Passed, Progress, Situation
from .remaining import (
    fallback_of,
    is_fallback,
    is_full,
    is_late,
    is_weak,
    soonest,
    unrepeatable,
    upward,
    wait_for,
)
from .resume import Continuation
from .ways import way_on


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """Call a model next.

    Attributes:
        model: Which one.
        why: Why now.
        change: What this is to the consumer: the first attempt, a failover, an escalation, or the same model again.
        after_seconds: What to wait before.
        redacted: Whether personal data and secrets are replaced in what is asked.
        ignores_budget: Whether it may answer although a budget is used up.
        continuation: What it goes on with; None where it begins an answer.
    """

    model: str
    why: str
    change: Literal["first", "failover", "escalated", "retry", "resumed"] = "first"
    after_seconds: float = 0.0
    redacted: bool = False
    ignores_budget: bool = False
    continuation: Continuation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accept:
    """Give this attempt's answer to the consumer."""

    attempt: Attempt


Ending = Literal["cancelled", "bad_request", "broken", "content_filtered", "budget", "deadline", "exhausted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp:
    """There is no answer.

    Attributes:
        why: `cancelled`, `bad_request` (no model would take it), `broken` (part was shown and cannot be taken back),
            `content_filtered`, `budget`, `deadline`, or `exhausted` (every model was tried or could not be asked).
    """

    why: Ending


Move = Try | Accept | GiveUp


def next_move(situation: Situation, progress: Progress) -> Move:
    """The next move, given what has happened so far.

    What was shown is a fact that no later attempt may contradict: after it, nothing is escalated and nothing
    starts over; what broke off is gone on with. An answer that fails a check is still better than none, so it is kept
    for the end.

    It comes to an end: a step makes at most `Policy.max_attempts` calls, passes each model over once and waits for
    as long as `Policy.patience_seconds` and its deadline allow, at least a tenth of a second for each further refusal.
    """
    if not progress.events:
        if is_late(situation, progress):
            return GiveUp(why="deadline")
        return first_move(situation, progress)
    move = after_last(situation, progress)
    if not isinstance(move, Try):
        return move
    # Who is asked in spite of a budget stays so when asked again, and what was asked redacted is not asked openly.
    return replace(
        move,
        redacted=move.redacted or any(attempt.redacted for attempt in progress.attempts),
        ignores_budget=is_fallback(progress, move.model),
    )


def first_move(situation: Situation, progress: Progress) -> Move:
    """The move that begins a step, or goes on with what a process that ended has left of it."""
    left = progress.left
    if left is not None:
        if left.is_sufficient:
            return Accept(attempt=left)
        if left.failure is not None and (move := going_on(situation, progress, left)) is not None:
            return move
    first = situation.decision.models[0]
    return Try(model=first, why=situation.decision.candidate(first).reason)


def after_last(situation: Situation, progress: Progress) -> Move:
    """The move after the last event."""
    last, broken = progress.events[-1], progress.standing
    if isinstance(last, Attempt):
        if last.is_sufficient:
            return Accept(attempt=last)
        if last.failure is None:
            return Accept(attempt=last) if progress.shown else after_answer(situation, progress, last)
        if last.failure.kind is FailureKind.CANCELLED:
            return GiveUp(why="cancelled")
    if broken is not None and (move := going_on(situation, progress, broken)) is not None:
        return move
    if progress.shown:
        return GiveUp(why="broken")
    if isinstance(last, Passed):
        return after_refusal(situation, progress, last)
    if last.is_vain:
        if broken is None or broken is progress.left:
            return onward(situation, progress, "what was left could not be gone on with")
        last = broken  # what was tried since masks no failure
    assert last.failure is not None
    return after_failure(situation, progress, last, last.failure)


def going_on(situation: Situation, progress: Progress, broken: Attempt) -> Try | None:
    """The move that goes on with an answer that broke off; None where none can."""
    taken, why, seconds = way_on(situation, progress, broken)
    if taken is None:
        return None
    return Try(model=taken.model, why=why, change="resumed", after_seconds=seconds, continuation=taken)


def after_refusal(situation: Situation, progress: Progress, last: Passed) -> Move:
    """The move after a model could not be asked."""
    why, fallback = last.refused.why, fallback_of(situation, progress, last)
    if fallback is not None:
        return Try(model=fallback, why=f"{why}; the fallback answers", change="failover")
    return onward(situation, progress, f"{last.model} cannot be asked: {why}")


def after_answer(situation: Situation, progress: Progress, last: Attempt) -> Move:
    """The move after an answer that is not sufficient."""
    assert last.answer is not None
    if is_refused(last.answer):
        return after_filter(situation, progress, last)
    if not situation.policy.escalate or is_full(situation, progress) or is_late(situation, progress):
        return ended(progress, "exhausted")
    found = next(upward(situation, progress), None)
    if found is None:
        return ended(progress, "exhausted")
    why = f"{last.model} was not sufficient: {last.problems[0]}"
    return Try(model=found.model, why=why, change="escalated")


def after_failure(situation: Situation, progress: Progress, last: Attempt, failure: Failure) -> Move:
    """The move after an attempt without an answer."""
    why = f"{last.model} failed: {failure.kind}"
    match failure.kind:
        case FailureKind.CONTENT_FILTERED | FailureKind.REFUSED:
            return after_filter(situation, progress, last)
        case FailureKind.BAD_REQUEST if not last.repairs:
            return ended(progress, "bad_request")
        case FailureKind.BAD_REQUEST:
            return onward(situation, progress, f"{last.model} refused a history that others wrote")
        case FailureKind.CONTEXT_OVERFLOW:
            return onward(situation, progress, f"{why}; a larger window is needed")
        case FailureKind.RATE_LIMITED:
            return after_limit(situation, progress, last, failure)
        case _:
            return onward(situation, progress, why)


def after_limit(situation: Situation, progress: Progress, last: Attempt, failure: Failure) -> Move:
    """The move after a refusal for too many requests: wait where it is worth it, else the next model."""
    why = f"{last.model} failed: {failure.kind}"
    waiting: WaitFor | Next
    if (no_use := unrepeatable(situation, progress, last.model)) is not None:
        waiting = Next(why=no_use)
    elif has_answer(progress):
        waiting = Next(why="an answer is there")
    else:
        waiting = wait_for(situation, progress, last, failure, has_other=any(upward(situation, progress)))
    if isinstance(waiting, WaitFor) and not is_full(situation, progress):
        said = f"{why}; asked again after {waiting.seconds:.1f} s because {waiting.why}"
        return Try(model=last.model, why=said, change="retry", after_seconds=waiting.seconds)
    no_wait = waiting.why if isinstance(waiting, Next) else "no further call may be made"
    return onward(situation, progress, f"{why}, not waited for: {no_wait}")


def after_filter(situation: Situation, progress: Progress, last: Attempt) -> Move:
    """The move after a refusal on content: what the policy says, and never the same words to the same filter."""
    wanted = situation.policy.content_filter
    why = f"{last.model} refused on content"
    room = not is_full(situation, progress) and not is_late(situation, progress)
    if wanted.reaction == "fallback_message" and wanted.message is not None:
        return Accept(attempt=message_of(last, wanted.message))
    if wanted.reaction == "redact_and_retry" and room and not last.redacted and last.redactable:
        return Try(model=last.model, why=f"{why}; asked again redacted", change="retry", redacted=True)
    if wanted.reaction == "reroute" and room:
        met = {event.model for event in progress.events}
        named = [model for model in wanted.models if model in situation.decision.models and model not in met]
        if named:
            return Try(model=named[0], why=f"{why}; rerouted by policy", change="failover")
    return ended(progress, "content_filtered")


def message_of(last: Attempt, message: str) -> Attempt:
    """The user's own message as the answer; it costs nothing and the refused attempt stays in the trace."""
    answer = Answer(text=message, finish="stop", unshown=(Delta(message),))
    return Attempt(
        id=f"{last.id}-message",
        model=last.model,
        why="the content filter's fallback message",
        answer=answer,
        problems=("refused on content",),
        is_message=True,
        began_seconds=last.began_seconds + last.seconds,
    )


def onward(situation: Situation, progress: Progress, why: str) -> Move:
    """The next model that could do better; where there is none, one of those before, after a wait."""
    if is_late(situation, progress):
        return ended(progress, "deadline")
    if is_full(situation, progress):
        return ended(progress, "exhausted")
    following = next(upward(situation, progress), None)
    if following is not None:
        return Try(model=following.model, why=why, change="failover")
    # Nobody waits for a better answer than the one that is there.
    waiting = None if has_answer(progress) else soonest(situation, progress)
    if waiting is not None:
        return Try(model=waiting.model, why=waiting.why, change="retry", after_seconds=waiting.seconds)
    return ended(progress, last_word(progress))


def last_word(progress: Progress) -> Ending:
    """Why there is nobody left to ask."""
    last, attempts = progress.events[-1], progress.attempts
    is_budget = any(passed.refused.by == "budget" for passed in progress.passed)
    if is_budget and (not attempts or (isinstance(last, Passed) and last.refused.by == "budget")):
        return "budget"
    failures = [attempt.failure for attempt in attempts if not attempt.lost_race]
    if failures and all(f is not None and f.kind is FailureKind.BAD_REQUEST for f in failures):
        return "bad_request"  # whoever wrote the history, all that were asked say that it is wrong
    return "exhausted"


def has_answer(progress: Progress) -> bool:
    """Whether any model has given an answer, however weak."""
    return any(is_weak(attempt) for attempt in progress.attempts)


def ended(progress: Progress, why: Ending) -> Accept | GiveUp:
    """The best there was: the last answer that failed a check, else a refusal in words, else nothing."""
    answered = [(attempt, attempt.answer) for attempt in progress.attempts if attempt.answer is not None]
    best = [attempt for attempt, _ in answered if is_weak(attempt)]
    # A refusal in words is what the model had to say; half a call, where a filter stopped it, says nothing.
    best = best or [attempt for attempt, answer in answered if answer.text.strip() or has_whole_calls(answer)]
    return Accept(attempt=best[-1]) if best else GiveUp(why=why)


def has_whole_calls(answer: Answer) -> bool:
    """Whether an answer calls tools, and none of the calls was cut."""
    return bool(answer.tool_calls) and all(call.args is not None for call in answer.tool_calls)
