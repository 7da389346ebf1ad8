"""The connection to the store as one process has it: opened in the background, guarded, restarted."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import redis
import redis.asyncio

from steprouter.errors import StoreError
from steprouter.memory.recall import Missing

from .clients import FAULTS, LOST, Clients
from .embedded.find import licence, read_version
from .embedded.server import EmbeddedServer, NotReady, acquire
from .guard import Health
from .target import Target

log = logging.getLogger("steprouter.store")

R = TypeVar("R")

OPENING = Missing(reason="store degraded: it is still being opened")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a connection behaves; see `connect` for the meaning."""

    deadline_seconds: float
    open_seconds: float
    data_dir: Path | None
    grace_seconds: float
    maxmemory: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFacts:
    """What the store turned out to be; `None` means unknown.

    Attributes:
        place: An embedded server, one given by URL, or this process's memory.
        shown: Its name for people, password masked.
        family: `"redis"` or `"valkey"`.
        version: The server's version.
        has_search: Whether it answers the `FT.` commands.
        origin: Where an embedded server's program comes from.
        licence: The published licence of an embedded server and its modules.
        reason: Why it is memory.
    """

    place: Literal["embedded", "server", "memory"]
    shown: str
    family: str | None = None
    version: str | None = None
    has_search: bool | None = None
    origin: str | None = None
    licence: str | None = None
    reason: str | None = None


