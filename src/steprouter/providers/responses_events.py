"""A stream of OpenAI's Responses, from bytes to events: each once, none missing, errors told apart."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from ..answering.answer import Delta
from .refusals import BrokenOff, WireError, stream_refusal
from .responses_items import Event, ResponsePieces
from .responses_numbers import EventNumbers
from .responses_stop import Numbered, StopCutter
from .server_events import EventReader, LineTooLong, is_utf8

loads = json.JSONDecoder().decode  # `json.loads` looks at its options and at the encoding on every call


class ResponseReader:
    """Takes the bytes of one response in any cuts and gives pieces of the answer.

    Args:
        where: Name of the model, for messages.
        details: Metadata that is known already.
        secrets: Values that no message may show.
        after: Number of the last event that was taken before; None for a stream from the beginning.
        stops: Texts before which the answer is cut.

    Attributes:
        stirred: What came last was part of the answer, whether or not it made a piece.
        broken: What broke the stream; None while nothing has.
        numbers: The event's number of each piece that `feed` gave last.
    """

    def __init__(
        self,
        where: str,
        *,
        details: Mapping[str, Any] | None = None,
        secrets: Iterable[str] = (),
        after: int | None = None,
        stops: tuple[str, ...] = (),
    ) -> None:
        self.stirred = False
        self.broken: WireError | None = None
        self.numbers: list[int | None] = []
        self._where = where
        self._secrets = tuple(secrets)
        self._events = EventReader()
        self._counted = EventNumbers(after)
        self._pieces = ResponsePieces(where, details=details, is_resumed=after is not None)
        self._cutter = StopCutter(stops) if stops else None

    @property
    def said(self) -> bool:
        """Whether a piece with content has come."""
        return self._pieces.said

    @property
    def finished(self) -> bool:
        """Whether the answer has ended, or was cut."""
        return self._pieces.has_ended or self.is_cut

    @property
    def done(self) -> bool:
        """As `finished`: there is no end mark after the event that ends a response."""
        return self.finished

    @property
    def response_id(self) -> str | None:
        """The provider's name for the response; None while it is unknown."""
        return self._pieces.response_id

    @property
    def is_cut(self) -> bool:
        """Whether a stop sequence ended the answer here, while the model may go on."""
        return self._cutter is not None and self._cutter.is_cut

    @property
    def first_number(self) -> int | None:
        """Number of the first event; None while there is none, or where events are not numbered."""
        return self._counted.first

    def feed(self, data: bytes) -> list[Delta]:
        """The pieces that `data` completes; if the stream breaks after some of them, `go_on` says so.

        Raises:
            StreamRefusal: The server reported an error in the stream.
            BrokenOff: What came is no stream of Responses events, or events are missing in it.
        """
        self.stirred = False
        try:
            events = self._events.feed(data)
        except LineTooLong as error:
            raise BrokenOff(f"{self._where}: {error}") from error
        pieces: list[Numbered] = []
        try:
            for event in events:
                if (piece := self.taken(event)) is not None:
                    pieces.append((piece, self._counted.last))
                if self._pieces.has_ended:
                    pieces[-1:-1] = [(unsaid, None) for unsaid in self._pieces.unsaid if self.intact(unsaid, event)]
                    break
        except WireError as error:
            self.broken = error
        except (AttributeError, KeyError, TypeError) as error:  # a list where an object belongs, and the like
            self.broken = BrokenOff(f"{self._where} sent an event that is no part of a response")
            self.broken.__cause__ = error
        return self.given(pieces)

    def given(self, pieces: list[Numbered]) -> list[Delta]:
        """The pieces that may go on, and their numbers kept."""
        if self._cutter is not None:
            pieces = self._cutter.cut(pieces)
        self.numbers = [number for _, number in pieces]
        if not pieces:
            self.go_on()
        return [piece for piece, _ in pieces]

    def go_on(self) -> None:
        """Raise what broke the stream, once the pieces before it were taken; a finished answer does not break.

        Raises:
            StreamRefusal: The server reported an error in the stream.
            BrokenOff: What came is no stream of Responses events, or events are missing in it.
        """
        if self.broken is not None and not self.finished:
            raise self.broken

    def whole(self, body: bytes) -> list[Delta]:
        """The pieces of an answer that came in one JSON body although a stream was asked for."""
        try:
            response = loads(body.decode("utf-8", "replace").strip())
        except (ValueError, RecursionError) as error:
            raise BrokenOff(f"{self._where} answered with neither a stream nor JSON") from error
        if not isinstance(response, dict) or not (response.get("object") == "response" or "error" in response):
            raise BrokenOff(f"{self._where} answered with JSON that is no response")
        if "error" in response and (response["error"] or response.get("status") == "failed"):
            raise self.failure(response)
        if response.get("status") not in ("completed", "incomplete"):
            raise BrokenOff(f"{self._where} answered with a response that has not ended")
        last = self._pieces.ended({"response": response})
        said = (*self._pieces.unsaid, last)
        return self.given([(piece, None) for piece in said if self.intact(piece, body)])

    def close(self) -> list[Delta]:
        """The last pieces, once the response has ended: of an event left open."""
        self.go_on()
        if self.finished:
            return []
        pieces: list[Numbered] = []
        if (event := self._events.end()) is not None:
            with suppress(BrokenOff):  # a torn event says nothing; that the finish is missing does
                piece = self.taken(event)
                pieces = [] if piece is None else [(piece, self._counted.last)]
        last = self.given(pieces)
        rest = [] if self._cutter is None else self._cutter.rest()
        self.numbers += [number for _, number in rest]
        return [*last, *(piece for piece, _ in rest)]

    def taken(self, data: bytes) -> Delta | None:
        """The piece one event makes, the first time it comes."""
        try:
            event = loads(data.decode("utf-8", "replace"))
        except (ValueError, RecursionError) as error:
            self.unusual(data, error)
            return None
        if event.__class__ is not dict:
            raise BrokenOff(f"{self._where} sent an event that is no part of a response")
        kind = event.get("type")
        number = event.get("sequence_number")
        if kind == "response.failed":
            raise self.failure(event["response"])
        if kind is None or kind == "error":
            raise self.error(event)
        if kind == "keepalive":
            self._counted.alive(number)
            return None
        try:
            if not self._counted.is_new(number, data):
                return None
        except LookupError as error:
            raise BrokenOff(f"{self._where}: the stream has a gap, {error}") from error
        self.stirred = True
        return self.intact(self._pieces.piece(event), data)

    def intact(self, piece: Delta | None, data: bytes) -> Delta | None:
        """The piece, unless it is of a tool call and bytes of it are lost.

        Raises:
            BrokenOff: They are.
        """
        if piece is not None and piece.tools and not is_utf8(data):
            raise BrokenOff(f"{self._where} sent a tool call that is not UTF-8")
        return piece

    def unusual(self, data: bytes, error: Exception) -> None:
        """Take in an event that is no JSON: an end mark that this API does not have, or an error in words."""
        text = data.decode("utf-8", "replace").strip()
        if not text or text == "[DONE]" or self.finished:
            return
        if text.startswith('{"error":'):  # an event named `error` whose data is plain text
            said = text.removeprefix('{"error":').removesuffix("}")
            raise stream_refusal(self._where, said, self._secrets) from None
        raise BrokenOff(f"{self._where} sent an event that is not JSON") from error

    def failure(self, response: Event) -> WireError:
        """The error of a response that has failed."""
        said = response.get("error") or f"Response {response.get('id')} failed."
        return stream_refusal(self._where, said, self._secrets)

    def error(self, event: Event) -> WireError:
        """The error that the server reports."""
        if event.get("type") is None and not event.get("error"):
            return BrokenOff(f"{self._where} sent an event that is no part of a response")
        return stream_refusal(self._where, event.get("error") or event, self._secrets)
