"""HTTP connections with a limit on how long each piece of an answer may take.

httpx bounds the wait for the next *bytes* by one figure for a whole response, so it can neither tell the wait
for the first piece from the pauses after it, nor see through keep-alive comments, which restart its count.
Here the limit sits where bytes are read: a `Line` has a moment by which something must have come.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import time
import weakref
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import httpcore
import httpx

KEEPALIVE_CONNECTIONS = 32
KEEPALIVE_SECONDS = 30.0
"""Agents pause for seconds between steps, while their tools run; httpx's 5 s would mean a new TLS handshake
for most steps. Load balancers keep idle connections for 60 s and longer (nginx: 75 s)."""


NO_WAIT = httpx.Timeout(1.0)
"""A client's own default, which never counts: every request brings its limits along."""


class KeptConnectionClosed(httpcore.ReadError):
    """A connection kept from an earlier answer was closed by the server before a byte of this answer came.

    The server let go of it while it lay idle, and the request reached nobody. llama.cpp does so after each
    stream although it promises to keep the connection (seen with the build of 2026-10).
    """


class Exchange:
    """What a connection knows of the request it is serving: by when something must come, and what has.

    Only the holder of a connection touches it, so the connection may go to another thread afterwards.
    """

    __slots__ = ("_answered", "_kept", "until")

    def __init__(self) -> None:
        self.until: float | None = None
        self._kept = False
        self._answered = False

    def begin(self) -> None:
        """A request is being sent: the next read says how long to wait."""
        self.until = None
        self._kept, self._answered = self._kept or self._answered, False

    def extend(self, seconds: float) -> None:
        """Wait for `seconds` from now."""
        self.until = time.monotonic() + seconds

    def left(self, seconds: float | None) -> float | None:
        """Seconds the coming read may take; `seconds` is what the request allows for its first piece.

        Raises:
            httpcore.ReadTimeout: The moment has passed.
        """
        if self.until is None:
            if seconds is None:
                return None
            self.extend(seconds)
            return seconds
        left = self.until - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("nothing was said in time")
        return left

    def came(self, data: bytes) -> bytes:
        """Take note of what was read.

        Raises:
            KeptConnectionClosed: The connection ended, and no byte of this answer has come.
        """
        if data:
            self._answered = True
        elif self.is_stale:
            raise KeptConnectionClosed
        return data

    @property
    def is_stale(self) -> bool:
        """Whether an end of the connection would mean that it had ended before the request."""
        return self._kept and not self._answered


