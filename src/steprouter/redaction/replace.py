"""Replacing: what was found gives way to numbered placeholders, in a text or in a larger value."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from typing import TypeVar, cast

from .kinds import PLACEHOLDER, Finding, Kind, Redacted, placeholder
from .search import find
from .shape import BREAK, FIELD

Value = TypeVar("Value")


def redact(text: str, kinds: Collection[Kind] | None = None) -> Redacted:
    """The text with a placeholder for each finding, such as `<email-1>`; the same value has the same number.

    Redacting the result again changes nothing. Numbers that placeholders in the text already have are not given again.

    Args:
        text: Any text.
        kinds: Which kinds are replaced; all by default.
    """
    findings = find(text, kinds)
    replaced = rendered(text, findings, numbered(text, findings), start=0, end=len(text))
    return Redacted(text=replaced, findings=findings)


def redact_value(value: Value, kinds: Collection[Kind] | None = None) -> Value:
    """A value of the same shape with every string redacted, keys too; numbers run through the whole value.

    A key is the label of its string: of `{"password": "…"}` the string is replaced. What is no string stays as it is,
    numbers included.

    Args:
        value: What JSON can express, and tuples; never changed.
        kinds: Which kinds are replaced; all by default.

    Raises:
        TypeError: Something in it is none of these, so nobody knows what it holds.
        RecursionError: It is nested deeper than Python recurses.
    """
    parts = list(strings(value))
    # One search over all strings lets the numbers run through, and finds again elsewhere what a key gave away.
    joined = "".join(part + seam for part, seam in parts)
    findings = find(joined, kinds)
    return cast("Value", rebuilt(value, redacted_parts(joined, findings, parts)))


def numbered(text: str, findings: Sequence[Finding]) -> list[str]:
    """The placeholder of each finding; equal values of a kind have the same."""
    used = {(Kind(match["kind"]), int(match["number"])) for match in PLACEHOLDER.finditer(text)}
    last = dict.fromkeys(Kind, 0)
    names: dict[tuple[Kind, str], str] = {}
    for finding in findings:
        kind, value = finding.kind, text[finding.start : finding.end]
        if (kind, value) in names:
            continue
        last[kind] += 1
        while (kind, last[kind]) in used:
            last[kind] += 1
        names[kind, value] = placeholder(kind, last[kind])
    return [names[finding.kind, text[finding.start : finding.end]] for finding in findings]


def rendered(text: str, findings: Sequence[Finding], names: Sequence[str], *, start: int, end: int) -> str:
    """A stretch of the text with the findings in it replaced."""
    parts = []
    for place in range(bisect_left(findings, start, key=lambda finding: finding.start), len(findings)):
        finding = findings[place]
        if finding.start >= end:
            break
        parts += [text[start : finding.start], names[place]]
        start = finding.end
    return "".join([*parts, text[start:end]])


def strings(value: object) -> Iterator[tuple[str, str]]:
    """Each string in a value and the seam after it, keys before what they label.

    Raises:
        TypeError: Something in it is no JSON.
    """
    match value:
        case str():
            yield value, BREAK
        case dict():
            for key, item in value.items():
                if isinstance(key, str):
                    yield key, FIELD if isinstance(item, str) else BREAK
                yield from strings(item)
        case list() | tuple():
            for item in value:
                yield from strings(item)
        case None | bool() | int() | float():
            return
        case _:
            raise TypeError(f"only what JSON can express can be redacted, got {type(value).__name__!r}")


def redacted_parts(joined: str, findings: Sequence[Finding], parts: Sequence[tuple[str, str]]) -> Iterator[str]:
    """The strings of a value, redacted, in the same order."""
    names = numbered(joined, findings)
    start = 0
    for part, seam in parts:
        yield rendered(joined, findings, names, start=start, end=start + len(part))
        start += len(part) + len(seam)


def rebuilt(value: object, parts: Iterator[str]) -> object:
    """The value with its strings taken from `parts`."""
    match value:
        case str():
            return next(parts)
        case dict():
            return {(next(parts) if isinstance(key, str) else key): rebuilt(item, parts) for key, item in value.items()}
        case list():
            return [rebuilt(item, parts) for item in value]
        case tuple():
            return tuple(rebuilt(item, parts) for item in value)
        case _:
            return value
