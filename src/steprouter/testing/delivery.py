"""Faults of the way an answer travels: from its events or its body to what is sent, when, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from .faults import Cut, CutAtByte, Duplicate, End, ErrorEvent, Garbage, InvalidUtf8, SplitUtf8, Stall
from .reply import Reply
from .rewriting import NO_UTF8
from .wire import PROXY_PAGE, Answer, Group, Wire

Ending = Literal["close", "drop", "reset", "stall"]

BAD = NO_UTF8.encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """Bytes of the body that are sent together.

    Attributes:
        data: The bytes.
        wait_seconds: Waiting before them.
    """

    data: bytes
    wait_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """All that is sent of a body.

    Attributes:
        parcels: The parts, in order.
        ending: How it ends; see `End`, and `stall` leaves it open.
        length: Bytes that are announced; None announces none, as for a stream.
    """

    parcels: tuple[Parcel, ...]
    ending: Ending = "close"
    length: int | None = None


def streamed(answer: Answer, reply: Reply, wire: Wire) -> Delivery:
    """The delivery of a stream."""
    groups = list(wire.stream(answer))
    count = len(groups) - 2
    ending: Ending = "close"
    match reply.fault:
        case Cut(after_chunks=after, how=how):
            groups, ending = groups[: min(after, count) + 1], how
        case Stall(after_chunks=int(after)):
            groups, ending = groups[: min(after, count) + 1], "stall"
        case ErrorEvent(after_chunks=after) as fault:
            groups = groups[: min(after, count) + 1]
            groups.append([wire.error(answer, fault, sum(map(len, groups)))])
        case Garbage(after_chunks=after, data=data):
            groups.insert(min(after, count) + 1, [data or wire.garbage])
        case Duplicate(chunk=number) if count:
            group = groups[min(number, count - 1) + 1]
            group.append(group[-1])
    parcels = paced(groups, reply)
    return on_the_way(Delivery(parcels=parcels, ending=ending), reply)


def paced(groups: list[Group], reply: Reply) -> tuple[Parcel, ...]:
    """The groups with the waits between them: before the first, and before each chunk after the first."""
    waits = [reply.first_token_seconds, 0.0] + [reply.seconds_per_chunk] * len(groups)
    # The closing comes with the last chunk.
    waits[max(1, len(groups) - 1)] = 0.0
    return tuple(Parcel(data=b"".join(group), wait_seconds=wait) for group, wait in zip(groups, waits, strict=False))


def at_once(value: Mapping[str, Any], count: int, reply: Reply) -> Delivery:
    """The delivery of a whole answer, which has `count` chunks' worth of content.

    A body that breaks off cannot end cleanly, as its length was announced.
    """
    body = json.dumps(value, ensure_ascii=False).encode()
    if isinstance(reply.fault, Garbage):
        at = share(body, reply.fault.after_chunks, count)
        body = body[:at] + (reply.fault.data or PROXY_PAGE.encode()) + body[at:]
    whole = on_the_way(Delivery(parcels=(Parcel(data=body),)), reply)
    length = len(body) - body.count(BAD) * (len(BAD) - 1)
    match reply.fault:
        case Cut(after_chunks=after, how=how):
            return Delivery(parcels=up_to(whole.parcels, share(body, after, count)), ending=broken(how), length=length)
        case CutAtByte(how=how):
            return replace(whole, ending=broken(how), length=length)
        case _:
            return replace(whole, length=length)


def share(body: bytes, after_chunks: int, count: int) -> int:
    """Bytes of a body that stand for that many of its chunks; never all of it."""
    return len(body) * min(after_chunks, count) // (count + 1)


def broken(how: End) -> Ending:
    """How a body ends whose length was announced: no clean end is possible before it."""
    return "reset" if how == "reset" else "drop"


def on_the_way(delivery: Delivery, reply: Reply) -> Delivery:
    """The delivery with faults that know only bytes."""
    match reply.fault:
        case CutAtByte(at_byte=at, how=how):
            return Delivery(parcels=up_to(delivery.parcels, at), ending=how)
        case InvalidUtf8():
            spoilt = (replace(parcel, data=parcel.data.replace(BAD, b"\xff")) for parcel in delivery.parcels)
            return replace(delivery, parcels=tuple(spoilt))
        case SplitUtf8():
            return replace(delivery, parcels=tuple(half for parcel in delivery.parcels for half in halves(parcel)))
        case _:
            return delivery


def up_to(parcels: tuple[Parcel, ...], at_byte: int) -> tuple[Parcel, ...]:
    """The parcels as far as they lie before a byte."""
    kept = []
    for parcel in parcels:
        if at_byte <= 0:
            break
        kept.append(replace(parcel, data=parcel.data[:at_byte]))
        at_byte -= len(parcel.data)
    return tuple(kept)


def halves(parcel: Parcel) -> tuple[Parcel, Parcel]:
    """A parcel in two: split after the first byte of its first character of several bytes, else in the middle."""
    first = next((index for index, byte in enumerate(parcel.data) if byte >= 0x80), None)
    at = len(parcel.data) // 2 if first is None else first + 1
    return replace(parcel, data=parcel.data[:at]), Parcel(data=parcel.data[at:])
