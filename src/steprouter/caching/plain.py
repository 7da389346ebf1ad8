"""A text as it is read: disguises undone where that is certain, and no text where it is not."""

from __future__ import annotations

import re
import unicodedata

from ..redaction.folding import fold

LONGEST_CHARS = 2_000
"""Longer texts are not compared by meaning: they are documents, and no reading of words says what is asked of them."""

UNREADABLE = re.compile(
    # All but Latin letters without combining marks, and signs that stand for themselves (currencies, arrows, emoji).
    "[^\t-\r\x20-\x7e\xa0-\u024f\u1e00-\u1eff\u2010-\u2027\u2030-\u205e\u20a0-\u20c0\u2190-\u2bff"
    "\U0001f300-\U0001faff]|[\u0180-\u01c3]"
)
DIRECTED = re.compile("[\u202a-\u202e\u2066-\u2069]")
"""Marks that show a text in another order than it has: what its author saw is not known."""

ODD_MARKS = 4
CROWDED = re.compile(f"[\u0300-\u036f]{{{ODD_MARKS},}}")
"""No language writes so many marks over one letter, and composing long runs of them takes quadratic time."""

SAME_SIGNS = str.maketrans({"\u2018": "'", "\u2019": "'", "\u02bc": "'", "\u2032": "'", "\u00b4": "'"}) | str.maketrans(
    dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb\u2033", '"')
)
"""One sign for all apostrophes and one for all quotation marks."""


def plain(text: str) -> str | None:
    """The text with plain signs for unusual ones; None if it cannot be read surely.

    Signs without width go, digits, spaces, dashes and full-width signs become ASCII, quotation marks one kind. What
    only looks alike (letters of other scripts) is left, and makes the text one that cannot be read; so do marks of
    direction. Superscripts and fractions stay what they are: Unicode's compatible form would make 10² to 102.
    """
    if text.isascii():
        return None if UNREADABLE.search(text) else text
    if DIRECTED.search(text) or CROWDED.search(text):
        return None
    simple = unicodedata.normalize("NFC", fold(text.translate(SAME_SIGNS)).text)
    return None if UNREADABLE.search(simple) else simple
