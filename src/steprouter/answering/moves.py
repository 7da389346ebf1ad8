"""What to do next: ask a model, at once or after a wait, accept an answer, or give up. Each failure has its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from ..routing.decision import Candidate
from .answer import Answer, Delta
from .attempt import Attempt
from .check import is_refused
from .draws import draw
from .failures import Failure, FailureKind
from .pacing import ATTEMPTS, Next, WaitFor, after_429, backoff_seconds
from .progress import Passed, Progress, Situation

SHORTEST_WAIT_SECONDS = 0.1
"""Before somebody who could not be asked is tried again, so that clocks that differ make no busy loop."""

SPREAD_SECONDS = 0.5
"""Steps that wait for the same moment come back within so much of it, not all at once."""


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
    """

    model: str
    why: str
    change: Literal["first", "failover", "escalated", "retry"] = "first"
    after_seconds: float = 0.0
    redacted: bool = False
    ignores_budget: bool = False


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
    starts over. An answer that fails a check is still better than none, so it is kept for the end.
    """
    if not progress.events:
        first = situation.decision.models[0]
        return Try(model=first, why=situation.decision.candidate(first).reason)
    last = progress.events[-1]
    if isinstance(last, Passed):
        return after_refusal(situation, progress, last)
    if last.is_sufficient:
        return Accept(attempt=last)
    if last.failure is not None and last.failure.kind is FailureKind.CANCELLED:
        return GiveUp(why="cancelled")
    if last.shown:
        return Accept(attempt=last) if last.answer is not None else GiveUp(why="broken")
    if last.failure is None:
        return after_answer(situation, progress, last)
    return after_failure(situation, progress, last, last.failure)


def after_refusal(situation: Situation, progress: Progress, last: Passed) -> Move:
    """The move after a model could not be asked."""
    refused, fallback = last.refused, last.refused.fallback
    if fallback is not None and not progress.tried(fallback) and fallback in situation.decision.names:
        return Try(model=fallback, why=f"{refused.why}; the fallback answers", change="failover", ignores_budget=True)
    return onward(situation, progress, f"{last.model} cannot be asked: {refused.why}")


def after_answer(situation: Situation, progress: Progress, last: Attempt) -> Move:
    """The move after an answer that is not sufficient."""
    assert last.answer is not None
    if is_refused(last.answer):
        return after_filter(situation, progress, last)
    if not situation.policy.escalate:
        return ended(progress, "exhausted")
    why = f"{last.model} was not sufficient: {last.problems[0]}"
    found = next(upward(situation, progress), None)
    if found is None or len(progress.attempts) >= situation.policy.max_attempts or is_late(situation, progress):
        return ended(progress, "exhausted")
    return Try(model=found.model, why=why, change="escalated")


def after_failure(situation: Situation, progress: Progress, last: Attempt, failure: Failure) -> Move:
    """The move after an attempt without an answer."""
    why = f"{last.model} failed: {failure.kind}"
    match failure.kind:
        case FailureKind.CONTENT_FILTERED:
            return after_filter(situation, progress, last)
        case FailureKind.BAD_REQUEST if not last.repairs:
            return ended(progress, "bad_request")
        case FailureKind.BAD_REQUEST:
            return onward(situation, progress, f"{last.model} refused a history that others wrote")
        case FailureKind.CONTEXT_OVERFLOW:
            return onward(situation, progress, f"{why}; a larger window is needed", larger_than=last.model)
        case FailureKind.RATE_LIMITED:
            return after_limit(situation, progress, last, failure)
        case _:
            return onward(situation, progress, why)


def after_limit(situation: Situation, progress: Progress, last: Attempt, failure: Failure) -> Move:
    """The move after a refusal for too many requests: wait where it is worth it, else the next model."""
    why = f"{last.model} failed: {failure.kind}"
    waiting = wait_for(situation, progress, last.model, failure, has_other=any(upward(situation, progress)))
    if isinstance(waiting, WaitFor) and len(progress.attempts) < situation.policy.max_attempts:
        said = f"{why}; asked again after {waiting.seconds:.1f} s because {waiting.why}"
        return Try(model=last.model, why=said, change="retry", after_seconds=waiting.seconds)
    return onward(situation, progress, f"{why}, not waited for: {waiting.why}")


def after_filter(situation: Situation, progress: Progress, last: Attempt) -> Move:
    """The move after a refusal on content: what the policy says, and never the same words to the same filter."""
    wanted = situation.policy.content_filter
    why = f"{last.model} refused on content"
    room = len(progress.attempts) < situation.policy.max_attempts and not is_late(situation, progress)
    if wanted.reaction == "fallback_message" and wanted.message is not None:
        return Accept(attempt=message_of(last, wanted.message))
    if wanted.reaction == "redact_and_retry" and room and not last.redacted and last.redactable:
        return Try(model=last.model, why=f"{why}; asked again redacted", change="retry", redacted=True)
    if wanted.reaction == "reroute" and room:
        named = [m for m in wanted.models if m in situation.decision.models and not progress.tried(m)]
        if named:
            return Try(model=named[0], why=f"{why}; rerouted by policy", change="failover")
    if last.answer is not None and (last.answer.text.strip() or last.answer.tool_calls):
        return Accept(attempt=last)  # a refusal in words is what the model had to say
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
        began_seconds=last.began_seconds + last.seconds,
    )


def onward(situation: Situation, progress: Progress, why: str, *, larger_than: str | None = None) -> Move:
    """The next model that could do better; where there is none, one of those before, after a wait."""
    if is_late(situation, progress):
        return ended(progress, "deadline")
    if len(progress.attempts) >= situation.policy.max_attempts:
        return ended(progress, "exhausted")
    for candidate in upward(situation, progress):
        if larger_than is None or is_larger(situation, candidate.model, larger_than):
            return Try(model=candidate.model, why=why, change="failover")
    has_answer = any(attempt.answer is not None for attempt in progress.attempts)
    if larger_than is None and not has_answer and (again := soonest(situation, progress)) is not None:
        return again  # nobody waits for a better answer than the one that is there
    is_budget = any(passed.refused.by == "budget" for passed in progress.passed)
    return ended(progress, "budget" if is_budget else "exhausted")


def upward(situation: Situation, progress: Progress) -> Iterator[Candidate]:
    """Candidates that are left, in order: neither tried nor passed over, nor weaker than one that answered badly."""
    passed = {one.model for one in progress.passed}
    left = [c for c in situation.decision.kept if not progress.tried(c.model) and c.model not in passed]
    answered = [situation.decision.candidate(a.model).tier.rank for a in progress.attempts if a.answer is not None]
    if answered:
        # What was not sufficient once is not asked for again from a weaker model, whatever failed since.
        left = [c for c in left if c.tier.rank > max(answered)] or [c for c in left if c.tier.rank == max(answered)]
    needed = [a.model for a in progress.attempts if is_failure(a, FailureKind.CONTEXT_OVERFLOW)]
    left = [c for c in left if all(is_larger(situation, c.model, model) for model in needed)]
    dear = [situation.decision.candidate(p.model).expected_usd for p in progress.passed if p.refused.by == "budget"]
    for candidate in left:
        usd = candidate.expected_usd
        if all(usd is not None and (most is None or usd < most) for most in dear):
            yield candidate


def is_failure(attempt: Attempt, kind: FailureKind) -> bool:
    """Whether an attempt failed so."""
    return attempt.failure is not None and attempt.failure.kind is kind


def is_larger(situation: Situation, model: str, than: str) -> bool:
    """Whether a model's window may be larger than another's; an unknown one may."""
    window, other = situation.windows.get(model), situation.windows.get(than)
    return window is None or other is None or window > other


def soonest(situation: Situation, progress: Progress) -> Try | None:
    """One of the models before again, the one that may be asked soonest; None if none may within the step's time."""
    options = [*returns(situation, progress), *retries(situation, progress)]
    within = [one for one in options if one.after_seconds < patience_left(situation, progress)]
    return min(within, key=lambda one: one.after_seconds, default=None)


