"""Redis clients that keep a deadline: one sync client per process and one async client per event loop.

The only module that imports redis-py; it is loaded when a store is first used.
"""

from __future__ import annotations

import asyncio
import ipaddress
import queue
import socket
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.connection import Connection, ConnectionPool, SSLConnection, UnixDomainSocketConnection, parse_url
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

FAULTS = (redis.RedisError, OSError)
"""What a broken store may raise, time-outs included; anything else is a mistake of ours and is not hidden."""

LOST = (redis.ConnectionError, redis.TimeoutError, redis.exceptions.InvalidResponse, OSError)
"""The faults that say the server is away. The others are of one call: later ones may succeed."""

MAX_CONNECTIONS = 512
"""More threads or tasks than this at once in one process are refused, not queued."""

LAST_LOOK_SECONDS = 0.001
"""What a read gets after its deadline: an answer that has arrived is taken even if this thread was late."""


SLACK = 1.02
"""How much longer than what is left of its call an operation may take, so that 50 ms stay below 55."""


class CallDeadline(threading.local):
    """When the current call of this thread must be over."""

    def __init__(self, seconds: float) -> None:
        self.usual_seconds = seconds
        self.ends_at: float | None = None

    def left(self) -> float:
        """Seconds the call may still take.

        Raises:
            TimeoutError: None, for longer than a deadline already: the server trickles.
        """
        if self.ends_at is None:
            return self.usual_seconds
        left = self.ends_at - time.monotonic()
        if left < -self.usual_seconds:
            raise TimeoutError("the call took twice its deadline")
        return max(left, LAST_LOOK_SECONDS)

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Gives the calls inside this many seconds together."""
        before = self.ends_at
        self.ends_at = time.monotonic() + seconds
        try:
            yield
        finally:
            self.ends_at = before


class TimedSocket:
    """A socket whose every operation gets only what is left of the call's deadline.

    A socket timeout alone is per operation: a slow server, or a connection that first has to greet, would
    cost several of them.
    """

    __slots__ = ("deadline", "inner", "limit")

    def __init__(self, inner: socket.socket, deadline: CallDeadline) -> None:
        self.inner = inner
        self.deadline = deadline
        self.limit = 0.0

    def arm(self) -> None:
        """Limits the next operation to what is left, or a little more: each setting is a call of the system."""
        left = self.deadline.left()
        if not left <= self.limit <= SLACK * left:
            self.inner.settimeout(left)
            self.limit = left

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def settimeout(self, seconds: float | None) -> None:
        """As of a socket; what the client sets for itself is set anew before the next operation."""
        self.limit = 0.0
        self.inner.settimeout(seconds)

    def recv_into(self, buffer: bytearray) -> int:
        """As of a socket."""
        self.arm()
        return self.inner.recv_into(buffer)

    def recv(self, size: int, flags: int = 0) -> bytes:
        """As of a socket."""
        self.arm()
        return self.inner.recv(size, flags)

    def sendall(self, data: bytes) -> None:
        """As of a socket."""
        self.arm()
        self.inner.sendall(data)


class TimedUnix(UnixDomainSocketConnection):
    """A unix socket connection that keeps the call's deadline."""

    def __init__(self, *, deadline: CallDeadline, **settings: Any) -> None:
        super().__init__(**settings)  # type: ignore[no-untyped-call] # redis-py leaves it open
        self.deadline = deadline

    def _connect(self) -> TimedSocket:
        self.socket_connect_timeout = self.deadline.left()
        return TimedSocket(super()._connect(), self.deadline)  # type: ignore[no-untyped-call] # redis-py leaves it open


class TimedTcp(Connection):
    """A TCP connection that keeps the call's deadline, name resolution included."""

    def __init__(self, *, deadline: CallDeadline, **settings: Any) -> None:
        super().__init__(**settings)  # type: ignore[no-untyped-call] # redis-py leaves it open
        self.deadline = deadline

    def _connect(self) -> TimedSocket:
        self.socket_connect_timeout = self.deadline.left()
        if is_address(self.host):
            return TimedSocket(super()._connect(), self.deadline)  # type: ignore[no-untyped-call] # redis-py leaves it open
        return TimedSocket(in_time(super()._connect, self.deadline.left()), self.deadline)


class TimedTls(SSLConnection):
    """A TLS connection that keeps the call's deadline, name resolution and handshake included."""

    def __init__(self, *, deadline: CallDeadline, **settings: Any) -> None:
        super().__init__(**settings)
        self.deadline = deadline

    def _connect(self) -> TimedSocket:
        self.socket_connect_timeout = self.deadline.left()
        return TimedSocket(in_time(super()._connect, self.deadline.left()), self.deadline)


