"""The way to the store: a lazy, guarded connection from one setting."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from steprouter.errors import ConfigError
from steprouter.memory.recall import Missing

from .target import Target, read_target

if TYPE_CHECKING:
    import redis
    import redis.asyncio

    from .link import Link, Settings, StoreFacts

R = TypeVar("R")

DEADLINE_SECONDS = 0.05
"""What a read may cost a step. A recall takes 0.2 ms on this machine's socket, 1–2 ms in one data centre."""

OPEN_SECONDS = 2.0
"""What the first call waits for an embedded server: it starts in 0.2 s, at the very first in up to 1.5 s."""

RECOVERY_POLL_SECONDS = 0.02


class Connection:
    """A store, opened by its first use, that answers or says what is `Missing` and never raises.

    Safe in threads, in several event loops, with sync and async calls mixed, and after a fork.
    """

    def __init__(self, target: Target, settings: Callable[[], Settings]) -> None:
        self.target = target
        self.settings = settings
        self.links: dict[int, Link] = {}

    def __repr__(self) -> str:
        return f"Connection({self.target.shown!r})"

    def call(self, use: Callable[[redis.Redis], R], *, deadline_seconds: float | None = None) -> R | Missing:
        """What `use` gives with the sync client, or why there is nothing.

        Args:
            use: Sends commands, best one pipeline; no retry is made.
            deadline_seconds: All of them together; default is the connection's.
        """
        return self.link().call(use, deadline_seconds)

    async def acall(
        self, use: Callable[[redis.asyncio.Redis], Awaitable[R]], *, deadline_seconds: float | None = None
    ) -> R | Missing:
        """What `use` gives with the running loop's async client, or why there is nothing."""
        return await self.link().acall(use, deadline_seconds)

    def open(self, *, wait_seconds: float = 30.0) -> StoreFacts | Missing:
        """Opens the store now, as a command-line tool wants it; the facts, or why there are none (yet).

        Gives facts for memory too, with the reason in them.
        """
        link = self.link()
        missing = link.wait_until_open(wait_seconds)
        return link.facts or missing or Missing(reason="store degraded: nothing is known of it")

    def url(self, *, wait_seconds: float = 30.0) -> str | None:
        """Where the server is, for another client beside this one; may hold a password. `None` if there is none."""
        facts = self.open(wait_seconds=wait_seconds)
        if isinstance(facts, Missing) or facts.place == "memory":
            return None
        server = self.link().server
        return self.target.url if server is None else server.url

    @property
    def facts(self) -> StoreFacts | None:
        """What the store turned out to be; `None` before it was reached."""
        link = self.links.get(os.getpid())
        return link.facts if link else None

    @property
    def degraded(self) -> str | None:
        """Why the store is bypassed now; `None` while it is well, before its first use and in chosen memory."""
        link = self.links.get(os.getpid())
        if link is None or self.target.kind == "memory":
            return None
        missing = link.missing()
        return missing.reason if missing else None

    def recovers(self, seconds: float) -> bool:
        """Whether the store answers, or does within so many seconds; False at once where there is none to be had."""
        link = self.links.get(os.getpid())
        until = time.monotonic() + seconds
        while link is not None and link.never is None and link.missing() is not None and time.monotonic() < until:
            time.sleep(RECOVERY_POLL_SECONDS)
        return link is not None and link.missing() is None

    def link(self) -> Link:
        """This process's link."""
        found = self.links.get(os.getpid())
        if found is None:
            from .link import Link

            # setdefault: of two threads that come first at once, both take the same one.
            found = self.links.setdefault(os.getpid(), Link(self.target, self.settings()))
            # The probing thread must not outlive a connection that nobody closed.
            weakref.finalize(self, found.health.end).atexit = False
        return found

    def close(self) -> None:
        """Closes this process's connections; the next use opens anew. An embedded server is let go."""
        link = self.links.pop(os.getpid(), None)
        if link is not None:
            link.close()

    async def aclose(self) -> None:
        """Closes the running loop's async connections; other loops and the sync side go on."""
        link = self.links.get(os.getpid())
        if link is not None and link.clients is not None:
            await link.clients.aclose()


def connect(
    store: str = "embedded",
    *,
    data_dir: str | os.PathLike[str] | None = None,
    deadline_seconds: float = DEADLINE_SECONDS,
    open_seconds: float = OPEN_SECONDS,
    grace_seconds: float = 10.0,
    maxmemory: str = "512mb",
    environment: Mapping[str, str] | None = None,
) -> Connection:
    """A connection to the store; nothing is opened before it is used.

    Args:
        store: `"embedded"`: the server of `$REDIS_URL` if that is set, else a shared server of our own, else
            memory. Or `redis://`, `rediss://`, `unix://`, or `"memory"`.
        data_dir: Where the embedded server keeps its data.
        deadline_seconds: What one call may take, connecting included.
        open_seconds: What the first call may wait for the embedded server to start.
        grace_seconds: How long the embedded server outlives its last user.
        maxmemory: The embedded server's, as Redis takes it.
        environment: Where `$REDIS_URL` is looked up; default the process's.

    Raises:
        ConfigError: The setting is malformed or of a kind that is not supported.
    """
    if deadline_seconds <= 0 or open_seconds <= 0 or grace_seconds < 0:
        raise ConfigError(
            "deadline_seconds and open_seconds must be above 0 and grace_seconds at least 0, "
            f"got {deadline_seconds!r}, {open_seconds!r} and {grace_seconds!r}"
        )
    target = read_target(store, os.environ if environment is None else environment)

    def settings() -> Settings:
        from .link import Settings

        return Settings(
            deadline_seconds=deadline_seconds,
            open_seconds=open_seconds,
            data_dir=Path(data_dir) if data_dir is not None else None,
            grace_seconds=grace_seconds,
            maxmemory=maxmemory,
        )

    return Connection(target, settings)
