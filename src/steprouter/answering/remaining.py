"""Who may still be asked in a step, at once or after a wait, given what has happened so far."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..routing.decision import Candidate
from .attempt import Attempt
from .check import is_refused
from .draws import draw
from .failures import LASTING, Failure, FailureKind
from .pacing import ATTEMPTS, Next, WaitFor, after_429, backoff_seconds
from .progress import Passed, Progress, Situation

SHORTEST_WAIT_SECONDS = 0.1
"""Before somebody who could not be asked is tried again, so that clocks that differ make no busy loop."""

SPREAD_SECONDS = 0.5
"""Steps that wait for the same moment come back within so much of it, not all at once."""

LEFT_ALONE_SECONDS = 1.0
"""At least so long a model is left alone that refused for too many requests; asked sooner, it is not even called."""

OF_THE_EFFORT = frozenset({FailureKind.INVALID_OUTPUT, FailureKind.UNSUPPORTED})
"""Failures of a model that it need not have at another effort."""

OBJECTIONS = frozenset({FailureKind.CONTENT_FILTERED, FailureKind.REFUSED})
"""Failures that are refusals on content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """A model that may be asked once more, or at last, after a wait.

    Attributes:
        model: Which one.
        why: Why it is worth waiting for.
        seconds: How long, from now on.
    """

    model: str
    why: str
    seconds: float


def upward(situation: Situation, progress: Progress) -> Iterator[Candidate]:
    """Candidates that are left, in order: neither tried nor passed over, nor weaker than one that answered badly."""
    passed = {one.model for one in progress.passed}
    left = [c for c in situation.decision.kept if not progress.tried(c.model) and c.model not in passed]
    answered = [situation.decision.candidate(a.model).tier.rank for a in progress.attempts if is_weak(a)]
    if answered:
        # What was not sufficient once is not asked for again from a weaker model, whatever failed since.
        left = [c for c in left if c.tier.rank > max(answered)] or [c for c in left if c.tier.rank == max(answered)]
    for candidate in left:
        if situation.efforts and is_spent(situation, progress, candidate.model):
            continue
        if is_eligible(situation, progress, candidate.model) and is_cheaper(situation, progress, candidate):
            yield candidate


def is_spent(situation: Situation, progress: Progress, model: str) -> bool:
    """Whether what the same model did at another effort rules this one out: what failed is what they share.

    An answer that was not good enough is asked for again with more thought, never with as much or less.
    """
    own = situation.efforts.get(model)
    if own is None:
        return False
    for event in progress.events:
        other = situation.efforts.get(event.model)
        if other is None or other.base != own.base or event.model == model:
            continue
        if isinstance(event, Passed):
            if event.refused.by != "budget":
                return True
        elif is_weak(event):
            if other.above >= own.above:
                return True
        elif event.failure is not None and event.failure.kind not in OF_THE_EFFORT and not event.lost_race:
            return True
    return False


def is_eligible(situation: Situation, progress: Progress, model: str) -> bool:
    """Whether a model may be asked at all: the policy on content allows it, and the prompt may fit its window."""
    wanted = situation.policy.content_filter
    for attempt in progress.attempts:
        if is_objection(attempt) and wanted.reaction == "reroute" and model not in wanted.models:
            return False
        if is_failure(attempt, FailureKind.CONTEXT_OVERFLOW) and not is_larger(situation, model, attempt.model):
            return False
    return True


def is_cheaper(situation: Situation, progress: Progress, candidate: Candidate) -> bool:
    """Whether a model costs less than every other one that a budget refused, or is a budget's fallback."""
    if is_fallback(progress, candidate.model):
        return True
    usd = candidate.expected_usd
    for passed in progress.passed:
        if passed.refused.by == "budget" and passed.model != candidate.model:
            most = situation.decision.candidate(passed.model).expected_usd
            if usd is None or (most is not None and usd >= most):
                return False
    return True


def is_fallback(progress: Progress, model: str) -> bool:
    """Whether a budget that refused a call in this step lets this model answer in spite of it."""
    return any(passed.refused.fallback == model for passed in progress.passed)


def fallback_of(situation: Situation, progress: Progress, last: Passed) -> str | None:
    """The fallback of a budget that refused, if it may be asked now and was not before."""
    model = last.refused.fallback
    if model is None or progress.tried(model) or not is_eligible(situation, progress, model):
        return None
    if not any(c.model == model and (c.kept or c.is_spare) for c in situation.decision.candidates):
        return None  # a budget is no reason to ask somebody who is not able or not allowed
    named = False
    for passed in progress.passed:
        if named and passed.model == model:
            return None
        named = named or passed.refused.fallback == model
    return model


def is_weak(attempt: Attempt) -> bool:
    """Whether an attempt gave an answer that was not good enough; a refusal says nothing of strength."""
    return attempt.answer is not None and not is_refused(attempt.answer)


