"""What one kind of secret looks like: a pattern, and a question asked of each match.

The patterns keep two rules, which a test reads off the compiled form, so that no text makes them slow:
every repetition is bounded and either of fixed length, an optional single, or possessive (it never gives
back what it took); and each begins with a literal or with a look at the character before, so that a long
run is read from its first character only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .kinds import Kind

Span = tuple[int, int]
Extent = Callable[[re.Match[str]], Span | None]

BREAK = "\0\n"
"""Stands between the strings of a larger value; no pattern reads across the NUL."""

FIELD = "\0=\0\n"
"""Stands between a key and its string; only the patterns that ask for a label read across it."""

LABELLED = r"""[\\"'`*]{0,3}+[ \t]{0,4}+(?:\0=\0\n|[:=\#]{1,2}+>?|\bis\b)?[ \t]{0,4}+[\\"'`*]{0,3}+"""
"""What stands between a label in prose, JSON, YAML or Markdown and its value."""


def value_span(match: re.Match[str]) -> Span:
    """The group `value` if the pattern has one, else all of it."""
    return match.span("value" if "value" in match.re.groupindex else 0)


def value_if(accept: Callable[[str], bool]) -> Extent:
    """The value, if a predicate on its text accepts it."""

    def extent(match: re.Match[str]) -> Span | None:
        start, end = value_span(match)
        return (start, end) if accept(match.string[start:end]) else None

    return extent


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One way a kind is written.

    Attributes:
        kind: What it is.
        pattern: Finds candidates in folded text (see `folding`).
        extent: The part of a match that is meant; `None` if the match is something else.
        hints: Lower-case text of which at least one stands in whatever matches; empty if nothing is known.
            A text without them is not searched.
    """

    kind: Kind
    pattern: re.Pattern[str]
    extent: Extent = value_span
    hints: tuple[str, ...] = ()

    def spans(self, text: str) -> Iterator[Span]:
        """Where it stands in the text, in order; after a refused match the search goes on inside it."""
        position = 0
        while match := self.pattern.search(text, position):
            span = self.extent(match)
            if span is not None:
                yield span
            position = max(match.start() + 1, span[1] if span else 0)
