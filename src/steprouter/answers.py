"""What people ask of the answer cache: to see what it did, and to remove answers. `router.answers` is an `Answers`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from .caching.orders import CacheStats, Observed
from .errors import ConfigError
from .tracing.record import Trace


class Shelf(Protocol):
    """The part of what keeps answers that is used."""

    def stats(self, tenant: str) -> CacheStats:
        """What is kept of a tenant and what it has done."""
        ...

    def invalidate(
        self, tenant: str, *, tag: str | None = None, model: str | None = None, node: str | None = None
    ) -> int:
        """Remove answers; how many there were."""
        ...


class Answers:
    """The answers of a tenant that may be given again.

    Args:
        shelf: What keeps them; None where no cache is on.
        tenant: Whose they are.
        flush: Writes what waits.
    """

    def __init__(self, shelf: Shelf | None, tenant: str, flush: Callable[[], object]) -> None:
        self.shelf = shelf
        self.tenant = tenant
        self.flush = flush

    def of(self, tenant: str) -> Answers:
        """Those of another tenant."""
        return Answers(self.shelf, tenant, self.flush)

    def stats(self) -> CacheStats:
        """How many answers are kept, what they saved, and how often they were found right.

        Raises:
            ConfigError: No answer cache is on.
            StoreError: The store is away.
        """
        shelf = self.opened()
        self.flush()
        return shelf.stats(self.tenant)

    def invalidate(self, *, tag: str | None = None, model: str | None = None, node: str | None = None) -> int:
        """Remove the answers of runs with a tag, of a model, at a node; all of the tenant where none is named.

        Other processes give none of them any more after 2 s.

        Returns:
            How many there were.

        Raises:
            ConfigError: No answer cache is on.
            StoreError: The store is away.
        """
        shelf = self.opened()
        self.flush()
        return shelf.invalidate(self.tenant, tag=tag, model=model, node=node)

    def opened(self) -> Shelf:
        """What keeps the answers.

        Raises:
            ConfigError: No answer cache is on.
        """
        if self.shelf is None:
            raise ConfigError("no answer cache is on; set StepRouter(…, answer_cache=True)")
        return self.shelf


def told_by_feedback(trace: Trace, score: float) -> Observed | None:
    """What a person's verdict on a step says of the answer it was given from the cache, or left there."""
    cached = trace.cached
    if cached is None or cached.entry is None:
        return None
    return Observed(
        tenant=trace.tenant,
        entry_id=cached.entry,
        pool=cached.pool if cached.layer == "semantic" else None,
        right=score,
        wrong=1 - score,
    )
