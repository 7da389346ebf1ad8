"""Reads from a trace what an estimate of an answer cache looks at."""

from __future__ import annotations

from ..caching.estimate import Asked
from ..caching.policy import AnswerCache
from ..step.step import StepKind
from .record import Trace

NOT_RECORDED = "recorded by a version that did not look"


def asked_of(trace: Trace) -> Asked:
    """What an answer cache as it comes would have seen of a step."""
    cached = trace.cached
    kinds = set(StepKind)
    kind = StepKind(trace.kind) if trace.kind in kinds else StepKind.ANSWER
    if cached is None or cached.question is None:
        why = (NOT_RECORDED,) if cached is None else cached.missed
        return Asked(at=trace.started_at, why_not=why, usd=trace.cost_usd, seconds=trace.seconds)
    return Asked(
        at=trace.started_at,
        question=cached.question,
        alike=cached.alike,
        lasts_seconds=AnswerCache().ttl_for(kind),
        is_kept=trace.outcome == "sufficient",
        usd=trace.cost_usd,
        seconds=trace.seconds,
    )