def returns(situation: Situation, progress: Progress) -> Iterator[Try]:
    """Models that could not be asked, once they may be."""
    latest = {passed.model: passed for passed in progress.passed}
    for model, passed in latest.items():
        if passed.refused.until is None or not retryable(progress.tried(model)):
            continue
        until = passed.refused.until - situation.step.started_at - progress.elapsed_seconds
        spread = SPREAD_SECONDS * draw(situation.step.id, f"return {model} {len(progress.events)}")
        seconds = max(until + spread, SHORTEST_WAIT_SECONDS)
        why = f"{passed.refused.why}; nothing else is left, waited {seconds:.1f} s"
        yield Try(model=model, why=why, change="retry", after_seconds=seconds)


def retries(situation: Situation, progress: Progress) -> Iterator[Try]:
    """Models that failed in a way that may pass, after a backoff; none when this process retries too much already."""
    if situation.conditions.retries - progress.retried < 1:
        return
    passed = {one.model for one in progress.passed}
    for candidate in situation.decision.kept:
        tried = progress.tried(candidate.model)
        if not tried or candidate.model in passed or not retryable(tried):
            continue
        failure = tried[-1].failure
        if failure is None:
            continue
        waiting = wait_for(situation, progress, candidate.model, failure, has_other=False)
        if isinstance(waiting, WaitFor):
            why = f"{candidate.model} failed: {failure.kind}; nothing else is left, tried again"
            yield Try(model=candidate.model, why=why, change="retry", after_seconds=waiting.seconds)


