"""How a step goes on with an answer that broke off: who may be asked now, how, and after which wait."""

from __future__ import annotations

from dataclasses import replace

from .attempt import Attempt
from .failures import LASTING, Failure, FailureKind
from .progress import Passed, Progress, Situation
from .remaining import again, is_eligible, is_full, is_late, patience_left, upward
from .resume import Able, Break, Continuation, Ladder, ladder

OF_THE_WAY = frozenset({FailureKind.BAD_REQUEST, FailureKind.INVALID_OUTPUT})
"""Failures of a continuation that say something of the way it was asked for, and nothing of the model."""


def way_on(situation: Situation, progress: Progress, broken: Attempt) -> tuple[Continuation | None, str, float]:
    """The way on with an answer, in words, and what to wait before; None where there is none.

    Args:
        situation: What the moves rest on.
        progress: What has happened.
        broken: The attempt that broke off.
    """
    found = ladder(break_of(situation, progress, broken), ables(situation, progress, broken), situation.policy.resume)
    if (taken := continuation(found, broken)) is not None:
        return taken, said(broken, taken), 0.0
    is_unseen = broken.salvage is not None and not broken.salvage.seen
    if found.way is not None or (is_unseen and any(upward(situation, progress))):
        return None, "", 0.0  # nobody saw it, and nobody waits to go on with what may begin anew at once
    for one in sorted(again(situation, progress), key=lambda one: one.seconds):
        if one.seconds >= patience_left(situation, progress) or is_full(situation, progress):
            continue
        able = ables(situation, progress, broken, waited_for=one.model)
        found = ladder(break_of(situation, progress, broken), able, situation.policy.resume)
        if (taken := continuation(found, broken)) is not None:
            return taken, f"{said(broken, taken)}, after {one.seconds:.1f} s because nobody else is left", one.seconds
    return None, "", 0.0


def said(broken: Attempt, taken: Continuation) -> str:
    """Why a continuation is made, in words."""
    assert broken.failure is not None
    return f"it goes on where {broken.model} broke off ({broken.failure.kind}), by {taken.rung}"


def continuation(found: Ladder, broken: Attempt) -> Continuation | None:
    """What is to be made, unless it is to begin anew."""
    if found.way is None or broken.salvage is None or found.way.is_restart:
        return None
    return Continuation(
        rung=found.way.rung,
        model=found.way.model,
        left=broken.model,
        salvage=broken.salvage,
        skipped=found.skipped,
        billed=broken.usage,
    )


def break_of(situation: Situation, progress: Progress, broken: Attempt) -> Break:
    """What happened, for the ladder."""
    assert broken.salvage is not None
    assert broken.failure is not None
    tried = [one for one in progress.attempts if one.resumed is not None and (not one.is_vain or is_of_the_way(one))]
    return Break(
        salvage=broken.salvage,
        failure=broken.failure,
        has_tools=situation.step.needs.tools,
        resumed=tuple(one.resumed for one in tried if one.resumed is not None),
    )


def is_of_the_way(attempt: Attempt) -> bool:
    """Whether a continuation failed for how it was asked for; the model may go on in another way."""
    return attempt.failure is not None and attempt.failure.kind in OF_THE_WAY


def ables(
    situation: Situation, progress: Progress, broken: Attempt, *, waited_for: str | None = None
) -> tuple[Able, ...]:
    """Who may go on: the model that broke off first, then the others as they were decided on."""
    here = situation.deployment(broken.model)
    others = [c.model for c in situation.decision.kept if situation.deployment(c.model) != here]
    known = [situation.able.get(model, Able(model=model)) for model in (broken.model, *others)]
    refused = situation.conditions.no_prefill
    return tuple(
        replace(
            able,
            prefill_refused=able.prefill_refused or able.model in refused,
            barred=None if able.model == waited_for else bar(situation, progress, able.model, broken),
        )
        for able in known
    )


def bar(situation: Situation, progress: Progress, model: str, broken: Attempt) -> str | None:
    """Why a model cannot be asked to go on now; None if it can."""
    if is_late(situation, progress):
        return "the step's time is over"
    if is_full(situation, progress):
        return f"{len(progress.attempts)} calls were made, and no more may be"
    if not any(candidate.model == model for candidate in situation.decision.kept):
        return "it is not among the models of this step"
    if not is_eligible(situation, progress, model):
        return "it may not answer this step"
    last = progress.last_of(model)
    if isinstance(last, Passed):
        return last.refused.why
    failure = broken.failure if last is None and model == broken.model else None if last is None else last.failure
    if failure is None or (last is not None and last.is_vain and is_of_the_way(last)):
        return None
    return failed_for_good(failure) if last is None or last is broken else f"it failed: {failure.kind}"


def failed_for_good(failure: Failure) -> str | None:
    """Why the model that broke off is not asked again; None if it may be."""
    if failure.kind in LASTING and failure.kind is not FailureKind.CONTEXT_OVERFLOW:
        return f"it failed: {failure.kind}"
    return None
