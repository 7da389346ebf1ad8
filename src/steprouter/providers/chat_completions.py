"""A wire to any server that speaks OpenAI's Chat Completions, over httpx."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import suppress

import httpcore
import httpx

from ..answering.answer import Delta
from ..answering.failures import Seen
from ..errors import ConfigError
from ..models.card import ModelCard
from ..step.ask import Ask
from .chat_request import encoded, request_body
from .completion_chunks import CompletionReader
from .connections import Connections, Exchange, KeptConnectionClosed
from .emulated_tools import Unfolding, emulated
from .endpoints import endpoint, request_headers, secrets_of
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
from .sightings import seen
from .wire import Timeouts

OPENAI_HOST = "api.openai.com"

LONGEST_REFUSAL = 64 * 1024
"""Bytes of an error body that are read; a proxy's page may be endless."""

USAGE_SECONDS = 5.0
"""How long to wait for the usage after the finish reason. Servers send both within milliseconds; a finished
answer is not worth losing, nor holding up for the whole idle time, for its bookkeeping."""

ENDING_SECONDS = 0.25
"""How long to wait after `[DONE]` for the end of the body, which lets the connection be used again."""

FIELD_STARTS = (b"d", b"e", b"i", b"r", b":")
"""How server-sent events can begin: data, event, id, retry, comments."""

TRANSPORT_ERRORS = (
    httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, httpcore.ProxyError,
    httpcore.UnsupportedProtocol, httpx.HTTPError, httpx.StreamError,
)  # fmt: skip
"""All that httpcore and httpx raise for a connection; socket errors come as these."""


class ChatCompletionsWire:
    """A wire to the server at `card.base_url`. Safe between threads, event loops and forked processes.

    Answers are always streamed, over HTTP/1.1, from pooled connections that are opened when they are needed. A
    request that met a pooled connection which the server had closed meanwhile is sent over a new one.
    The key goes into the Authorization header and nowhere else. Redirects are refused, so that the key cannot
    be sent on to another host, and environment variables that name a proxy are not read; those that name
    certificates (SSL_CERT_FILE, SSL_CERT_DIR) are.

    Time is bounded for sync and async alike, at each read of the socket, so that keep-alive comments do not
    count as an answer. What is not bounded in a thread is the look-up of a host name, which cannot be
    interrupted there; a task can be cancelled at any point.

    Args:
        card: Says where the server is, which model to ask and what to send along.

    Raises:
        ConfigError: `base_url`, the key or a header cannot be used; nothing of a key is in the message.
    """

    def __init__(self, card: ModelCard) -> None:
        if card.base_url is None or not isinstance(card.model, str):
            raise ConfigError(f"model {card.name!r} must have base_url and the server's model name as text")
        self.card = card
        self._url = endpoint(card)
        self._headers = request_headers(card)
        self._provider = "openai" if self._url.host == OPENAI_HOST else "openai_compatible"
        self._secrets = secrets_of(card)
        self._connections = Connections(secure=self._url.scheme == "https")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.card.name!r}, {self.card.model!r} at {str(self._url)!r})"

    def stream(self, ask: Ask, timeouts: Timeouts) -> Generator[Delta, None, None]:
        """Say `ask` and give the answer piece by piece."""
        call = self.call(ask, timeouts)
        client = self._connections.client()
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

    async def astream(self, ask: Ask, timeouts: Timeouts) -> AsyncGenerator[Delta, None]:
        """As `stream`, without blocking the event loop."""
        call = self.call(ask, timeouts)
        client = self._connections.async_client()
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

    def call(self, ask: Ask, timeouts: Timeouts) -> Call:
        """One call, ready to be sent.

        Raises:
            ConfigError: Something in `ask` has no form in this API.
        """
        unfolding = None
        if self.card.tools != "native":
            ask, unfolding = emulated(ask, constrained=self.card.tools == "json_schema")
        content = encoded(request_body(self.card, ask), repr(self.card.name))
        extra = {
            **(self.card.settings.get("extra_headers") or {}),
            **(ask.settings.get("extra_headers") or {}),
        }
        headers = {**self._headers, **{name: str(value) for name, value in extra.items()}}
        return Call(
            where=f"model {self.card.name!r}",
            provider=self._provider,
            url=self._url,
            headers=headers,
            content=content,
            timeouts=timeouts,
            secrets=self._secrets,
            unfolding=unfolding,
        )

    def saw(self, error: Exception) -> Seen:
        """The facts in an error this wire raised: status, code, text, retry-after."""
        return seen(error, self._secrets)

    def check(self) -> None:
        """Nothing more to check without a request: the constructor has looked at everything."""

    def close(self) -> None:
        """Close the connections of threads; the wire opens new ones when it is used again."""
        self._connections.close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop, and those of threads."""
        await self._connections.aclose()
        self._connections.close()


class Call:
    """One request and what is heard of its answer: all that a thread and an event loop do alike."""

    def __init__(
        self,
        *,
        where: str,
        provider: str,
        url: httpx.URL,
        headers: dict[str, str],
        content: bytes,
        timeouts: Timeouts,
        secrets: tuple[str, ...],
        unfolding: Unfolding | None,
    ) -> None:
        self._where = where
        self._provider = provider
        self._url = url
        self._headers = headers
        self._content = content
        self._timeouts = timeouts
        self._secrets = secrets
        self._unfolding = unfolding
        self._reader = CompletionReader(where, provider=provider, secrets=secrets)
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
        return client.build_request("POST", self._url, content=self._content, headers=self._headers, timeout=timeout)

    def connected(self, response: httpx.Response) -> None:
        """Take note of the response's headers."""
        self._exchange = response.extensions["network_stream"].exchange
        kind = response.headers.get("content-type", "")
        if "json" in kind or "html" in kind:
            self._body = []
        details = {"headers": kept} if (kept := kept_headers(response.headers)) else None
        self._reader = CompletionReader(self._where, provider=self._provider, details=details, secrets=self._secrets)

    def heard(self, data: bytes) -> list[Delta]:
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
        return pieces if self._unfolding is None else self._unfolding.feed(pieces)

    def is_over(self) -> bool:
        """Whether to stop listening; if not, says how long to wait for more.

        Called after the pieces were taken, so that the time a slow consumer takes is not the model's.
        """
        self._reader.go_on()
        if self._unfolding is not None and self._unfolding.is_over:
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

    def last(self) -> list[Delta]:
        """The pieces that are left once the response has ended."""
        pieces = self._reader.whole(b"".join(self._body)) if self._body else []
        pieces += self._reader.close()
        return pieces if self._unfolding is None else [*self._unfolding.feed(pieces), *self._unfolding.close()]

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