def retryable(tried: Sequence[Attempt]) -> bool:
    """Whether a model that was tried so may be asked the same once more."""
    failures = [attempt.failure for attempt in tried]
    return len(tried) < ATTEMPTS and all(f is not None and f.may_pass for f in failures)


def wait_for(
    situation: Situation, progress: Progress, model: str, failure: Failure, *, has_other: bool
) -> WaitFor | Next:
    """How long to wait before asking the same model again, or why it is not worth it."""
    number = len(progress.tried(model))
    drawn = draw(situation.step.id, f"backoff {model} {number}")
    if failure.kind is not FailureKind.RATE_LIMITED:
        return WaitFor(seconds=backoff_seconds(number, drawn), why="it may pass")
    warm = situation.warm.get(model)
    now = situation.step.started_at + progress.elapsed_seconds
    return after_429(
        failure.retry_after_seconds,
        deadline_seconds_left=patience_left(situation, progress),
        prefix_tokens=0 if warm is None else warm.tokens,
        cache_seconds_left=None if warm is None else warm.until - now,
        attempt=number,
        has_other=has_other,
        draw=drawn,
    )


def patience_left(situation: Situation, progress: Progress) -> float:
    """Seconds that may still be waited: what the user grants a step, and never past its deadline."""
    left = situation.policy.patience_seconds - progress.waited_seconds
    deadline = situation.deadline_seconds
    return left if deadline is None else min(left, deadline - progress.elapsed_seconds)


def is_late(situation: Situation, progress: Progress) -> bool:
    """Whether the step's deadline has passed."""
    deadline = situation.deadline_seconds
    return deadline is not None and progress.elapsed_seconds >= deadline


def ended(progress: Progress, why: Ending) -> Accept | GiveUp:
    """The best there was: the last answer that failed a check, else nothing."""
    insufficient = [a for a in progress.attempts if a.answer is not None and not is_refused(a.answer)]
    return Accept(attempt=insufficient[-1]) if insufficient else GiveUp(why=why)
