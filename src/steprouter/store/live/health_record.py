"""What all processes know of a deployment, as a value and as the text that Redis keeps of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from urllib.parse import quote, unquote

from steprouter.answering.breaker import Breaker, decoded, encoded

VERSION = 1
"""Of the text. A reader skips what is newer than it knows; a writer never changes it."""

BREAKER_VERSION = int(encoded(Breaker()).partition(" ")[0])
"""Of the breaker's own text at its end."""

MARKS = 8
"""Writes a record remembers. Who lost the reply to a write looks for its mark; so many others seldom write first."""

MARK = re.compile(r"[0-9a-f]{8}")

MOST_BYTES = 4096
"""A record has some 400; a longer one is none of ours."""

LARGEST = 2**53
"""Times above it are none."""

MOST_REVISIONS = 2**40
"""Then it counts from 1 again: what comes in as text may claim any number."""


class Unread(StrEnum):
    """Why a text is no record."""

    NEWER = "newer"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """What stands in the way of a deployment beside its breaker. Times are Unix times in seconds, 0 is never.

    Attributes:
        limited_until: Not to be asked before: it refused for too many requests, or for want of money.
        limited_at: When that was said; it counts no more once somebody has let the deployment in again since.
        out: Why it is out until its configuration changes; empty if it is not.
        out_at: When that was said last, or taken back.
    """

    limited_until: float = 0.0
    limited_at: float = 0.0
    out: str = ""
    out_at: float = 0.0

    @property
    def alone_until(self) -> float:
        """Not to be asked before; 0 if it may be asked now."""
        return 0.0 if not self.out and self.limited_at <= self.out_at else self.limited_until

    def merged(self, other: Marks) -> Marks:
        """Both together, in either order the same: what was said last."""
        said = max((self.out_at, self.out), (other.out_at, other.out))
        at, until = max((self.limited_at, self.limited_until), (other.limited_at, other.limited_until))
        merged = Marks(limited_until=until, limited_at=at, out=said[1], out_at=said[0])
        return self if merged == self else merged


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What all processes know of a deployment.

    Attributes:
        breaker: Its circuit breaker.
        marks: What else stands in the way.
        revision: How often it was written.
        writes: The marks of the last writes, the newest last; each write has one of its own.
    """

    breaker: Breaker = field(default_factory=Breaker)
    marks: Marks = field(default_factory=Marks)
    revision: int = 0
    writes: tuple[str, ...] = ()

    def written(self, mark: str) -> Record:
        """The record as one more write leaves it."""
        revision = self.revision + 1 if self.revision + 1 < MOST_REVISIONS else 1
        return replace(self, revision=revision, writes=(*self.writes, mark)[-MARKS:])


def text_of(record: Record) -> bytes:
    """The record as words that spaces separate: version, revision, writes, marks, and the breaker's own text."""
    marks = record.marks
    out = f"={quote(marks.out, safe='', errors='surrogatepass')}"
    words = [
        str(VERSION),
        str(record.revision),
        "." + ".".join(record.writes),
        repr(marks.limited_until),
        repr(marks.limited_at),
        out,
    ]
    return " ".join([*words, repr(marks.out_at), encoded(record.breaker)]).encode()


def read_record(text: bytes) -> Record | Unread:
    """The record of a text, or why it is none."""
    if len(text) > MOST_BYTES:
        return Unread.BROKEN
    try:
        version, _, rest = text.decode().partition(" ")
        if int(version) != VERSION:
            return Unread.NEWER if int(version) > VERSION else Unread.BROKEN
        revision, writes, until, at, out, out_at, breaker = rest.split(" ", 6)
        marks = Marks(limited_until=moment(until), limited_at=moment(at), out=told(out), out_at=moment(out_at))
        number = int(revision)
        if not 0 < number < MOST_REVISIONS:
            return Unread.BROKEN
        known = decoded(breaker)
        if known is None:
            return Unread.NEWER if int(breaker.partition(" ")[0]) > BREAKER_VERSION else Unread.BROKEN
        return Record(breaker=known, marks=marks, revision=number, writes=read_writes(writes.split(".")[1:]))
    except ValueError:
        return Unread.BROKEN


def moment(word: str) -> float:
    """A Unix time.

    Raises:
        ValueError: It is none.
    """
    seconds = float(word)
    if not 0 <= seconds < LARGEST:
        raise ValueError(f"a time must be from 0 to {LARGEST}, got {word!r}")
    return seconds


def told(word: str) -> str:
    """A quoted text.

    Raises:
        ValueError: It is none.
    """
    if not word.startswith("="):
        raise ValueError(f"a text begins with =, got {word!r}")
    return unquote(word[1:], errors="surrogatepass")


def read_writes(marks: Sequence[str]) -> tuple[str, ...]:
    """The marks of writes.

    Raises:
        ValueError: They are none.
    """
    found = tuple(mark for mark in marks if mark)
    if len(found) > MARKS or not all(MARK.fullmatch(mark) for mark in found):
        raise ValueError(f"{MARKS} marks of 8 hexadecimal digits at most, got {found!r}")
    return found