class Link:
    """One process's connection. A forked child makes its own."""

    def __init__(self, target: Target, settings: Settings) -> None:
        self.target = target
        self.settings = settings
        self.health = Health(self.probe, f"store {target.shown}")
        self.facts: StoreFacts | None = None
        self.clients: Clients | None = None
        self.server: EmbeddedServer | None = None
        self.never: Missing | None = None
        self.is_open = threading.Event()
        self.was_held_up = False
        self.give_up_at = 0.0
        self.lock = threading.Lock()

    def call(self, use: Callable[[redis.Redis], R], seconds: float | None) -> R | Missing:
        """Carries out a use of the sync client, or says why not."""
        missing = self.wait_until_open()
        if missing is not None:
            return missing
        assert self.clients is not None
        began_at = time.monotonic()
        limit = self.settings.deadline_seconds if seconds is None else seconds
        try:
            with self.clients.deadline.within(limit):
                return use(self.clients.sync)
        except FAULTS as error:
            return self.miss(error, began_at, limit)

    async def acall(self, use: Callable[[redis.asyncio.Redis], Awaitable[R]], seconds: float | None) -> R | Missing:
        """The same for the running loop's async client."""
        missing = await self.await_open()
        if missing is not None:
            return missing
        assert self.clients is not None
        began_at = time.monotonic()
        limit = self.settings.deadline_seconds if seconds is None else seconds
        try:
            async with asyncio.timeout(limit):
                found = await use(await self.clients.here())
            self.was_held_up = False
            return found
        except FAULTS as error:
            is_held_up = isinstance(error, TimeoutError) and time.monotonic() - began_at > 2 * limit
            if is_held_up and not self.was_held_up:
                # The loop itself was held up; the answer may lie there unread: it says nothing of the store. The
                # second time in a row it may be both, and a probe in a thread of its own finds out.
                self.was_held_up = True
                return Missing(reason="store degraded: the event loop was held up past the deadline")
            return self.miss(error, began_at, limit)

    def miss(self, error: Exception, began_at: float, limit: float) -> Missing:
        """What a failed call gives; a server that is away is not asked again until a probe reaches it."""
        reason = wording(error, limit)
        if isinstance(error, LOST) and not isinstance(error, redis.exceptions.MaxConnectionsError):
            return self.health.fall(reason, began_at=began_at)
        return Missing(reason=f"store degraded: {reason}")

    def missing(self) -> Missing | None:
        """What stands in the way of a call now."""
        return (self.never or self.health.missing) if self.is_open.is_set() else OPENING

    def wait_until_open(self, seconds: float | None = None) -> Missing | None:
        """Opens if need be and waits, all callers until the same moment; gives what stands in the way."""
        if not self.is_open.is_set():
            self.begin()
            left = self.give_up_at - time.monotonic() if seconds is None else seconds
            self.is_open.wait(max(left, 0.0))
        return self.missing()

    async def await_open(self) -> Missing | None:
        """The same without blocking the loop."""
        if not self.is_open.is_set():
            self.begin()
            # Polled, once in a process: a future bridged to a loop that closes first would log an error.
            while not self.is_open.is_set() and time.monotonic() < self.give_up_at:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
        return self.missing()

    def begin(self) -> None:
        """Starts opening, once."""
        with self.lock:
            if self.give_up_at:
                return
            wait = self.settings.open_seconds if self.target.kind == "embedded" else self.settings.deadline_seconds
            self.give_up_at = time.monotonic() + wait
            threading.Thread(target=self.open, name="steprouter-open", daemon=True).start()

    def open(self) -> None:
        """Reaches the store or finds out why not."""
        self.never = Missing(reason="store degraded: opening it failed unexpectedly; see the traceback")
        began_at = time.monotonic()
        try:
            if self.target.kind == "memory":
                self.stay_in_memory(None)
                return
            self.reach()
            self.never = None
            if self.health.has_ended.is_set():  # closed before it was open
                self.close()
        except (NotReady, *LOST) as error:
            self.never = None
            self.health.fall(wording(error, self.settings.deadline_seconds), began_at=began_at)
        except (StoreError, *FAULTS) as error:
            self.stay_in_memory(str(error))
        finally:
            self.is_open.set()

    def stay_in_memory(self, reason: str | None) -> None:
        """Gives up on a server for this process's life."""
        said = f"store degraded: {reason}" if reason else "the store is memory, as asked for"
        self.never = Missing(reason=said, degraded=reason is not None)
        self.facts = StoreFacts(place="memory", shown="memory", reason=reason)
        if reason:
            log.warning("store: memory only, nothing is kept beyond this process: %s", reason)
        else:
            log.info("store: memory, as asked for")

    def reach(self) -> None:
        """Connects and greets; starts the embedded server if that is the target.

        Raises:
            StoreError: There is no embedded server to be had.
            Exception: One of `FAULTS`.
        """
        if self.target.kind == "embedded":
            self.take_server()
        elif self.clients is None:
            self.clients = Clients(self.target.url, self.settings.deadline_seconds)
        self.ask(lambda client: client.ping())
        if self.facts is None:
            self.facts = self.learn()
            log.info("store: %s", sentence(self.facts))

    def take_server(self) -> None:
        """Joins or starts the embedded server."""
        server = acquire(
            self.settings.data_dir,
            grace_seconds=self.settings.grace_seconds,
            maxmemory=self.settings.maxmemory,
        )
        if self.server is None or self.server.url != server.url:
            self.clients = Clients(server.url, self.settings.deadline_seconds)
        previous, self.server = self.server, server
        if previous is not None:
            previous.release()

    def ask(self, use: Callable[[redis.Redis], R]) -> R:
        """One use of the sync client within the deadline, unguarded."""
        assert self.clients is not None
        with self.clients.deadline.within(self.settings.deadline_seconds):
            return use(self.clients.sync)

    def probe(self) -> str | None:
        """Whether the store answers again: `None`, or what is wrong. Restarts a lost embedded server."""
        try:
            if self.clients is None or self.facts is None:
                self.reach()
            else:
                self.ask(lambda client: client.ping())
        except redis.ConnectionError as error:
            return self.restart() if self.target.kind == "embedded" else str(error)
        except (StoreError, *FAULTS) as error:
            return str(error)
        return None

    def restart(self) -> str | None:
        """Takes the embedded server anew: `None`, or what is wrong."""
        try:
            self.reach()
        except (StoreError, *FAULTS) as error:
            return str(error)
        return None

    def learn(self) -> StoreFacts:
        """What the server says of itself; what it refuses to say stays unknown."""
        if self.server is not None:
            known = self.server.facts
            return StoreFacts(
                place="embedded",
                shown=f"embedded in {known.data}",
                family=known.family,
                version=known.version,
                has_search=known.has_search,
                origin=known.origin,
                licence=known.licence,
            )
        try:
            said: dict[str, Any] = self.ask(lambda client: client.info("server"))
        except redis.ResponseError:
            said = {}
        named = [f"{name}:{said[name]}" for name in ("valkey_version", "redis_version") if name in said]
        family, version = read_version("\n".join(named)) if named else (None, None)
        return StoreFacts(
            place="server",
            shown=self.target.shown,
            family=family,
            version=version,
            has_search=self.has_search(),
            licence=licence(family, version) if family and version else None,
        )

    def has_search(self) -> bool:
        """Whether the server answers the `FT.` commands to this user."""
        try:
            self.ask(lambda client: client.execute_command("FT._LIST"))  # type: ignore[no-untyped-call] # redis-py leaves it open
        except redis.ResponseError:
            return False
        return True

    def close(self) -> None:
        """Closes the sync connections, ends the probing and lets go of the embedded server."""
        self.health.end()
        if self.clients is not None:
            self.clients.close()
        if self.server is not None:
            self.server.release()


def wording(error: Exception, limit: float) -> str:
    """A failure in words; a bare time-out has none of its own."""
    return str(error) or f"no answer within {limit * 1000:g} ms"


def sentence(facts: StoreFacts) -> str:
    """The choice in one line for the log."""
    search = {True: "with search", False: "without search", None: "search unknown"}[facts.has_search]
    parts = [f"{facts.family or 'server'} {facts.version or ''}".strip(), search, facts.shown]
    parts += [f"from {facts.origin}"] if facts.origin else []
    parts += [f"licence: {facts.licence}"] if facts.licence else []
    return ", ".join(parts)
