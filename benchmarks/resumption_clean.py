"""Whether a seam is clean, judged by rules of its own: nothing here knows how the library joins texts.

A seam is clean where the text that follows it begins with the same word as the answer that was never cut, or else
where the two parts read as one: a whole word before, white space of the right kind, nothing said twice or left out,
no remark about going on, no new beginning, no end in the middle of a sentence.
"""

from __future__ import annotations

import re

UNSPACED = re.compile("[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uff01-\uff60\u3001-\u303f]")
WORD = re.compile(r"\w+")
UNIT = re.compile(r"\s*(?:[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]|\w+|[^\w\s]+|\Z)")
"""White space with what follows it: a word, some marks, a character of a script without spaces, or the end."""

ENDS_SENTENCE = re.compile(r"(?:\A|\n)\s*[-*+]\Z|[.!?:;…。！？：；|`)}\]\"”'*>#]\s*\Z|\A\s*\Z")
OPENING = "([{"
"""After these any white space is right."""

CLOSING = ".,;:!?)]}…。，、！？；：\"'”’*`"
REMARK = re.compile(
    r"^\W*(?:(?:sure|certainly|of course|absolutely|okay|ok|got it|understood|apologi[sz]|i apologi[sz]e|sorry|"
    r"i['’]?m sorry|thank you|thanks|great|here(?:['’]s| is| are) (?:the|a|your|my|an)\b.{0,60}"
    r"(?:rest|continu|remain|complet|messag|respons)|continuing|to continue|let me|i['’]ll|i will|i understand|i see|"
    r"it (?:seems|looks|appears)|as an ai|"
    r"please (?:let|provide|continue|note|tell|give)|"
    r"you(?: (?:are|were|have|can)|['’]ve)\b.{0,40}(?:continu|complet|already|finish|stop|cover)|"
    r"your (?:last |previous )?(?:message|answer)|"
    r"the (?:last |previous )?(?:message|answer|response|text|conversation|code block)\b.{0,40}(?:cut|ended|was|is))"
    r"|(?:natürlich|entschuldigung|当然|好的|抱歉|对不起|以下是|继续|もちろん|申し訳|はい|続き))(?!\w)",
    re.IGNORECASE,
)
"""How a model begins that speaks about the answer or to whoever asked, instead of going on."""

REMARK_ANYWHERE = re.compile(
    r"cut off|left off|last message|previous message|where (?:it|i|we|you) (?:stopped|left|ended)|"
    r"continu\w* (?:exactly|from (?:where|there|here)|the (?:text|message|answer|list|sentence))|</? ?quote>|"
    r"<\|im_|code block that began|It ended with:",
    re.IGNORECASE,
)
REMARKED_CHARS = 160
"""So far into what follows a remark counts."""

LIST_MARK = re.compile(r"(?:\A|\n)\s*(?:\d+[.)]|[-*+])\Z")
LAST_ITEM = re.compile(r"(?:\A|\n)\s*(\d+)[.)] [^\n]*\Z")
NEXT_ITEM = re.compile(r"[^\n]*\n+\s*(\d+)[.)] ")

AGAIN_WORDS = 6
"""A run of as many words that was just shown is no chance so near the seam."""

NEAR_WORDS = 14
BEGINNING_WORDS = 5
BEGINNING_CHARS = 8
"""Of a script without spaces: a word there has one or two."""

LOST_WORDS = 4


def fault(asked: str, shown: str, new: str, uncut: str) -> str | None:
    """Why a seam is not clean; None where it is.

    Args:
        asked: The prompt.
        shown: What the consumer had seen when the answer broke.
        new: What he saw after that.
        uncut: The same answer of the model that broke, when nothing cut it.
    """
    assert uncut.startswith(shown), "the model is to be deterministic"
    expected = uncut[len(shown) :]
    if not new.strip():
        # Between two lines a model may find that its list is long enough.
        is_whole = not expected.strip() or ENDS_SENTENCE.search(shown) or kind_of_space(expected) == "line"
        return None if is_whole else "ends in the middle of a sentence"
    if REMARK_ANYWHERE.search(new[:REMARKED_CHARS]) and not REMARK_ANYWHERE.search(expected[:REMARKED_CHARS]):
        return "speaks about going on"
    if begins_alike(new, expected):
        return None
    return (
        broken_word(shown, new, expected)
        or wrong_space(shown, new, expected)
        or remark(new)
        or said_again(shown, new, expected)
        or left_out(new, expected)
        or wrong_item(shown, new, expected)
        or broken_table(shown, new)
        or new_sentence(asked, shown, new, expected)
    )


def begins_alike(new: str, expected: str) -> bool:
    """Whether the same comes first: white space and a whole word."""
    unit = UNIT.match(expected)
    if unit is None or not unit[0].strip() or not new.startswith(unit[0]):
        return False
    last, rest = unit[0][-1], new[unit.end() :]
    return not (is_joined_letter(last) and is_joined_letter(rest[:1]))


def is_joined_letter(char: str) -> bool:
    """Whether a character is a letter or digit of a script that has spaces between words."""
    return char.isalnum() and not UNSPACED.match(char)


def broken_word(shown: str, new: str, expected: str) -> str | None:
    """Whether a word is broken in two or two are glued together."""
    if is_joined_letter(shown[-1:]) and is_joined_letter(expected[:1]):
        return "was shown up to the middle of a word"
    if is_joined_letter(shown[-1:]) and is_joined_letter(new[:1]):
        return "glues two words together"
    return None


