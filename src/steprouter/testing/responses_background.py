"""OpenAI's background mode: responses that are said to their end whoever listens, and kept for later.

A response is complete here as soon as it was asked for; a real model would still be speaking.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any
from urllib.parse import parse_qs

from .admission import Rejected
from .delivery import Delivery, Parcel
from .faults import Rejection
from .wire import Answer, Wire

PATH = "/v1/responses/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A response that is kept.

    Attributes:
        events: All its events as they go over the wire, each at the place of its number.
        whole: The response in one object.
        headers: Extra headers that it was first sent with, and is sent with again.
    """

    events: tuple[bytes, ...]
    whole: Mapping[str, Any]
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieval:
    """A kept response that was asked for.

    Attributes:
        response_id: Which.
        after: Number of the event after which it was to be streamed; None for all of it.
    """

    response_id: str
    after: int | None


class KeptResponses:
    """The responses a provider keeps, and what became of them. Safe between threads."""

    def __init__(self) -> None:
        self._kept: dict[str, Kept] = {}
        self._cancelled: list[str] = []
        self._ended: set[str] = set()
        self._retrievals: list[Retrieval] = []
        self._lock = Lock()

    @property
    def cancelled(self) -> tuple[str, ...]:
        """The ids of responses that were cancelled, as often as they were."""
        with self._lock:
            return tuple(self._cancelled)

    @property
    def retrievals(self) -> tuple[Retrieval, ...]:
        """What was asked for."""
        with self._lock:
            return tuple(self._retrievals)

    def expire(self) -> None:
        """Forget all responses, as the real provider does after some ten minutes."""
        with self._lock:
            self._kept.clear()

    def keep(self, answer: Answer, wire: Wire, headers: Mapping[str, str]) -> None:
        """Keep an answer if its request asked for that."""
        if not answer.request.extra.get("background"):
            return
        events = tuple(event for group in wire.stream(answer) for event in group)
        whole = wire.whole(answer)
        with self._lock:
            self._kept[whole["id"]] = Kept(events=events, whole=whole, headers=headers)
            self._ended.discard(whole["id"])  # a script that is played anew gives the same names again

    def delivered(self, path: str) -> tuple[Delivery, Mapping[str, str]]:
        """What goes out for `GET /v1/responses/{id}`, streamed or not, and with which extra headers.

        Raises:
            Rejected: The response is not kept.
        """
        name, _, query = path.removeprefix(PATH).partition("?")
        fields = parse_qs(query)
        after = int(fields["starting_after"][0]) if "starting_after" in fields else None
        kept = self.kept(name)
        with self._lock:
            self._retrievals.append(Retrieval(response_id=name, after=after))
            is_cancelled = name in self._ended
        if fields.get("stream") == ["true"]:
            first = 0 if after is None else after + 1
            events: Sequence[bytes] = () if is_cancelled else kept.events[first:]
            return Delivery(parcels=tuple(Parcel(data=event) for event in events)), kept.headers
        body = json.dumps(kept.whole, ensure_ascii=False).encode()
        return Delivery(parcels=(Parcel(data=body),), length=len(body)), kept.headers

    def cancel(self, path: str) -> tuple[dict[str, Any], Mapping[str, str]]:
        """The answer to `POST /v1/responses/{id}/cancel`, and its extra headers.

        Raises:
            Rejected: The response is not kept.
        """
        name = path.removeprefix(PATH).removesuffix("/cancel")
        kept = self.kept(name)
        with self._lock:
            self._cancelled.append(name)
            self._ended.add(name)
        return {**kept.whole, "status": "cancelled", "output": [], "usage": None}, kept.headers

    def kept(self, name: str) -> Kept:
        """A response, or a 404."""
        with self._lock:
            kept = self._kept.get(name)
        if kept is None:
            raise Rejected(Rejection(status=404, code="not_found", message=f"Response with id '{name}' not found."))
        return kept
