"""Which kinds stand in a text at all: the question of a rule, in which most text takes a third of the time of `find`.

Each kind is looked for until its first hit, and numbers only near digits. Since the answer decides who may read the
text, some more disguises than in `find` are undone: escapes as in JSON inside a string, percent-encoded `@` and `+`.
Overlaps are not settled: digits that pass for a card and for a telephone number count as both.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from .folding import fold
from .kinds import PERSONAL_KINDS, PLACEHOLDER, Kind
from .search import SHAPES
from .shape import BREAK, FIELD

NEAR = 96
"""Characters on each side of a digit that are searched for numbers. The longest label with its separators has some
70, the longest account number goes on for 60 after its last digit."""

FAR_FROM_DIGITS = re.compile(rf"(?<![^0-9])[^0-9]{{{2 * NEAR + 64},}}+")
"""A long stretch without a digit; it is looked at from its first character only, so this takes linear time."""

NUMBERS = PERSONAL_KINDS - {Kind.EMAIL, Kind.MAC_ADDRESS}
"""The kinds of which each has a digit. The others are looked for in the whole text."""

ESCAPE = re.compile(r"\\(?:u(?P<code>[0-9A-Fa-f]{4})|[nrtbf])|%(?P<percent>40|2[Bb])")


def kinds_in(text: str, kinds: Collection[Kind]) -> frozenset[Kind]:
    """Those of `kinds` that stand in the text, in time linear in its length.

    Args:
        text: Any text, or several joined by `joined`.
        kinds: Which kinds are looked for.
    """
    plain = fold(text).text
    if ESCAPE.search(plain):
        # Both ways: `\\tel` may be a tabulator and "el", or a label after a backslash.
        plain = f"{plain}{BREAK}{fold(ESCAPE.sub(unescaped, plain)).text}"
    plain = PLACEHOLDER.sub("<>", plain)
    near = FAR_FROM_DIGITS.sub(ends, plain)
    lowered = plain.lower()
    found = set[Kind]()
    for shape in SHAPES:
        if shape.kind not in kinds or shape.kind in found:
            continue
        if shape.hints and not any(hint in lowered for hint in shape.hints):
            continue
        if next(shape.spans(near if shape.kind in NUMBERS else plain), None) is not None:
            found.add(shape.kind)
    return frozenset(found)


def ends(match: re.Match[str]) -> str:
    """The beginning and the end of a stretch, which are near digits."""
    return f"{match[0][:NEAR]}{BREAK}{match[0][-NEAR:]}"


def unescaped(match: re.Match[str]) -> str:
    """What an escape stands for; white space is a space."""
    if match["code"] is not None:
        return chr(int(match["code"], 16))
    if match["percent"] is not None:
        return "@" if match["percent"] == "40" else "+"
    return " "


def joined(value: object) -> str:
    """The texts and numbers of a value as one text, in which nothing is read across two of them but a key's label.

    Args:
        value: Anything; of what is neither text, number, mapping nor collection its `str` is taken. It may hold itself,
            and be nested however deep.
    """
    return "".join(pieces(value))


def pieces(value: object) -> Iterator[str]:
    """The texts of a value, each with what stands after it; their order does not matter."""
    waiting, seen = [value], set[int]()
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            yield item.replace("\0", "")  # which would part what the patterns read as one
            yield BREAK
        elif isinstance(item, Mapping | list | tuple | set | frozenset):
            if id(item) in seen:
                continue
            seen.add(id(item))
            if not isinstance(item, Mapping):
                waiting.extend(item)
                continue
            for key, below in item.items():
                if isinstance(below, str | int | float):
                    yield f"{key}{FIELD}"
                    yield from pieces(below)
                else:
                    waiting += [str(key), below]
        elif item is not None and not isinstance(item, bool):
            yield f"{item}{BREAK}"
