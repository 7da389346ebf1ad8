"""Time that passes only when told to."""

from __future__ import annotations

import asyncio
import time
from threading import Lock
from typing import Protocol

START_SECONDS = 1_767_225_600.0
"""2026-01-01T00:00:00Z: any fixed day does; midnight makes day boundaries easy to test."""


class Clock(Protocol):
    """What waits on behalf of a scripted model."""

    def sleep(self, seconds: float, /) -> None:
        """Wait, blocking the thread."""
        ...

    async def asleep(self, seconds: float, /) -> None:
        """Wait, letting the event loop run."""
        ...


class SystemClock:
    """Waits for real."""

    def sleep(self, seconds: float, /) -> None:
        """Wait, blocking the thread."""
        time.sleep(seconds)

    async def asleep(self, seconds: float, /) -> None:
        """Wait, letting the event loop run."""
        await asyncio.sleep(seconds)


class FrozenClock:
    """A clock that stands still until somebody sleeps on it or moves it. Safe between threads.

    Waits never overlap: two tasks that sleep 1 second each make it 2 seconds later.

    Args:
        start_seconds: What `now` gives at first, in seconds since 1970-01-01 UTC.
    """

    def __init__(self, start_seconds: float = START_SECONDS) -> None:
        self._start = start_seconds
        self._elapsed = 0.0
        self._slept: list[float] = []
        self._lock = Lock()

    def now(self) -> float:
        """Seconds since 1970-01-01 UTC, as `time.time` counts them."""
        with self._lock:
            return self._start + self._elapsed

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        with self._lock:
            return self._elapsed

    @property
    def slept(self) -> tuple[float, ...]:
        """Every wait so far, in seconds and in order; `advance` is not a wait."""
        with self._lock:
            return tuple(self._slept)

    def advance(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            ValueError: `seconds` is negative.
        """
        if seconds < 0:
            raise ValueError(f"time must go forward, by 0 seconds or more, got {seconds!r}")
        with self._lock:
            self._elapsed += seconds

    def sleep(self, seconds: float, /) -> None:
        """Return at once, `seconds` later by this clock.

        Raises:
            ValueError: `seconds` is negative.
        """
        self.advance(seconds)
        with self._lock:
            self._slept.append(seconds)

    async def asleep(self, seconds: float, /) -> None:
        """As `sleep`, after letting other tasks run once."""
        await asyncio.sleep(0)
        self.sleep(seconds)
