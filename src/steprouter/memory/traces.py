"""What is kept of finished steps: a trace on its way to the store, and what a keeper of traces promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

STEPS_PER_THREAD = 500
"""Several times what LangGraph's default recursion limit lets one run do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTrace:
    """A finished step's trace on its way to the store.

    Attributes:
        tenant: Whose it is; empty means `default`.
        thread: The conversation it belongs to.
        step_id: Its own name, unique within the tenant; writing it again replaces it.
        started_at: Unix time in seconds; orders the steps of a thread.
        payload: The trace as JSON.
    """

    tenant: str
    thread: str
    step_id: str
    started_at: float
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadLine:
    """A thread as a list shows it.

    Attributes:
        thread: Its id.
        steps: How many steps of it are kept.
        last_at: When its newest step started, Unix time in seconds.
    """

    thread: str
    steps: int
    last_at: float


class TraceKeeper(Protocol):
    """Keeps traces.

    Promises:
        - what was written is read back unchanged, by the same tenant only;
        - the steps of a thread come oldest first, threads newest first;
        - a step written again replaces the former;
        - beyond its bounds the oldest steps and the longest silent threads go first;
        - `write` never raises: it gives the number written; reading raises `StoreError` if the store is away.
    """

    def write(self, traces: Sequence[StoredTrace]) -> int:
        """Keeps the traces; the number that was kept."""
        ...

    def threads(self, tenant: str, limit: int = 50) -> list[ThreadLine]:
        """The tenant's threads, the one with the newest step first."""
        ...

    def steps(self, tenant: str, thread: str, limit: int = STEPS_PER_THREAD) -> list[bytes]:
        """The payloads of a thread's newest `limit` steps, oldest first."""
        ...

    def step(self, tenant: str, step_id: str) -> bytes | None:
        """The payload of a step, or `None` if it is not kept."""
        ...

    def latest_thread(self, tenant: str) -> str | None:
        """The thread with the newest step, or `None` if there is none."""
        ...
