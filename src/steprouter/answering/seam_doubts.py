"""Why what a model says that was asked in words to go on is no continuation, though nothing of it was said before.

Measured 2026-11 on SmolLM2-135M and Qwen2.5-Coder-0.5B: asked in words, they excuse themselves, hand back the quoted
end, begin the answer anew in other words, or say the end again and stop. An error that carries what was shown is worth
more than such an answer.
"""

from __future__ import annotations

import re

from .continuing_language import SMALL_WORDS
from .seam_overlap import START_OVER_CHARS, STRONG_CHARS, repeats
from .seam_preambles import COURTESIES

NO_MORE = "it adds nothing, though more was to come"
ABOUT_ITSELF = "it speaks about the answer instead of going on"
AMID_SENTENCE = "it begins a sentence in the middle of another"
AMID_PARAGRAPH = "it begins a paragraph in the middle of a sentence"
AGAIN = "it says again what was shown"
AMID_LINE = "it opens or closes a block of code in the middle of a line"
AMID_TABLE = "it writes prose under a row of a table"

TELLING_CHARS = 24
"""So much is to be heard before a continuation is judged by how it begins: a few words."""

SPEAKS = re.compile(
    r"(?:i['’]m|i am|we['’]re|we are) (?:\w+ )?(?:sorry|afraid|unable|not able|glad|happy|ready)\b|"
    r"i (?:\w+ )?(?:apologi[sz]e|understand)\b|as an? (?:\w+[ -]){0,3}(?:ai|assistant|chatbot|language model)\b|"
    r"i (?:can['’]?t|cannot|can not|could not|couldn['’]t) (?:continue|assist|help|do|provide|see|complete)\b|"
    r"you(?:['’]ve| have) already|you(?:['’]re| are) right\b|(?:\w+ ){1,4}(?:was|got) cut[ -]off|"
    r"(?:i will|i['’]ll|let me|you can|you may|please) (?:\w+ )?continue\b|"
    r"this (?:is|was) the (?:end|rest|continuation) of (?:your|my|the)\b|"
    r"(?:your|the|my) (?:last|previous|original) (?:message|sentence|answer|response|text)\b|"
    r"es tut mir leid|lo siento|me disculpo|lamento|je suis (?:vraiment )?désolée?|mi dispiace|sinto muito|"
    r"przepraszam|мне жаль|прошу прощения|对不起|很抱歉|抱歉|對不起|申し訳|すみません|죄송",
    re.IGNORECASE,
)
"""How a model begins that cannot, will not, or wants to know what to do."""

OPENERS = frozenset(
    word
    for script in ("latin", "cyrillic")
    for words in SMALL_WORDS[script].values()
    for word in words.split()
    if len(word) > 1
) | {"here", "there", "please", "sorry", "certainly", "sure", "okay", "they", "he", "she", "we", "these", "what", "how"}
"""Words that are written with a capital only where a sentence begins, or a name: "The Hague"."""

BEFORE_SPEECH = "\"'“”„«»「"
"""After these somebody else may speak."""

GOES_ON = ",=+&(/"
"""Marks with which no sentence ends."""

LAST_SENTENCE = re.compile(r"(?:\A|[.!?\n\u3002\uff01\uff1f])\s*([^.!?\n\u3002\uff01\uff1f]{1,16})\Z")
LONGEST_BEGUN = 20
FENCE = ("```", "~~~")
COURTEOUS = re.compile(rf"(?:{COURTESIES})(?!\w)", re.IGNORECASE)
FIRST_WORDS = re.compile(r"([^\W\d_]+)(?:['’]\w+)?(?:[ ,]+(\w+))?")
BLANK_LINE = re.compile(r"[^\S\n]*\n[^\S\n]*\n")


def doubt(rest: str, text: str, *, start: str, expected: str) -> str | None:
    """Why `rest` does not go on with `text`; None if it may.

    Args:
        rest: What is new, with the white space before it.
        text: What was shown; no white space at its end.
        start: The same, without white space at its beginning.
        expected: What the broken attempt had said after it.
    """
    new, wanted = rest.lstrip(), expected.lstrip()
    is_expected = bool(wanted) and new.startswith(wanted)
    if not new or (is_expected and len(wanted) >= STRONG_CHARS):
        return None
    if speaks(rest, text):
        return ABOUT_ITSELF
    if is_expected:
        return None
    if is_json_open(text, start) and wanted and (new.startswith(FENCE) or (new[0] == start[0] != wanted[0])):
        return AGAIN
    if is_passage(new, text):
        return AGAIN
    is_same_line = "\n" not in rest[: len(rest) - len(new)]
    if new.startswith(FENCE) and is_same_line:
        return AMID_LINE
    if is_row(text) and not (is_same_line or BLANK_LINE.match(rest) or new[0] == "|"):
        return AMID_TABLE
    if not is_amid_sentence(text, expected):
        return None
    if BLANK_LINE.match(rest):
        return AMID_PARAGRAPH
    return AMID_SENTENCE if begins_sentence(new) else None


def speaks(rest: str, text: str) -> bool:
    """Whether a sentence, be it one that was begun, comes to speak about the answer or to whoever asked."""
    new = rest.lstrip()
    if text[-1:] in BEFORE_SPEECH:
        return False
    if SPEAKS.match(new) or ((found := COURTEOUS.match(new)) is not None and new[found.end() :][:1] in ("!", "\uff01")):
        return True
    begun = LAST_SENTENCE.search(text[-LONGEST_BEGUN:])
    return begun is not None and SPEAKS.match(begun[1] + rest) is not None


def is_passage(new: str, text: str) -> bool:
    """Whether a text begins with a passage that was shown, and is no row or refrain."""
    opening = new[:START_OVER_CHARS]
    return len(opening) == START_OVER_CHARS and text.count(opening) == 1 and not repeats(opening, len(opening))


def is_row(text: str) -> bool:
    """Whether a text ends with a whole row of a table."""
    row = text[text.rfind("\n") + 1 :].strip()
    return len(row) > 1 and row[0] == row[-1] == "|"


def is_amid_sentence(text: str, expected: str) -> bool:
    """Whether a text ends in a sentence of prose, of which more was to come on the same line."""
    gap = expected[: len(expected) - len(expected.lstrip())]
    return (text[-1:].isalnum() or text[-1:] in GOES_ON) and bool(gap) and "\n" not in gap


def begins_sentence(new: str) -> bool:
    """Whether a text begins as only a sentence does; a name has a capital in its second word too."""
    found = FIRST_WORDS.match(new)
    if found is None or not found[1][0].isupper():
        return False
    if COURTEOUS.match(new):
        return True
    return found[1].casefold() in OPENERS and found[2] is not None and not found[2][0].isupper()


def is_json_open(text: str, start: str) -> bool:
    """Whether a text begins as JSON does and is inside the outermost value, as far as brackets tell."""
    return start[:1] in ("{", "[") and sum(map(text.count, "{[")) > sum(map(text.count, "}]"))
