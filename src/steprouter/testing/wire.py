"""What the wire formats share: the answer to be put into one, and what a format must be able to do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .faults import ErrorEvent, Rejection
from .request import Request, WireFormat
from .speech import Piece, Speech, identity

Group = list[bytes]
"""Server-sent events that go out together."""

BlockKind = Literal["reasoning", "text", "call"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is said in answer to a request.

    Attributes:
        created: Unix seconds.
        request: What is answered.
        speech: What is said.
    """

    created: int
    request: Request
    speech: Speech

    @property
    def blocks(self) -> list[tuple[BlockKind, int]]:
        """The parts of the answer in order: reasoning, text, and each call by its number."""
        speech = self.speech
        reasoning: list[tuple[BlockKind, int]] = [("reasoning", 0)] if speech.reasoning else []
        text: list[tuple[BlockKind, int]] = [("text", 0)] if speech.text else []
        return reasoning + text + [("call", index) for index in range(len(speech.tool_calls))]

    def named(self, prefix: str, part: int | str = "answer") -> str:
        """An id for the answer or a part of it."""
        return prefix + identity(self.request, part)


def block_of(piece: Piece) -> tuple[BlockKind, int]:
    """The part of the answer that a piece belongs to."""
    return ("call" if piece.kind == "arguments" else piece.kind), piece.index


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """A wire format.

    Attributes:
        format: Its name.
        path: Where it is asked.
        id_header: The response header that names a request.
        key: The key that request headers hold; empty if there is none.
        read: The request in a body; raises `Rejected`.
        refusal: The JSON body of an HTTP error, from the error and the request's name.
        whole: An answer in one JSON object.
        stream: An answer as groups of events: the opening, one group for each piece, the closing.
        error: An error event; the number says how many events came before it.
        garbage: An event whose data is not JSON.
    """

    format: WireFormat
    path: str
    id_header: str
    key: Callable[[Mapping[str, str]], str]
    read: Callable[[bytes, Mapping[str, str]], Request]
    refusal: Callable[[Rejection, str], dict[str, Any]]
    whole: Callable[[Answer], dict[str, Any]]
    stream: Callable[[Answer], Iterator[Group]]
    error: Callable[[Answer, ErrorEvent, int], bytes]
    garbage: bytes


def event(value: Mapping[str, Any] | str, name: str = "") -> bytes:
    """One server-sent event, with a name or without."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"event: {name}\ndata: {text}\n\n".encode() if name else f"data: {text}\n\n".encode()


def bearer(headers: Mapping[str, str]) -> str:
    """The key in an `Authorization: Bearer` header."""
    given = headers.get("authorization", "")
    return given[len("bearer ") :] if given.lower().startswith("bearer ") else ""


PROXY_PAGE = "<html><title>502 Bad Gateway</title></html>"
"""What stands where JSON should: the page of a proxy that lost its upstream."""