class Line(httpcore.NetworkStream):
    """A connection that watches over its `Exchange`."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream
        self.exchange = Exchange()

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what has come, by the moment set."""
        try:
            return self.exchange.came(self._stream.read(max_bytes, self.exchange.left(timeout)))
        except httpcore.ReadError as error:
            if self.exchange.is_stale:
                raise KeptConnectionClosed from error
            raise

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send."""
        self.exchange.begin()
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> Line:
        """Go on in TLS."""
        return Line(self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        """What httpcore wants to know, such as `is_readable`."""
        return self._stream.get_extra_info(info)


class AsyncLine(httpcore.AsyncNetworkStream):
    """As `Line`, for an event loop."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self.exchange = Exchange()

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109  # httpcore's
        """Read what has come, by the moment set."""
        try:
            return self.exchange.came(await self._stream.read(max_bytes, self.exchange.left(timeout)))
        except httpcore.ReadError as error:
            if self.exchange.is_stale:
                raise KeptConnectionClosed from error
            raise

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109  # httpcore's
        """Send."""
        self.exchange.begin()
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore's signature
    ) -> AsyncLine:
        """Go on in TLS."""
        return AsyncLine(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        """What httpcore wants to know, such as `is_readable`."""
        return self._stream.get_extra_info(info)


class Lines(httpcore.NetworkBackend):
    """Opens `Line`s."""

    def __init__(self) -> None:
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> Line:
        """Connect."""
        return Line(self._sockets.connect_tcp(host, port, timeout, local_address, socket_options))


class AsyncLines(httpcore.AsyncNetworkBackend):
    """Opens `AsyncLine`s."""

    def __init__(self) -> None:
        self._sockets = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> AsyncLine:
        """Connect."""
        return AsyncLine(await self._sockets.connect_tcp(host, port, timeout, local_address, socket_options))


class Body(httpx.SyncByteStream):
    """A response body as httpx wants it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._stream)

    def close(self) -> None:
        """Give the connection back, or close it if the body was not read to its end."""
        self._stream.close()


class AsyncBody(httpx.AsyncByteStream):
    """As `Body`, for an event loop."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._stream)

    async def aclose(self) -> None:
        """Give the connection back, or close it if the body was not read to its end."""
        await self._stream.aclose()


class Transport(httpx.BaseTransport):
    """Sends over pooled `Line`s; httpcore's errors come out as they are."""

    def __init__(self, ssl_context: ssl.SSLContext | None) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=ssl_context,
            max_connections=None,  # pacing is decided elsewhere; a full pool would look like a slow model
            max_keepalive_connections=KEEPALIVE_CONNECTIONS,
            keepalive_expiry=KEEPALIVE_SECONDS,
            network_backend=Lines(),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and give the response, its body unread."""
        reply = self._pool.handle_request(core_request(request))
        return httpx.Response(
            reply.status, headers=reply.headers, stream=Body(reply.stream), extensions=reply.extensions
        )

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()


class AsyncTransport(httpx.AsyncBaseTransport):
    """As `Transport`, for an event loop."""

    def __init__(self, ssl_context: ssl.SSLContext | None) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl_context,
            max_connections=None,
            max_keepalive_connections=KEEPALIVE_CONNECTIONS,
            keepalive_expiry=KEEPALIVE_SECONDS,
            network_backend=AsyncLines(),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and give the response, its body unread."""
        reply = await self._pool.handle_async_request(core_request(request))
        body = AsyncBody(reply.stream)
        return httpx.Response(reply.status, headers=reply.headers, stream=body, extensions=reply.extensions)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()


def core_request(request: httpx.Request) -> httpcore.Request:
    """An httpx request for httpcore, as httpx' own transport makes it."""
    url = httpcore.URL(
        scheme=request.url.raw_scheme,
        host=request.url.raw_host,
        port=request.url.port,
        target=request.url.raw_path,
    )
    return httpcore.Request(
        method=request.method,
        url=url,
        headers=request.headers.raw,
        content=request.stream,
        extensions=request.extensions,
    )


def close_clients(clients: dict[int, httpx.Client]) -> None:
    """Close this process's client of a wire that nobody holds any more.

    What belongs to an event loop can only be closed on it, by `aclose`.
    """
    client = clients.pop(os.getpid(), None)
    if client is not None:
        client.close()


class Connections:
    """The clients of one wire: one for all threads of this process, and one for each event loop.

    None is made before it is needed. A forked child never touches its parent's connections: both would read
    the same bytes. Locks are avoided on purpose, since a lock held during a fork stays locked in the child;
    a single operation on a dictionary is atomic.

    Args:
        secure: Whether TLS will be spoken; without it no certificates are loaded.
    """

    def __init__(self, *, secure: bool) -> None:
        self._secure = secure
        self._clients: dict[int, httpx.Client] = {}  # by process id; a parent's client is kept, never used
        weakref.finalize(self, close_clients, self._clients)
        self._async_clients: dict[tuple[int, int], tuple[weakref.ref[Any], httpx.AsyncClient]] = {}
        self._ssl_context: ssl.SSLContext | None = None

    def client(self) -> httpx.Client:
        """The client for threads."""
        pid = os.getpid()
        client = self._clients.get(pid)
        if client is None:
            made = httpx.Client(transport=Transport(self.ssl_context()), trust_env=False, timeout=NO_WAIT)
            client = self._clients.setdefault(pid, made)
            if client is not made:  # another thread was faster
                made.close()
        return client

    def async_client(self) -> httpx.AsyncClient:
        """The client for the running event loop."""
        loop = asyncio.get_running_loop()
        key = (os.getpid(), id(loop))
        owner, client = self._async_clients.get(key, (None, None))
        if client is None or owner is None or owner() is not loop:
            self.forget_ended_loops()
            client = httpx.AsyncClient(transport=AsyncTransport(self.ssl_context()), trust_env=False, timeout=NO_WAIT)
            self._async_clients[key] = (weakref.ref(loop), client)
        return client

    def forget_ended_loops(self) -> None:
        """Let go of clients whose loop is closed; their sockets are closed when they are collected."""
        for key, (owner, _) in list(self._async_clients.items()):
            loop = owner()
            if loop is None or loop.is_closed():
                self._async_clients.pop(key, None)

    def ssl_context(self) -> ssl.SSLContext | None:
        """Certificates as certifi has them, or as SSL_CERT_FILE and SSL_CERT_DIR say; None without TLS."""
        if self._ssl_context is None and self._secure:
            self._ssl_context = httpx.create_ssl_context(trust_env=True)  # 10–30 ms, so once
        return self._ssl_context

    def close(self) -> None:
        """Close the connections of threads."""
        close_clients(self._clients)

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        key = (os.getpid(), id(asyncio.get_running_loop()))
        _, client = self._async_clients.pop(key, (None, None))
        if client is not None:
            await client.aclose()