def is_objection(attempt: Attempt) -> bool:
    """Whether an attempt was refused on content, by a filter or by the model itself."""
    if attempt.answer is not None:
        return is_refused(attempt.answer)
    return attempt.failure is not None and attempt.failure.kind in OBJECTIONS


def is_failure(attempt: Attempt, kind: FailureKind) -> bool:
    """Whether an attempt failed so."""
    return attempt.failure is not None and attempt.failure.kind is kind


def is_larger(situation: Situation, model: str, than: str) -> bool:
    """Whether a model's window may be larger than another's; an unknown one may, but none is larger than itself."""
    window, other = situation.windows.get(model), situation.windows.get(than)
    return model != than and (window is None or other is None or window > other)


def soonest(situation: Situation, progress: Progress) -> Again | None:
    """One of the models before again, the one that may be asked soonest; None if none may within the step's time."""
    within = [one for one in again(situation, progress) if one.seconds < patience_left(situation, progress)]
    return min(within, key=lambda one: one.seconds, default=None)


def again(situation: Situation, progress: Progress) -> Iterator[Again]:
    """Models that were tried or could not be asked, once they may be."""
    latest = {event.model: event for event in progress.events if not (isinstance(event, Attempt) and event.lost_race)}
    for model, event in latest.items():
        candidate = situation.decision.candidate(model)
        if not (is_eligible(situation, progress, model) and is_cheaper(situation, progress, candidate)):
            continue
        if unrepeatable(situation, progress, model) is not None:
            continue
        if isinstance(event, Passed):
            yield from returning(situation, progress, event)
        elif event.failure is not None:
            waiting = wait_for(situation, progress, event, event.failure, has_other=False)
            if isinstance(waiting, WaitFor):
                why = f"{model} failed: {event.failure.kind}; nothing else is left, tried again"
                yield Again(model=model, why=why, seconds=waiting.seconds)


def returning(situation: Situation, progress: Progress, passed: Passed) -> Iterator[Again]:
    """A model that could not be asked, when it may be; nothing where that is not known."""
    if passed.refused.until is None:
        return
    until = passed.refused.until - situation.step.started_at - progress.elapsed_seconds
    spread = SPREAD_SECONDS * draw(situation.step.id, f"return {passed.model} {len(progress.events)}")
    seconds = max(until + spread, SHORTEST_WAIT_SECONDS)
    why = f"{passed.refused.why}; nothing else is left, waited {seconds:.1f} s"
    yield Again(model=passed.model, why=why, seconds=seconds)


def unrepeatable(situation: Situation, progress: Progress, model: str) -> str | None:
    """Why a model is not to be asked the same once more; None if it may, as who was never asked always may."""
    tried = progress.tried(model)
    if not tried:
        return None
    if len(tried) >= ATTEMPTS:
        return f"asked {len(tried)} times already"
    # A deployment that is misconfigured, and a request that is wrong, stay so, whatever the provider says of retries.
    if not all(a.failure is not None and a.failure.may_pass and a.failure.kind not in LASTING for a in tried):
        return "asked again it would say the same"
    if situation.conditions.retries - progress.retried < 1:
        return "this process retries too much already"
    return None


def wait_for(
    situation: Situation, progress: Progress, last: Attempt, failure: Failure, *, has_other: bool
) -> WaitFor | Next:
    """How long to wait, from now on, before asking the same model again, or why it is not worth it."""
    model, number = last.model, len(progress.tried(last.model))
    drawn = draw(situation.step.id, f"backoff {model} {number}")
    since = max(0.0, progress.elapsed_seconds - last.began_seconds - last.seconds)
    is_limited, asked = failure.kind is FailureKind.RATE_LIMITED, failure.retry_after_seconds
    if asked is not None and not asked >= 0:
        asked = None
    if asked is None and not is_limited:
        return WaitFor(seconds=max(0.0, backoff_seconds(number, drawn) - since), why="it may pass")
    if is_limited and (asked is not None or not has_other):
        asked = max(asked or 0.0, LEFT_ALONE_SECONDS)
    warm = situation.warm.get(model)
    now = situation.step.started_at + progress.elapsed_seconds
    return after_429(
        None if asked is None else max(0.0, asked - since),
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
    until_deadline = situation.seconds_left(progress)
    return left if until_deadline is None else min(left, until_deadline)


def is_late(situation: Situation, progress: Progress) -> bool:
    """Whether the step's deadline has passed."""
    left = situation.seconds_left(progress)
    return left is not None and left <= 0


def is_full(situation: Situation, progress: Progress) -> bool:
    """Whether as many calls were made as a step may make."""
    return len(progress.attempts) >= situation.policy.max_attempts
