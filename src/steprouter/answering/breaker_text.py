"""A circuit breaker as text, which is how processes share it."""

from __future__ import annotations

from dataclasses import fields
from typing import Any
from urllib.parse import quote, unquote

from .breaker_state import Breaker, Bucket
from .breaker_window import BUCKETS

LARGEST = 2**53
"""Above it Lua, whose numbers are doubles, miscounts; a text that says more is broken."""

VERSION = 1
"""Of the text form; a newer version is not guessed at."""

PLAIN = tuple(field.name for field in fields(Breaker) if field.name != "buckets")
COUNTS = tuple(field.name for field in fields(Bucket))


def encoded(breaker: Breaker) -> str:
    """The breaker as words that spaces separate: the version, the fields in their order, then its buckets.

    Times are seconds as decimal numbers, texts are quoted as in a URL behind `=`; a bucket is `index:calls:…`.
    """
    values = [getattr(breaker, name) for name in PLAIN]
    words = [f"={quote(v, safe='', errors='surrogatepass')}" if isinstance(v, str) else repr(v) for v in values]
    window = [":".join(str(getattr(bucket, name)) for name in COUNTS) for bucket in breaker.buckets]
    return " ".join([str(VERSION), *words, *window])


def decoded(text: str) -> Breaker | None:
    """The breaker of such a text; None if it is broken or was written by a newer version."""
    try:
        version, *words = text.split(" ")
        if int(version) != VERSION:
            return None
        known: dict[str, Any] = {
            name: read_field(word, type(getattr(Breaker(), name)))
            for name, word in zip(PLAIN, words[: len(PLAIN)], strict=True)
        }
        window = tuple(read_bucket(word) for word in words[len(PLAIN) :])
    except ValueError:
        return None
    return Breaker(**known, buckets=window) if len(window) <= BUCKETS else None


def read_field(word: str, kind: type[Any]) -> Any:
    """One field of a breaker.

    Raises:
        ValueError: It is none: no such text, not a number, negative, or too large.
    """
    if issubclass(kind, str):
        if not word.startswith("="):
            raise ValueError(f"a text begins with =, got {word!r}")
        return kind(unquote(word[1:], errors="surrogatepass"))
    number = kind(word)
    if not 0 <= number < LARGEST:
        raise ValueError(f"a number must be from 0 to {LARGEST}, got {word!r}")
    return number


def read_bucket(word: str) -> Bucket:
    """One bucket.

    Raises:
        ValueError: It is none.
    """
    numbers = [int(read_field(count, int)) for count in word.split(":")]
    return Bucket(**dict(zip(COUNTS, numbers, strict=True)))
