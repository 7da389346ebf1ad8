"""One streamed call over HTTP, whatever API is spoken: sent, listened to piece by piece, ended, its errors named."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Mapping
from contextlib import suppress
from typing import Any, Protocol

import httpcore
import httpx

from ..answering.answer import Delta
from .connections import Connections, Exchange, KeptConnectionClosed
from .masking import shown
from .refusals import (
    BrokenOff,
    HttpRefusal,
    NoFirstToken,
    Stalled,
    Unreachable,
    WireError,
    kept_headers,
    refusal_of,
)
from .server_events import LONGEST_LINE
from .wire import Timeouts

LONGEST_REFUSAL = 64 * 1024
"""Bytes of an error body that are read; a proxy's page may be endless."""

USAGE_SECONDS = 5.0
"""How long to wait for the usage after the finish reason. Servers send both within milliseconds; a finished
answer is not worth losing, nor holding up for the whole idle time, for its bookkeeping."""

ENDING_SECONDS = 0.25
"""How long to wait after the end mark for the end of the body, which lets the connection be used again."""

FIELD_STARTS = (b"d", b"e", b"i", b"r", b":")
"""How server-sent events can begin: data, event, id, retry, comments."""

TRANSPORT_ERRORS = (
    httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, httpcore.ProxyError,
    httpcore.UnsupportedProtocol, httpx.HTTPError, httpx.StreamError,
)  # fmt: skip
"""All that httpcore and httpx raise for a connection; socket errors come as these."""


class AnswerReader(Protocol):
    """Takes the bytes of one response in any cuts and gives pieces of the answer.

    Promises:
        - Pieces that came before something broke are given first; `go_on` raises what broke.
    """

    @property
    def said(self) -> bool:
        """Whether a piece with content has been given."""
        ...

    @property
    def finished(self) -> bool:
        """Whether the finish reason has come; what may still follow is usage."""
        ...

    @property
    def done(self) -> bool:
        """Whether the end mark has come; nothing else counts."""
        ...

    def feed(self, data: bytes) -> list[Delta]:
        """The pieces that `data` completes."""
        ...

    def go_on(self) -> None:
        """Raise what broke the stream, once the pieces before it were taken."""
        ...

    def whole(self, body: bytes) -> list[Delta]:
        """The pieces of an answer that came in one JSON body."""
        ...

    def close(self) -> list[Delta]:
        """The last pieces, once the response has ended."""
        ...


class Rewriter(Protocol):
    """Changes the pieces of an answer on their way.

    Attributes:
        is_over: Nothing more is wanted of the answer.
    """

    @property
    def is_over(self) -> bool:
        """Whether nothing more is wanted of the answer."""
        ...

    def feed(self, pieces: list[Delta]) -> list[Delta]:
        """What becomes of some pieces."""
        ...

    def close(self) -> list[Delta]:
        """What was held back."""
        ...


def listened(connections: Connections, begin: Callable[[], Call]) -> Generator[Delta, None, None]:
    """Make a call and give its answer piece by piece.

    Args:
        connections: Where to send it.
        begin: Makes the call; asked once the first piece is wanted.
    """
    call = begin()
    client = connections.client()
    response: httpx.Response | None = None
    try:
        response = send(client, call)
        call.connected(response)
        if not response.is_success:
            raise call.refusal(response, first_bytes(response))
        for data in response.iter_bytes() if is_packed(response) else response.iter_raw():
            yield from call.heard(data)
            if call.is_over():
                break
    except TRANSPORT_ERRORS as error:
        call.interrupted(error)
    finally:
        if response is not None:
            response.close()
    yield from call.last()


async def alistened(connections: Connections, begin: Callable[[], Call]) -> AsyncGenerator[Delta, None]:
    """As `listened`, without blocking the event loop."""
    call = begin()
    client = connections.async_client()
    response: httpx.Response | None = None
    try:
        response = await send_async(client, call)
        call.connected(response)
        if not response.is_success:
            raise call.refusal(response, await first_bytes_async(response))
        async for data in response.aiter_bytes() if is_packed(response) else response.aiter_raw():
            for piece in call.heard(data):
                yield piece
            if call.is_over():
                break
    except TRANSPORT_ERRORS as error:
        call.interrupted(error)
    finally:
        if response is not None:
            await response.aclose()
    for piece in call.last():
        yield piece


