"""Makes what a trace says of the answer cache."""

from __future__ import annotations

from ..caching.lookup import Doubt, Hit, Miss
from ..caching.scope import Scope, Uncached
from ..commands import Outcome
from ..shelving import Shelved
from .record import CacheRecord


def cache_record(outcome: Outcome, left: Shelved) -> CacheRecord | None:
    """What came of looking for a cached answer, and of the step's own one.

    Args:
        outcome: What came of the step.
        left: What the cache is told of it.
    """
    used = outcome.used
    if used is None:
        return None
    if isinstance(used.asked, Uncached):
        return CacheRecord(missed=used.asked.reasons, not_kept=used.asked.reasons)
    match used.found:
        case Hit() as hit:
            return of_hit(hit, used.asked, outcome.step.started_at)
        case Doubt() as doubt:
            missed = (f"{doubt.pool}: wrong in up to {doubt.bound:.1%}, as far as is known",)
            found = CacheRecord(similarity=doubt.similarity, bound=doubt.bound, pool=doubt.pool, missed=missed)
        case Miss() as miss:
            found = CacheRecord(missed=miss.reasons)
        case None:
            found = CacheRecord()
    entry = None if left.kept is None else left.kept.entry.id
    told = {"entry": entry, "kept": entry is not None, "not_kept": left.why_not}
    return found.model_copy(update=told | {"question": used.asked.exact, "alike": used.asked.alike})


def asked_record(asked: Scope | Uncached) -> CacheRecord:
    """What was asked, for an estimate of what a cache would serve, where there is none."""
    if isinstance(asked, Uncached):
        return CacheRecord(missed=asked.reasons)
    return CacheRecord(question=asked.exact, alike=asked.alike)


def of_hit(hit: Hit, asked: Scope, now: float) -> CacheRecord:
    """An answer that was given again."""
    entry = hit.entry
    return CacheRecord(
        question=asked.exact,
        alike=asked.alike,
        layer=hit.layer,
        entry=entry.id,
        of_step=entry.step_id,
        similarity=hit.similarity,
        bound=hit.bound,
        pool=hit.pool,
        age_seconds=max(0.0, now - entry.created_at),
        saved_input_tokens=entry.usage.input_tokens,
        saved_output_tokens=entry.usage.output_tokens,
        saved_seconds=entry.seconds,
        audited=hit.audited,
    )
