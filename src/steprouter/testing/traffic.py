"""What a simulated provider saw of its clients: connections, and requests whose client went away."""

from __future__ import annotations

from threading import Condition

from .request import Request


class Traffic:
    """Counters that say nothing about time. Safe between threads."""

    def __init__(self) -> None:
        self._opened = 0
        self._open = 0
        self._abandoned: list[Request] = []
        self._changed = Condition()

    @property
    def connections_opened(self) -> int:
        """Connections since the provider was made."""
        with self._changed:
            return self._opened

    @property
    def connections_open(self) -> int:
        """Connections at this moment."""
        with self._changed:
            return self._open

    @property
    def abandoned(self) -> tuple[Request, ...]:
        """Requests whose client went away."""
        with self._changed:
            return tuple(self._abandoned)

    def opened(self) -> None:
        """Count a connection."""
        with self._changed:
            self._opened += 1
            self._open += 1
            self._changed.notify_all()

    def closed(self) -> None:
        """Count its end."""
        with self._changed:
            self._open -= 1
            self._changed.notify_all()

    def abandon(self, request: Request) -> None:
        """Count a request whose client went away."""
        with self._changed:
            self._abandoned.append(request)
            self._changed.notify_all()

    def wait_abandoned(self, count: int, timeout_seconds: float) -> bool:
        """Wait until that many requests were abandoned; whether they were."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._abandoned) >= count, timeout_seconds)

    def wait_no_connections(self, timeout_seconds: float) -> bool:
        """Wait until no connection is open; whether none is."""
        with self._changed:
            return self._changed.wait_for(lambda: self._open == 0, timeout_seconds)
