"""Traces as people ask for them: by thread, by step, with feedback added later."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from ..errors import ConfigError, StoreError
from ..memory.traces import StoredTrace, ThreadLine, TraceKeeper
from .record import SCHEMA_VERSION, FeedbackRecord, Trace

NO_THREAD = "(no thread)"
"""Where steps outside a graph, or without a thread id, are listed."""


def store_trace(trace: Trace) -> StoredTrace:
    """A trace as the store keeps it."""
    return StoredTrace(
        tenant=trace.tenant,
        thread=trace.thread or NO_THREAD,
        step_id=trace.step_id,
        started_at=trace.started_at,
        # Not pydantic's own JSON: it refuses lone surrogates, which cut JSON escapes leave in names and texts.
        payload=json.dumps({"version": trace.version, **trace.model_dump(mode="json", exclude_defaults=True)}).encode(),
    )


def read_trace(payload: bytes) -> Trace:
    """A trace from the store.

    Raises:
        StoreError: It was written by a newer version, or is no trace.
    """
    try:
        kept = json.loads(payload)
        version = kept.get("version")
        if version == SCHEMA_VERSION:
            return Trace.model_validate(kept)
    except (ValueError, AttributeError, RecursionError) as error:
        raise StoreError(f"a kept trace cannot be read: {type(error).__name__}") from error
    raise StoreError(
        f"a kept trace has schema version {version!r}, this steprouter reads {SCHEMA_VERSION}; upgrade steprouter"
    )


class Traces:
    """The traces of one tenant.

    Args:
        keeper: Opens or gives the place where traces are kept; called when first needed.
        tenant: Whose traces.
        flush: Called before anything is read, so that a step that just ended is seen.
    """

    def __init__(
        self, keeper: Callable[[], TraceKeeper], *, tenant: str, flush: Callable[[], object] = lambda: None
    ) -> None:
        self.keeper = keeper
        self.tenant = tenant
        self.flush = flush

    def of(self, tenant: str) -> Traces:
        """The same archive for another tenant, whom a run named in its configuration."""
        return Traces(self.keeper, tenant=tenant, flush=self.flush)

    def list(self, thread: str | None = None, *, limit: int = 500) -> list[Trace]:
        """The steps of a thread, oldest first; of the thread with the newest step where none is named.

        Raises:
            StoreError: The store is away, or a trace is newer than this version.
        """
        keeper = self.written()
        thread = thread or keeper.latest_thread(self.tenant)
        return [read_trace(p) for p in keeper.steps(self.tenant, thread, limit)] if thread else []

    def threads(self, *, limit: int = 50) -> Sequence[ThreadLine]:
        """The threads that are kept, the one with the newest step first."""
        return self.written().threads(self.tenant, limit)

    def get(self, step_id: str) -> Trace | None:
        """The trace of a step; None if it is not kept."""
        payload = self.written().step(self.tenant, step_id)
        return read_trace(payload) if payload is not None else None

    def add_feedback(self, step_id: str, score: float, *, reason: str | None, at: float) -> None:
        """Add a verdict to a step's trace; the same verdict given twice is kept once.

        Raises:
            ConfigError: The score is not between 0 and 1, or the step is not kept.
        """
        if not 0 <= score <= 1:
            raise ConfigError(f"score must be between 0 (useless) and 1 (right), got {score!r}")
        trace = self.get(step_id)
        if trace is None:
            raise ConfigError(f"step_id must name a step that is kept, got {step_id!r}; `steprouter show` lists them")
        if any((f.score, f.reason) == (score, reason) for f in trace.feedback):
            return
        verdicts = (*trace.feedback, FeedbackRecord(score=score, reason=reason, at=at))
        if not self.keeper().write([store_trace(trace.model_copy(update={"feedback": verdicts}))]):
            raise StoreError(f"feedback on {step_id!r} could not be kept: the store is away")

    def written(self) -> TraceKeeper:
        """The keeper, with all that waits written out."""
        self.flush()
        return self.keeper()
