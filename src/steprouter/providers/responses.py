"""A wire to OpenAI's Responses, over httpx."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterable, Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import quote

import httpx

from ..answering.answer import Delta
from ..answering.failures import Seen
from ..errors import ConfigError
from ..models.card import ModelCard
from ..step.ask import Ask
from .chat_request import encoded
from .connections import Connections
from .endpoints import endpoint, request_headers, secrets_of
from .http_call import (
    TRANSPORT_ERRORS,
    Call,
    alistened,
    first_bytes,
    first_bytes_async,
    listened,
    send,
    send_async,
)
from .responses_cursor import Bookmark, Cursor
from .responses_events import ResponseReader
from .responses_request import CHAT_ONLY, request_body, stops_of
from .sightings import seen
from .wire import Timeouts

GONE = 404
"""What a provider answers about a response that it does not keep, or keeps no longer."""


class ResponsesWire:
    """A wire to the server at `card.base_url`, in OpenAI's Responses. Safe between threads, event loops and forks.

    Connections, keys, redirects and time are as with Chat Completions: see `ChatCompletionsWire`. Content comes in
    blocks of LangChain's shape `responses/v1`, as `ChatOpenAI(use_responses_api=True)` gives it.

    With `settings={"background": True}` the provider goes on when the connection breaks, and keeps what was said for
    some ten minutes (OpenAI's guide to background mode). `resume` then takes an answer up where a `Bookmark` was left,
    and `cancel` ends one that nobody will take up. Such answers are stored at the provider, and begin later than
    others.

    Args:
        card: Says where the server is, which model to ask and what to send along.

    Raises:
        ConfigError: `base_url`, the key, a header or a setting cannot be used; nothing of a key is in the message.
    """

    def __init__(self, card: ModelCard) -> None:
        if card.base_url is None or not isinstance(card.model, str):
            raise ConfigError(f"model {card.name!r} must have base_url and the server's model name as text")
        if unknown := sorted(CHAT_ONLY & card.settings.keys()):
            raise ConfigError(
                f"settings of {card.name!r} must be known to Responses, got {unknown!r}; leave them out, or take "
                "api='chat_completions'"
            )
        if card.settings.get("background") and card.settings.get("store") is False:
            raise ConfigError(f"model {card.name!r} must have store=True for background=True, got store=False")
        self.card = card
        self._url = endpoint(card)
        self._headers = request_headers(card)
        self._secrets = secrets_of(card)
        self._connections = Connections(secure=self._url.scheme == "https")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.card.name!r}, {self.card.model!r} at {str(self._url)!r})"

    @property
    def keeps_answers(self) -> bool:
        """Whether the card says that the provider is to keep answers, so that they can be taken up again."""
        return bool(self.card.settings.get("background"))

    def stream(self, ask: Ask, timeouts: Timeouts, bookmark: Bookmark | None = None) -> Generator[Delta, None, None]:
        """Say `ask` and give the answer piece by piece.

        Args:
            ask: What to say.
            timeouts: How long each phase may last.
            bookmark: Told how far the answer was taken; stays empty for a call that is not in the background.
        """
        return listened(self._connections, partial(self.asking, ask, timeouts, bookmark))

    def astream(self, ask: Ask, timeouts: Timeouts, bookmark: Bookmark | None = None) -> AsyncGenerator[Delta, None]:
        """As `stream`, without blocking the event loop."""
        return alistened(self._connections, partial(self.asking, ask, timeouts, bookmark))

    def resume(
        self, cursor: Cursor, timeouts: Timeouts, bookmark: Bookmark | None = None
    ) -> Generator[Delta, None, None]:
        """Give what follows a cursor, waiting for what is not yet said.

        Blocks and calls have the numbers they had before, so that the pieces of both streams go together.

        Args:
            cursor: Where a stream of this wire's provider was left.
            timeouts: How long each phase may last.
            bookmark: Told how far the answer was taken.

        Raises:
            HttpRefusal: The provider does not keep this response (404), or no longer.
        """
        return listened(self._connections, partial(self.resuming, cursor, timeouts, bookmark))

    def aresume(
        self, cursor: Cursor, timeouts: Timeouts, bookmark: Bookmark | None = None
    ) -> AsyncGenerator[Delta, None]:
        """As `resume`, without blocking the event loop."""
        return alistened(self._connections, partial(self.resuming, cursor, timeouts, bookmark))

    def cancel(self, cursor: Cursor, timeouts: Timeouts) -> None:
        """Have the model stop; nothing happens where it has ended, or where its answer is not kept any more.

        Raises:
            HttpRefusal: The provider would not.
            WireError: It could not be asked.
        """
        call = self.cancelling(cursor, timeouts)
        try:
            response = send(self._connections.client(), call)
            try:
                body = first_bytes(response)
            finally:
                response.close()
        except TRANSPORT_ERRORS as error:
            raise call.named(error) from error
        call.check_cancelled(response, body)

    async def acancel(self, cursor: Cursor, timeouts: Timeouts) -> None:
        """As `cancel`, without blocking the event loop."""
        call = self.cancelling(cursor, timeouts)
        try:
            response = await send_async(self._connections.async_client(), call)
            try:
                body = await first_bytes_async(response)
            finally:
                await response.aclose()
        except TRANSPORT_ERRORS as error:
            raise call.named(error) from error
        call.check_cancelled(response, body)

    def asking(self, ask: Ask, timeouts: Timeouts, bookmark: Bookmark | None) -> ResponseCall:
        """The call that says `ask`.

        Raises:
            ConfigError: Something in `ask` has no form in this API.
        """
        body = request_body(self.card, ask)
        extra = {**(self.card.settings.get("extra_headers") or {}), **(ask.settings.get("extra_headers") or {})}
        return self.call(
            self._url,
            encoded(body, repr(self.card.name)),
            timeouts,
            headers={name: str(value) for name, value in extra.items()},
            stops=stops_of(self.card, ask),
            bookmark=bookmark if body.get("background") else None,
        )

    def resuming(self, cursor: Cursor, timeouts: Timeouts, bookmark: Bookmark | None) -> ResponseCall:
        """The call that takes an answer up again."""
        if bookmark is not None:
            bookmark.cursor = cursor
        url = self.address(cursor).copy_merge_params({"stream": "true", "starting_after": str(cursor.after)})
        return self.call(url, None, timeouts, bookmark=bookmark, after=cursor.after)

    def cancelling(self, cursor: Cursor, timeouts: Timeouts) -> ResponseCall:
        """The call that ends an answer."""
        return self.call(self.address(cursor, "/cancel"), b"", timeouts)

    def address(self, cursor: Cursor, path: str = "") -> httpx.URL:
        """Where a response is kept. What a provider calls it stays one segment of the path."""
        raw_path, _, query = self._url.raw_path.partition(b"?")
        raw = raw_path + f"/{quote(cursor.response_id, safe='')}{path}".encode()
        return self._url.copy_with(raw_path=raw + (b"?" + query if query else b""))

    def call(self, url: httpx.URL, content: bytes | None, timeouts: Timeouts, **fields: Any) -> ResponseCall:
        """One call, ready to be sent."""
        headers = {**self._headers, **fields.pop("headers", {})}
        return ResponseCall(f"model {self.card.name!r}", url, headers, content, timeouts, self._secrets, **fields)

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


class ResponseCall(Call):
    """A call whose place in the answer can be marked, and whose answer may be cut.

    Args:
        where: Name of the model, for messages.
        url: Where it is sent.
        headers: Headers of the request.
        content: Body of the request; None asks with GET.
        timeouts: How long each phase may last.
        secrets: Values that no message may show.
        stops: Texts before which the answer is cut.
        bookmark: Told how far the answer was taken.
        after: Number of the last event that was taken before; None for an answer from the beginning.
    """

    def __init__(
        self,
        where: str,
        url: httpx.URL,
        headers: dict[str, str],
        content: bytes | None,
        timeouts: Timeouts,
        secrets: tuple[str, ...],
        *,
        stops: tuple[str, ...] = (),
        bookmark: Bookmark | None = None,
        after: int | None = None,
    ) -> None:
        self._bookmark = bookmark
        self._stops = stops
        self._after = after
        super().__init__(
            where=where,
            url=url,
            headers=headers,
            content=content,
            timeouts=timeouts,
            secrets=secrets,
            reader=self.reading,
        )

    def reading(self, details: Mapping[str, Any] | None) -> ResponseReader:
        """What reads the answer."""
        self._answer = ResponseReader(
            self._where, details=details, secrets=self._secrets, after=self._after, stops=self._stops
        )
        return self._answer

    def heard(self, data: bytes) -> Iterable[Delta]:
        """The pieces that `data` completes."""
        pieces = super().heard(data)
        # Hosted tools and silent thoughts show by their events that the model is at work, once it has begun.
        self._news = self._news or (self._answer.said and self._answer.stirred)
        return pieces if self._bookmark is None else self.marked(self._bookmark, pieces)

    def last(self) -> Iterable[Delta]:
        """The pieces that are left, of an event that was left open too; they were taken like all others."""
        pieces = super().last()
        return pieces if self._bookmark is None else self.marked(self._bookmark, pieces)

    def marked(self, bookmark: Bookmark, pieces: Iterable[Delta]) -> Iterator[Delta]:
        """The pieces, with the bookmark moved right before each is given."""
        response_id = self._answer.response_id or (bookmark.cursor.response_id if bookmark.cursor else None)
        if bookmark.cursor is None and response_id and self._answer.first_number is not None:
            bookmark.cursor = bookmark.start = Cursor(response_id=response_id, after=self._answer.first_number)
        for piece, number in zip(pieces, tuple(self._answer.numbers), strict=False):
            # Where events are not numbered there is no place to come back to.
            is_placed = response_id is not None and number is not None
            bookmark.cursor = Cursor(response_id=response_id or "", after=number or 0) if is_placed else None
            yield piece

    def is_over(self) -> bool:
        """Whether to stop listening; a cut answer goes on at its provider until the connection is closed."""
        return self._answer.is_cut or super().is_over()

    def check_cancelled(self, response: httpx.Response, body: bytes) -> None:
        """Make sure that an answer has ended.

        Raises:
            HttpRefusal: The provider would not end it.
        """
        if not response.is_success and response.status_code != GONE:
            raise self.refusal(response, body)