def kind_of_space(text: str) -> str:
    """None, some within a line, or a new line."""
    space = text[: len(text) - len(text.lstrip())]
    return "line" if "\n" in space else "space" if space else "none"


def wrong_space(shown: str, new: str, expected: str) -> str | None:
    """Whether the white space between the two cannot be right."""
    found, wanted = kind_of_space(new), kind_of_space(expected)
    first = new.lstrip()[:1]
    if found == "space" and first in CLOSING and wanted == "none" and first in ".,;:!?":
        return "puts a space before a mark"
    if found == wanted or not expected.strip() or shown[-1:] in OPENING:
        return None
    if found == "none":
        # A mark may follow where a word was to come, and so may anything after a bracket or in a script without spaces.
        is_free = not first.isalnum() or UNSPACED.match(first) is not None or shown[-1:] in "([{\"'`*_/-=<>|#"
        return None if is_free else "leaves white space out"
    if wanted == "none" and found == "space":
        is_free = is_joined_letter(shown[-1:]) or shown[-1:] in CLOSING + "*_=<>-+/|"
        return None if is_free else "puts white space where there is none"
    is_code = shown.count("```") % 2 == 1 and shown[-1:].isalnum()  # a line of code may end after a whole word
    is_free = ENDS_SENTENCE.search(shown) is not None or wanted == "none" or is_code
    return None if is_free else f"has {found} where {wanted} was"


def remark(new: str) -> str | None:
    """Whether it begins by speaking about itself."""
    return "begins with a remark" if REMARK.match(new) else None


def words_of(text: str) -> list[str]:
    """Words without regard to case; a character each where a script has no spaces."""
    parts = UNSPACED.sub(lambda found: f" {found[0]} ", text.casefold())
    return WORD.findall(parts)


def said_again(shown: str, new: str, expected: str) -> str | None:
    """Whether words that were shown come again, though the uncut answer does not say them again."""
    before, after, usual = words_of(shown), words_of(new), words_of(expected)
    enough = BEGINNING_CHARS if UNSPACED.match("".join(after[:1])) else BEGINNING_WORDS
    if after[:enough] == before[:enough] and usual[:enough] != after[:enough] and len(after) >= enough:
        return "starts over"
    for length in range(min(len(before), len(after)), 0, -1):
        is_again = before[-length:] == after[:length] and usual[:length] != after[:length]
        # "with pip:" and a line "pip install" after it say no word twice.
        is_next = shown[-1:].isalnum() and new.lstrip()[:1].isalnum()
        if is_again and (length > 1 or (len(after[0]) > 1 and is_next)):
            return f"says {length} word(s) again"
    near = after[:NEAR_WORDS]
    told, later = " ".join(before[-40:]), " ".join(usual[: 4 * NEAR_WORDS])
    for at in range(len(near) - AGAIN_WORDS + 1):
        run = " ".join(near[at : at + AGAIN_WORDS])
        if f" {run} " in f" {told} " and f" {run} " not in f" {later} " and told.count(run) < 2:
            return "says a line again"
    return None


def left_out(new: str, expected: str) -> str | None:
    """Whether it goes on as the uncut answer does, some words later."""
    after, usual = words_of(new), words_of(expected)
    start = after[:LOST_WORDS]
    if len(start) < LOST_WORDS:
        return None
    for at in range(1, 8):
        if usual[at : at + LOST_WORDS] == start:
            return f"leaves {at} word(s) out"
    return None


def wrong_item(shown: str, new: str, expected: str) -> str | None:
    """Whether a list gets a second mark on one line, or goes on with the wrong number."""
    if LIST_MARK.search(shown) and re.match(r"\s*(?:\d+[.)]|[-*+])\s", new):
        return "puts a second mark before an item"
    last, following, usual = LAST_ITEM.search(shown), NEXT_ITEM.match(new), NEXT_ITEM.match(expected)
    if last is None or following is None or (usual is not None and usual[1] == following[1]):
        return None
    return None if int(following[1]) == int(last[1]) + 1 else "numbers an item wrongly"


def broken_table(shown: str, new: str) -> str | None:
    """Whether a row of a table is followed by a line that is none."""
    line = shown[shown.rfind("\n") + 1 :].strip()
    following = re.match(r"[ \t]*\n(?![ \t]*\n)[ \t]*([^|\s])", new)
    is_row = len(line) > 1 and line[0] == line[-1] == "|"
    return "breaks a table" if is_row and following is not None else None


def new_sentence(asked: str, shown: str, new: str, expected: str) -> str | None:
    """Whether a sentence begins in the middle of another."""
    if ENDS_SENTENCE.search(shown) or kind_of_space(new) != "space" or kind_of_space(expected) != "space":
        return None
    first = WORD.match(new.lstrip())
    if first is None or not first[0][:1].isupper() or expected.lstrip()[:1].isupper():
        return None
    second = WORD.search(new.lstrip(), first.end())
    if second is not None and second[0][:1].isupper():
        return None  # "Mr. Smith", "Los Angeles"
    is_name = first[0] in (*WORD.findall(asked), "I") or any(first[0] == word for word in WORD.findall(expected))
    return None if is_name or first[0].isupper() else "begins a sentence in the middle of another"