class Call:
    """One request and what is heard of its answer: all that a thread and an event loop do alike.

    Args:
        where: Name of the model, for messages.
        url: Where it is sent.
        headers: Headers of the request.
        content: Body of the request; None asks with GET.
        timeouts: How long each phase may last.
        secrets: Values that no message may show.
        reader: Makes what reads the answer, from the metadata that the response's headers give.
        rewriter: What becomes of the pieces that were read; None leaves them as they are.
    """

    def __init__(
        self,
        *,
        where: str,
        url: httpx.URL,
        headers: dict[str, str],
        content: bytes | None,
        timeouts: Timeouts,
        secrets: tuple[str, ...],
        reader: Callable[[Mapping[str, Any] | None], AnswerReader],
        rewriter: Rewriter | None = None,
    ) -> None:
        self._where = where
        self._url = url
        self._headers = headers
        self._content = content
        self._timeouts = timeouts
        self._secrets = secrets
        self._rewriter = rewriter
        self._reading = reader
        self._reader = reader(None)
        self._exchange = Exchange()
        self._body: list[bytes] | None = None  # collected where the server does not stream
        self._news = False
        self._surplus = 0

    def request(self, client: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        """The request to send."""
        limits = self._timeouts
        timeout = httpx.Timeout(
            connect=limits.connect, pool=limits.connect, read=limits.first_token, write=limits.first_token
        )
        method = "GET" if self._content is None else "POST"
        return client.build_request(method, self._url, content=self._content, headers=self._headers, timeout=timeout)

    def connected(self, response: httpx.Response) -> None:
        """Take note of the response's headers."""
        self._exchange = response.extensions["network_stream"].exchange
        kind = response.headers.get("content-type", "")
        if "json" in kind or "html" in kind:
            self._body = []
        details = {"headers": kept} if (kept := kept_headers(response.headers)) else None
        self._reader = self._reading(details)

    def heard(self, data: bytes) -> Iterable[Delta]:
        """The pieces that `data` completes."""
        if self._reader.done:
            self._surplus += len(data)
            return []
        if self._body == [] and data[:1] in FIELD_STARTS:
            self._body = None  # a stream after all, wrongly labelled
        if self._body is not None:
            self._body.append(data)
            self._surplus += len(data)
            return []
        pieces = self._reader.feed(data)
        self._news = bool(pieces)
        return pieces if self._rewriter is None else self._rewriter.feed(pieces)

    def is_over(self) -> bool:
        """Whether to stop listening; if not, says how long to wait for more.

        Called after the pieces were taken, so that the time a slow consumer takes is not the model's.
        """
        self._reader.go_on()
        if self._rewriter is not None and self._rewriter.is_over:
            return True
        if self._reader.done:
            self._exchange.extend(ENDING_SECONDS)
            return self._surplus > LONGEST_REFUSAL
        if self._body is not None:
            return self._surplus > LONGEST_LINE
        if self._reader.finished:
            self._exchange.extend(min(USAGE_SECONDS, self._timeouts.idle))
        elif self._news:
            self._exchange.extend(self._timeouts.idle)
        return False

    def last(self) -> Iterable[Delta]:
        """The pieces that are left once the response has ended."""
        pieces = self._reader.whole(b"".join(self._body)) if self._body else []
        pieces += self._reader.close()
        return pieces if self._rewriter is None else [*self._rewriter.feed(pieces), *self._rewriter.close()]

    def interrupted(self, error: Exception) -> None:
        """Take note of a transport error: it does not matter once the answer is finished.

        Raises:
            Unreachable: No connection came about.
            NoFirstToken: Nothing was said in time.
            Stalled: Nothing more was said in time.
            BrokenOff: The connection ended or stopped making sense.
        """
        if not self._reader.finished:
            raise self.named(error) from error

    def named(self, error: Exception) -> WireError:
        """A transport error by what it means."""
        match error:
            case httpcore.ConnectError() | httpcore.ConnectTimeout() | httpcore.PoolTimeout():
                text = f"no connection to {self._url.host}: {str(error) or type(error).__name__}"
                return Unreachable(f"{self._where}: {shown(text, self._secrets)}")
            case httpcore.TimeoutException() if self._reader.said:
                return Stalled(f"{self._where} paused for more than {self._timeouts.idle:g} s amid its answer")
            case httpcore.TimeoutException():
                return NoFirstToken(f"{self._where} said nothing within {self._timeouts.first_token:g} s")
        text = shown(str(error) or type(error).__name__, self._secrets)
        return BrokenOff(f"{self._where}: the connection broke: {text}")

    def refusal(self, response: httpx.Response, body: bytes) -> HttpRefusal:
        """The error in a response that is no answer."""
        if response.is_redirect:
            body = b'{"error": "a redirect; give the address it leads to as base_url"}'
        return refusal_of(self._where, response.status_code, response.headers, body, self._secrets)


def send(client: httpx.Client, call: Call) -> httpx.Response:
    """The response to a call, its body unread; a request that met a connection already closed goes out again.

    Each round uses up a kept connection, so the last one has a new connection, on which nothing is repeated.
    """
    while True:
        with suppress(KeptConnectionClosed):
            return client.send(call.request(client), stream=True)


async def send_async(client: httpx.AsyncClient, call: Call) -> httpx.Response:
    """As `send`, for an event loop."""
    while True:
        with suppress(KeptConnectionClosed):
            return await client.send(call.request(client), stream=True)


def is_packed(response: httpx.Response) -> bool:
    """Whether the body is compressed, which some proxies do unasked."""
    return bool(response.headers.get("content-encoding", "identity") != "identity")


def first_bytes(response: httpx.Response) -> bytes:
    """The beginning of an error body, as far as it comes: the status alone is a fact worth keeping."""
    body = b""
    with suppress(*TRANSPORT_ERRORS):
        for data in response.iter_bytes():
            body += data
            if len(body) > LONGEST_REFUSAL:
                break
    return body[:LONGEST_REFUSAL]


async def first_bytes_async(response: httpx.Response) -> bytes:
    """As `first_bytes`, for an event loop."""
    body = b""
    with suppress(*TRANSPORT_ERRORS):
        async for data in response.aiter_bytes():
            body += data
            if len(body) > LONGEST_REFUSAL:
                break
    return body[:LONGEST_REFUSAL]
