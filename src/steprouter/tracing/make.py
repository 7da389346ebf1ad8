"""Makes the trace of a step from the values that the flow left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..answering.agreement import Probed
from ..answering.attempt import Attempt
from ..answering.failures import Failure
from ..answering.progress import Passed, Progress
from ..answering.resume import Resumed
from ..memory.lessons import Example
from ..models.card import Price
from ..models.cost import Usage, cost_usd
from ..routing.consultation import Consultation
from ..routing.decision import Candidate, Decision
from ..routing.routes import RouteScore
from ..step.step import Step
from .record import (
    AttemptRecord,
    CacheRecord,
    CandidateRecord,
    FailureRecord,
    LessonRecord,
    PassedRecord,
    ResumedRecord,
    RouteRecord,
    SkippedRecord,
    TieBreakRecord,
    Trace,
)


def make_trace(
    step: Step,
    decision: Decision,
    progress: Progress,
    *,
    answered_by: Attempt | None,
    outcome: str,
    prices: Mapping[str, Price | None],
    seconds: float,
    degraded: Sequence[str] = (),
    probe: Probed | None = None,
    cached: CacheRecord | None = None,
) -> Trace:
    """The trace of `step`; `prices` by model name, `seconds` for the whole step. A probe saves nothing."""
    costs = [cost_usd(a.usage, prices.get(a.model)) for a in progress.made]
    asked = decision.tie_break
    cost = total(costs if asked is None else [asked.usd, *costs])
    paid_for = message_usage(answered_by) if answered_by and probe is None else None
    if cached is not None and cached.layer is not None:  # what it would have taken is saved, not spent
        paid_for = Usage(input_tokens=cached.saved_input_tokens, output_tokens=cached.saved_output_tokens)
    reference_cost = None if paid_for is None else cost_usd(paid_for, prices.get(decision.reference or ""))
    waited = progress.waited_seconds + (0.0 if asked is None else asked.seconds)
    return Trace(
        step_id=step.id,
        started_at=step.started_at,
        tenant=step.place.tenant,
        thread=step.place.thread,
        node=step.place.node,
        graph_step=step.place.graph_step,
        task=step.place.task,
        kind=str(step.kind),
        kind_from=step.kind_from,
        input_tokens=step.needs.input_tokens,
        model=answered_by.model if answered_by else None,
        outcome=outcome,
        reason=decision.reason,
        rule=decision.rule,
        route=decision.route,
        route_scores=tuple(route_record(one) for one in decision.route_scores),
        tie_break=None if asked is None else tie_break_record(asked),
        candidates=tuple(candidate_record(c) for c in decision.candidates),
        attempts=attempt_records(progress, costs, decision.examples),
        passed=tuple(passed_record(one) for one in progress.passed),
        cache="off" if cached is None else "miss" if cached.layer is None else "hit",
        cached=cached,
        reference=decision.reference,
        target=decision.target,
        ventured=decision.charge,
        propensity=decision.propensity,
        cost_usd=cost,
        reference_cost_usd=reference_cost,
        saved_usd=None if cost is None or reference_cost is None else reference_cost - cost,
        probe_of=None if probe is None else probe.of,
        score=None if probe is None else probe.score,
        seconds=seconds,
        router_seconds=max(0.0, seconds - waited - answering_seconds(progress.attempts)),
        degraded=tuple(degraded),
    )


def attempt_records(
    progress: Progress, costs: Sequence[float | None], examples: Mapping[str, Example]
) -> tuple[AttemptRecord, ...]:
    """The attempts as the trace keeps them, with what each cost."""
    return tuple(
        attempt_record(a, usd, examples.get(a.model), is_earlier=a is progress.left)
        for a, usd in zip(progress.made, costs, strict=True)
    )


def total(costs: Sequence[float | None]) -> float | None:
    """The sum; None if any is unknown."""
    known = [usd for usd in costs if usd is not None]
    return sum(known) if len(known) == len(costs) else None


def route_record(score: RouteScore) -> RouteRecord:
    """How near a route was as the trace keeps it."""
    return RouteRecord(name=score.name, score=score.score, threshold=score.threshold)


def candidate_record(candidate: Candidate) -> CandidateRecord:
    """A candidate as the trace keeps it."""
    weighed = candidate.weighed
    figures: dict[str, Any] = (
        {}
        if weighed is None
        else {
            "success": round(weighed.success, 4),
            "sd": round(weighed.sd, 4),
            "total_usd": weighed.usd,
            "expected_seconds": weighed.seconds or None,
            "outcomes": round(weighed.odds.mass, 2),
            "fate": None if candidate.fate is None else str(candidate.fate),
        }
    )
    return CandidateRecord(
        model=candidate.model,
        tier=str(candidate.tier),
        kept=candidate.kept,
        reason=candidate.reason,
        expected_usd=candidate.expected_usd,
        lesson_tokens=candidate.lesson_tokens,
        **figures,
    )


def tie_break_record(asked: Consultation) -> TieBreakRecord:
    """What came of asking for a route as the trace keeps it."""
    return TieBreakRecord(
        between=asked.between,
        route=asked.route,
        model=asked.model,
        why=asked.why,
        known=asked.is_known,
        began_seconds=asked.began_seconds,
        seconds=asked.seconds,
        input_tokens=asked.usage.input_tokens,
        output_tokens=asked.usage.output_tokens,
        estimated=asked.usage.estimated,
        cost_usd=asked.usd,
    )


def attempt_record(
    attempt: Attempt, usd: float | None, example: Example | None = None, *, is_earlier: bool = False
) -> AttemptRecord:
    """An attempt as the trace keeps it: figures and reasons, no content."""
    failure, usage = attempt.failure, attempt.usage
    return AttemptRecord(
        model=attempt.model,
        why=attempt.why,
        began_seconds=attempt.began_seconds,
        seconds=attempt.seconds,
        first_token_seconds=attempt.first_token_seconds,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        estimated=usage.estimated,
        cost_usd=usd,
        finish=attempt.answer.finish if attempt.answer else None,
        failure=None if failure is None else failure_record(failure),
        problems=attempt.problems,
        shown_characters=len(attempt.shown),
        lesson=None if example is None else lesson_record(example),
        waited_seconds=attempt.waited_seconds,
        repairs=attempt.repairs,
        redacted=attempt.redacted,
        is_probe=attempt.is_probe,
        lost_race=attempt.lost_race,
        resumed=None if attempt.resumed is None else resumed_record(attempt.resumed),
        kept_after=None if attempt.kept is None else failure_record(attempt.kept),
        is_earlier=is_earlier,
    )


def message_usage(attempt: Attempt) -> Usage:
    """What the whole message takes that an attempt ended: of one that went on, with what was said before it."""
    if attempt.resumed is None or attempt.answer is None or attempt.answer.usage is None:
        return attempt.usage
    return attempt.answer.usage


def resumed_record(resumed: Resumed) -> ResumedRecord:
    """A continuation as the trace keeps it."""
    join = resumed.join
    return ResumedRecord(
        left=resumed.left,
        model=resumed.model,
        rung=str(resumed.rung),
        at_char=resumed.at_char,
        failed=resumed.failed,
        how=None if join is None else join.how,
        is_certain=join is None or join.is_certain,
        dropped_characters=0 if join is None else join.dropped_chars,
        preamble_characters=0 if join is None else join.preamble_chars,
        skipped=tuple(SkippedRecord(rung=str(s.rung), model=s.model, why=s.why) for s in resumed.skipped),
    )


def answering_seconds(attempts: Sequence[Attempt]) -> float:
    """How long models were heard; those that ran at once are counted once."""
    total = heard_until = 0.0
    for one in sorted(attempts, key=lambda attempt: attempt.began_seconds):
        end = one.began_seconds + one.seconds
        total += max(0.0, end - max(one.began_seconds, heard_until))
        heard_until = max(heard_until, end)
    return total


def passed_record(passed: Passed) -> PassedRecord:
    """A model that could not be asked as the trace keeps it."""
    refused = passed.refused
    return PassedRecord(model=passed.model, by=refused.by, why=refused.why, at_seconds=passed.at_seconds)


def lesson_record(example: Example) -> LessonRecord:
    """A lesson at hand as the trace keeps it."""
    lesson = example.lesson
    return LessonRecord(id=lesson.id, tokens=lesson.tokens, shown=example.shown, propensity=example.propensity)


def failure_record(failure: Failure) -> FailureRecord:
    """A failure as the trace keeps it."""
    return FailureRecord(
        kind=str(failure.kind),
        phase=str(failure.phase),
        status=failure.status,
        code=failure.code,
        text=failure.text,
    )
