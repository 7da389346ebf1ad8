"""A copy of a text in which disguises are undone, and the way back from its places to the text's.

Digits of any script become ASCII digits, full-width signs and unusual spaces and dashes their plain forms (each one
character for one), and characters without width are left out. So a card number in full-width digits, or with a
zero-width space inside, is found; the hidden characters are then part of the finding.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from .shape import Span

# Soft hyphen, joiners and fillers without width, marks of direction, word joiner, variation selectors, byte order mark,
# tags (an invisible alphabet). Written as escapes: in the clear nobody could review them.
WIDTHLESS = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff"
)
SPACES = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
DASHES = "\u2010-\u2015\u2212\ufe58\ufe63"
PLAIN = re.compile(rf"[{SPACES}]|[{DASHES}]|[\uff01-\uff5e]|(?![0-9])\d")
VISIBLE = re.compile(rf"[^{WIDTHLESS}]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """A text as it is searched.

    Attributes:
        text: The plain copy.
        pieces: Where its unbroken stretches begin, in the copy and in the original, in order.
    """

    text: str
    pieces: tuple[Span, ...]


def plain(match: re.Match[str]) -> str:
    """One ASCII character for one that looks or counts like it."""
    sign = match[0]
    if "\uff01" <= sign <= "\uff5e":
        return chr(ord(sign) - 0xFEE0)
    digit = unicodedata.decimal(sign, None)
    if digit is not None:
        return str(digit)
    return " " if unicodedata.category(sign) == "Zs" else "-"


def fold(text: str) -> Folded:
    """The plain copy of a text; of ASCII text it is the text itself."""
    if text.isascii():
        return Folded(text=text, pieces=((0, 0),))
    stretches, pieces, length = [], [], 0
    for match in VISIBLE.finditer(text):
        stretches.append(match[0])
        pieces.append((length, match.start()))
        length += len(match[0])
    return Folded(text=PLAIN.sub(plain, "".join(stretches)), pieces=tuple(pieces) or ((0, 0),))
