"""A wire to any server that speaks OpenAI's Chat Completions, over httpx."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from functools import partial

from ..answering.answer import Delta
from ..answering.failures import Seen
from ..errors import ConfigError
from ..models.card import ModelCard
from ..step.ask import Ask
from .chat_request import encoded, request_body
from .completion_chunks import CompletionReader
from .connections import Connections
from .emulated_tools import emulated
from .endpoints import endpoint, request_headers, secrets_of
from .http_call import Call, alistened, listened
from .sightings import seen
from .wire import Timeouts

OPENAI_HOST = "api.openai.com"


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
        return listened(self._connections, partial(self.call, ask, timeouts))

    def astream(self, ask: Ask, timeouts: Timeouts) -> AsyncGenerator[Delta, None]:
        """As `stream`, without blocking the event loop."""
        return alistened(self._connections, partial(self.call, ask, timeouts))

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
        where = f"model {self.card.name!r}"
        return Call(
            where=where,
            url=self._url,
            headers=headers,
            content=content,
            timeouts=timeouts,
            secrets=self._secrets,
            reader=lambda details: CompletionReader(
                where, provider=self._provider, details=details, secrets=self._secrets
            ),
            rewriter=unfolding,
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
