"""Words and patterns in what was asked: folded so that disguises do not hide them, searched in linear time."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from functools import lru_cache
from typing import Any

from ..errors import ConfigError

LARGEST_PROGRAM = 10_000
"""Instructions of a compiled pattern at most: RE2's work grows with them times the text where its automaton grows too
large. `[a-z]{1,900}q` has 1 800, `\\w` in six scripts' letters some 1 200."""

LOOKALIKES = str.maketrans(
    # Cyrillic, then Greek, then Latin letters that do not decompose; small ones with the shapes of their capitals.
    "АВЕЅІЈКМНОРСТУХԀԚԜӀаеорсухіјѕһԁԛԝӏквмнтΑΒΕΖΗΙΚΜΝΟΡΤΥΧαβεικνορτυχɑɡıłøđſ",
    "ABESIJKMHOPCTYXDQWlaeopcyxijshdqwlkbmhtABEZHIKMNOPTYXabeikvoptuxagilods",
)
MARKS = re.compile(
    "[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe00-\ufe0f\ufe20-\ufe2f\U000e0100-\U000e01ef]"
)
"""Accents, strokes and variation selectors; not the vowel signs of scripts that write vowels so."""

FILLERS = frozenset("\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0")
"""Signs without width that Unicode does not count as format characters."""


class Folding(dict[int, str]):
    """What each sign of Unicode is folded to, worked out when it is first met.

    Sign by sign, because Unicode's normal form of a whole text sorts runs of accents, in quadratic time.
    """

    def __missing__(self, code: int) -> str:
        """What a sign is folded to."""
        sign = chr(code)
        is_seen = unicodedata.category(sign) != "Cf" and sign not in FILLERS
        plain = MARKS.sub("", unicodedata.normalize("NFKD", sign)) if is_seen else ""
        self[code] = plain.translate(LOOKALIKES).casefold().translate(LOOKALIKES)
        return self[code]


FOLDING = Folding()


def folded(text: str) -> str:
    """A text as keywords are looked for in it: without case, accents, signs without width and look-alike letters.

    Full-width and mathematical letters, ligatures and the like become plain ones (Unicode's NFKD), Cyrillic, Greek and
    other letters that look like Latin ones those. What is not folded: digits for letters, letters with spaces between.
    """
    return text.lower() if text.isascii() else text.translate(FOLDING)


def keyword_of(text: str) -> str:
    """A keyword as it is looked for: folded, with single spaces."""
    return " ".join(folded(text).split())


def says(text: str, keywords: Collection[str]) -> bool:
    """Whether one of `keywords` stands in `text` as whole words; a space in it stands for any white space.

    Args:
        text: Folded.
        keywords: As `keyword_of` gives them.
    """
    for keyword in keywords:
        words = keyword.split(" ")
        # Looking for plain text first is so much quicker that the pattern hardly counts.
        if all(word in text for word in words) and re.search(expression(keyword), text):
            return True
    return False


@lru_cache(maxsize=1024)
def expression(keyword: str) -> re.Pattern[str]:
    """The keyword between others' ends. Nothing in it gives back, so it takes linear time."""
    words = r"\s++".join(map(re.escape, keyword.split(" ")))
    return re.compile(rf"(?<!\w){words}(?!\w)")


def searchable(text: str) -> bytes:
    """A text as patterns are looked for in it: full-width signs and all scripts' digits plain, none without width."""
    from ..redaction.folding import fold

    # RE2 reads UTF-8, which has no lone surrogates.
    return fold(text).text.encode("utf-8", "replace")


def finds(patterns: Collection[str], text: bytes) -> bool:
    """Whether one of `patterns` is found in what `searchable` gave."""
    return any(compiled(pattern).search(text) is not None for pattern in patterns)


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> Any:
    """RE2's form of a pattern.

    Raises:
        ImportError: google-re2 is not installed.
        re2.error, UnicodeEncodeError: RE2 cannot read it.
    """
    import re2

    options = re2.Options()
    options.log_errors = False  # which would go to stderr
    return re2.compile(pattern, options)


def check_patterns(who: str, patterns: Collection[str]) -> None:
    """Raise where a pattern cannot be used.

    Raises:
        ConfigError: google-re2 is missing, or a pattern is wrong, too large, or found in any text.
    """
    if not patterns:
        return
    try:
        import re2
    except ImportError:
        raise ConfigError(
            f"{who} has a regex, which needs google-re2, got none installed; pip install 'steprouter[regex]'"
        ) from None
    for pattern in sorted(patterns):
        try:
            made = compiled(pattern)
        except (re2.error, UnicodeEncodeError) as error:
            said = error.args[0].decode("utf-8", "replace") if isinstance(error, re2.error) else str(error)
            raise ConfigError(
                f"{who} must have regexes that RE2 can read, got {pattern!r}: {said}; RE2 has no look-around and no "
                "backreferences, see github.com/google/re2/wiki/Syntax"
            ) from None
        if made.programsize > LARGEST_PROGRAM:
            raise ConfigError(
                f"{who} must have regexes of {LARGEST_PROGRAM} instructions or less, got {pattern!r} with "
                f"{made.programsize}; make its repetitions smaller"
            )
        if all(made.search(text) is not None for text in (b"", b"x")):
            raise ConfigError(
                f"{who} must have regexes that not every text has, got {pattern!r}; it is found in an empty one"
            )