def is_address(host: str) -> bool:
    """Whether the host is an IP address and needs no look-up."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def in_time(connect: Callable[[], socket.socket], seconds: float) -> socket.socket:
    """Connects in a thread that may be abandoned: a name look-up knows no time-out, a handshake reads often.

    Raises:
        TimeoutError: It took longer; the late socket is closed.
        OSError: As the connecting did.
    """
    outcomes: queue.SimpleQueue[socket.socket | Exception] = queue.SimpleQueue()
    is_abandoned = threading.Event()

    def work() -> None:
        try:
            outcomes.put(connect())
        except FAULTS as error:
            outcomes.put(error)
        if is_abandoned.is_set():
            drop(outcomes)

    threading.Thread(target=work, name="steprouter-connect", daemon=True).start()
    try:
        outcome = outcomes.get(timeout=seconds)
    except queue.Empty:
        is_abandoned.set()
        drop(outcomes)
        raise TimeoutError("connecting took too long") from None
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def drop(outcomes: queue.SimpleQueue[socket.socket | Exception]) -> None:
    """Closes a socket that came too late; whichever thread comes second finds it."""
    try:
        late = outcomes.get_nowait()
    except queue.Empty:
        return
    if not isinstance(late, Exception):
        late.close()


def settings_of(url: str) -> dict[str, Any]:
    """redis-py's settings for a URL, without the ones the deadline decides."""
    found: dict[str, Any] = dict(parse_url(url))  # type: ignore[no-untyped-call] # redis-py leaves it open
    for decided in (
        "socket_timeout",
        "socket_connect_timeout",
        "retry_on_timeout",
        "retry_on_error",
        "timeout",
    ):
        found.pop(decided, None)
    # Each would be a round trip more in the greeting.
    found.update(protocol=3, driver_info=None, max_connections=MAX_CONNECTIONS)
    return found


class Clients:
    """The clients of one process for one URL. Makes no connection before the first call.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        deadline_seconds: What a call may take, connecting included.
    """

    def __init__(self, url: str, deadline_seconds: float) -> None:
        self.settings = settings_of(url)
        self.deadline = CallDeadline(deadline_seconds)
        self.sync = self.make_sync()
        self.by_loop: dict[asyncio.AbstractEventLoop, redis.asyncio.Redis] = {}
        self.farewells: dict[asyncio.AbstractEventLoop, AsyncGenerator[None]] = {}

    def make_sync(self) -> redis.Redis:
        """The sync client; its calls belong inside `deadline.within`."""
        settings = dict(self.settings)
        usual = settings.pop("connection_class", Connection)
        timed = {UnixDomainSocketConnection: TimedUnix, SSLConnection: TimedTls}.get(usual, TimedTcp)
        pool = ConnectionPool(
            connection_class=timed,
            deadline=self.deadline,
            socket_timeout=self.deadline.usual_seconds,
            retry=Retry(NoBackoff(), 0),  # a retried script would charge a budget twice
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
            **settings,
        )
        return redis.Redis(connection_pool=pool)

    async def here(self) -> redis.asyncio.Redis:
        """The running loop's own client; a client of another loop fails every other time."""
        loop = asyncio.get_running_loop()
        known = self.by_loop.get(loop)
        if known is not None:
            return known
        for other in [other for other in self.by_loop if other.is_closed()]:
            del self.by_loop[other], self.farewells[other]
        client = self.make_async()
        self.by_loop[loop] = client
        self.farewells[loop] = farewell(client)
        await anext(self.farewells[loop])
        return client

    def make_async(self) -> redis.asyncio.Redis:
        """An async client; the caller keeps the deadline, which is one timer instead of one per operation."""
        settings = dict(self.settings)
        usual = settings.pop("connection_class", Connection)
        kinds: dict[object, type[redis.asyncio.Connection] | type[redis.asyncio.UnixDomainSocketConnection]] = {
            UnixDomainSocketConnection: redis.asyncio.UnixDomainSocketConnection,
            SSLConnection: redis.asyncio.SSLConnection,
        }
        pool = redis.asyncio.ConnectionPool(
            connection_class=kinds.get(usual, redis.asyncio.Connection),
            socket_timeout=None,
            retry=AsyncRetry(NoBackoff(), 0),
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
            **settings,
        )
        return redis.asyncio.Redis(connection_pool=pool)

    def close(self) -> None:
        """Closes the sync client's connections."""
        self.sync.connection_pool.disconnect()

    async def aclose(self) -> None:
        """Closes the running loop's connections."""
        goodbye = self.farewells.pop(asyncio.get_running_loop(), None)
        self.by_loop.pop(asyncio.get_running_loop(), None)
        if goodbye is not None:
            await goodbye.aclose()


async def farewell(client: redis.asyncio.Redis) -> AsyncGenerator[None]:
    """Closes the client's connections when the loop ends: `asyncio.run` then closes open generators."""
    try:
        yield
    finally:
        await client.connection_pool.disconnect()
