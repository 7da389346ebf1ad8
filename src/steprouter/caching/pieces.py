"""A text cut into words, finished items and marks.

A *token* is a lower-case word of letters, a mark (`,`, `.`, `?`), or an item: one letter that names its facet, a
colon, and the value. Whatever is no plain word becomes an item here, to the letter.
"""

from __future__ import annotations

import re

from .amounts import amount
from .vocabulary import words

QUOTED = re.compile(r"```.*?```|`[^`\n]+`|\"[^\"\n]*\"|(?<!\w)'[^'\n]+'(?!\w)", re.DOTALL)
"""Code and quotations. Each alternative stops at the next sign of its kind, so no text is gone through twice."""

OPERATORS = re.compile(r"[*/^=<>+|~\\×÷−√∑∫]")
"""With one of these about, brackets say what belongs together."""

OPENING, CLOSING = "([{¿¡'", ".,;:!?…)]}'"
HARMLESS = frozenset("-–—…•·.,;:!?'\"()[]{}🙂😊🙏👋😀😃😄¿¡")
"""Signs that say nothing by themselves; others (👎, +, →) do."""

DASHES = frozenset("-–—")
CAPITALS = words("AM AN AS AT BE DO HI IN IS IT ME NO ON OR PLS SO TO US WHO")
"""Names and abbreviations that are other words when written small."""

CONTRACTED = {
    "n't": ("not",),
    "'m": ("am",),
    "'re": ("are",),
    "'ve": ("have",),
    "'ll": ("will",),
    "'d": ("would",),
}
WHOLE = {
    "can't": ("can", "not"),
    "won't": ("will", "not"),
    "shan't": ("shall", "not"),
    "ain't": ("not",),
    "let's": ("let", "us"),
    "y'all": ("you",),
    "o'clock": ("o'clock",),
}
IS = words("it that what who where how when why there here he she this which")
"""`'s` after these is a verb; after others it says whose something is."""

PARTS = re.compile(r"[^\W\d_]+(?:[-/][^\W\d_]+)+")
DOTTED = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]?")
ABBREVIATIONS = words("mr mrs ms dr vs st e.g i.e etc approx incl")
CODE = re.compile(r"[^\W_]+(?:-[^\W_]+)*")
"""Letters and digits such as AB-123, whose case says nothing."""


def pieces(text: str) -> list[str]:
    """The tokens of a readable text, in order."""
    tokens: list[str] = []
    has_operators = OPERATORS.search(text) is not None
    is_shouted = text.isupper()
    start = 0
    for quoted in QUOTED.finditer(text):
        tokens += prose(text[start : quoted.start()], has_operators=has_operators, is_shouted=is_shouted)
        if value := quoted[0].strip("`\"'").strip():
            tokens.append(f"x:{value}")
        start = quoted.end()
    return tokens + prose(text[start:], has_operators=has_operators, is_shouted=is_shouted)


def prose(text: str, *, has_operators: bool, is_shouted: bool) -> list[str]:
    """The tokens of what stands between quotations."""
    tokens: list[str] = []
    for chunk in text.split():
        if chunk in DASHES and tokens and tokens[-1][:2] == "n:":
            tokens.append("w:-")
            continue
        if chunk.isalpha() and not (chunk.isupper() and not is_shouted and is_name(chunk, tokens)):
            tokens.append(chunk.lower())
        else:
            tokens += uneven(chunk, has_operators, is_shouted or not chunk.isupper())
    return tokens


def is_name(chunk: str, before: list[str]) -> bool:
    """Whether capitals make it another word than its small letters."""
    return chunk in CAPITALS or (chunk == "A" and bool(before) and before[-1] not in {".", "?"})


def uneven(chunk: str, has_operators: bool, is_common: bool) -> tuple[str, ...]:
    """The tokens of a chunk that is more than letters."""
    core = chunk.rstrip(",;:.!?…'") if has_operators or "(" in chunk[1:] else chunk.lstrip(OPENING).rstrip(CLOSING)
    tail = chunk[chunk.rfind(core) + len(core) :] if core else chunk
    if not core or all(sign in HARMLESS for sign in core):
        return mark(tail or core) if set(chunk) <= HARMLESS and not has_operators else (f"w:{chunk}",)
    if tail.startswith("!") and len(core) <= 3 and (core.isdecimal() or len(core) == 1):
        return (f"w:{core}!", *mark(tail[1:]))
    lower = core.lower()
    is_short = lower in ABBREVIATIONS or DOTTED.fullmatch(core) is not None
    ending = () if is_short and tail == "." else mark(tail)
    if core.isalpha():
        named = not is_common and (core in CAPITALS or core == "A")
        return (f"w:{core}" if named else lower, *ending)
    return (*word_or_item(core, lower), *ending)


def mark(tail: str) -> tuple[str, ...]:
    """What the signs after a word say of the sentence."""
    if "?" in tail:
        return ("?",)
    if "." in tail or "!" in tail or "…" in tail:
        return (".",)
    return (",",) if tail and tail[0] in ",;:—–-" else ()


def word_or_item(core: str, lower: str) -> tuple[str, ...]:
    """The tokens of something with other signs than letters in it."""
    if "'" in lower and lower.replace("'", "").isalpha():
        return apostrophe(lower)
    if lower.endswith("'s"):
        return word_or_item(core[:-2], lower[:-2])
    if (found := amount(lower)) is not None:
        return (found,)
    if PARTS.fullmatch(core):
        signs = re.split(r"([-/])", lower)
        return tuple(part if part != "/" else "w:/" for part in signs if part != "-")
    if DOTTED.fullmatch(core):
        joined = lower.replace(".", "")
        return (f"w:{joined.upper()}",) if joined.upper() in CAPITALS and core.isupper() else (joined,)
    if core == "&":
        return ("and",)
    return (f"w:{lower if CODE.fullmatch(core) else core}",)


def apostrophe(word: str) -> tuple[str, ...]:
    """The words of a contraction or of a genitive."""
    if word in WHOLE:
        return WHOLE[word]
    for ending, spelt in CONTRACTED.items():
        if word.endswith(ending):
            return (*apostrophe(word[: -len(ending)]), *spelt)
    if word.endswith("'s"):
        return (word[:-2], "is") if word[:-2] in IS else (word[:-2],)
    return (word.replace("'", ""),) if word.endswith("'") else tuple(part for part in word.split("'") if part)
