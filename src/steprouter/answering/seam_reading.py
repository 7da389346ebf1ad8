"""How the beginning of a continuation is read: what of it is new, what was said before, and what is not known yet.

Three things tell: how the end of what was shown begins the continuation (an echo), whether it begins as the whole
answer did (it starts over), and what the broken attempt had said already and nobody saw (what to expect next).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from .seam_doubts import AGAIN, NO_MORE, TELLING_CHARS, doubt
from .seam_overlap import (
    ENOUGH_CHARS,
    FEW_CHARS,
    IDEOGRAPH,
    SOME_CHARS,
    START_OVER_CHARS,
    STRONG_CHARS,
    borders,
    covers_last_word,
    is_alike,
    is_enough,
    is_opening,
    is_telling,
    repeats,
)
from .seam_preambles import may_become_preamble, preamble_chars
from .seam_stops import QUOTING

ALIKE_CHARS = 20
"""What begins as the whole answer did for so long is listened to for longer: it may start over in other words."""

OPENING_FENCE = re.compile(r"\s*(```+|~~~+)[ \t]*[\w+#.-]+[^\n`]*\n")
"""A fence with a language; one without may close the block that is open."""

REPEATING = "it may say the end again or go on, and the text repeats itself"
ANOTHER_WAY = "it starts over and goes another way"


class Promise(StrEnum):
    """What a model that goes on was told, and so what may come back."""

    EXACT = "exact"  # the provider itself replays what follows
    PARTIAL_TURN = "partial_turn"  # the next token of a partial turn; a server may send the whole turn again
    ASKED = "asked"  # asked in words to go on, it may do anything


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """How a continuation is joined to what was shown.

    Attributes:
        how: It went on (`continued`), said the end again first (`overlap`), or began at the start (`started_over`).
        text: What of its beginning is new.
        is_certain: Whether there was only one reading; else it is the likelier one.
        preamble_chars: Characters before it that only said that it would go on.
        dropped_chars: Characters of it that were shown before.
        added: White space put between the two.
    """

    how: Literal["continued", "overlap", "started_over"]
    text: str
    is_certain: bool = True
    preamble_chars: int = 0
    dropped_chars: int = 0
    added: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unjoinable:
    """Why a continuation cannot be joined; nothing of it is shown.

    Attributes:
        why: In words.
        at_char: Where in the text that was shown it goes another way; None where that is not the trouble.
    """

    why: str
    at_char: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What a continuation has to be joined to.

    Attributes:
        text: What the model was told of the answer so far; no white space at its end.
        expected: What the broken attempt said after that, seen or not; empty where it ended there.
        start: `text` without white space at its beginning, as a model that starts over says it.
        is_in_code: Whether it ends inside a fenced block.
        promise: What the model was told to do.
    """

    text: str
    expected: str
    start: str
    is_in_code: bool
    promise: Promise

    @property
    def next_word(self) -> str:
        """What was expected, without the white space before it."""
        return self.expected.lstrip()

    @property
    def gap(self) -> str:
        """The white space before what was expected; only its beginning where nothing is known to follow it."""
        return self.expected[: len(self.expected) - len(self.next_word)]


def preamble(heard: str, before: Before, *, is_late: bool) -> int | None:
    """How much of a beginning only says that it will go on, or opens the block of code again; None is not known yet.

    What is left has to be asked about once more, for some say both.
    """
    if before.promise is not Promise.ASKED:
        return 0
    wanted, chars = before.next_word, preamble_chars(heard)
    is_expected = len(wanted) >= STRONG_CHARS and heard.lstrip().startswith(wanted)
    if is_expected and not (chars and heard[chars:].lstrip().startswith(wanted)):
        return 0
    if chars:
        return chars
    if not is_late and may_become_preamble(heard):
        return None
    return reopened(heard, before, is_late=is_late) if before.is_in_code else 0


def reopened(heard: str, before: Before, *, is_late: bool) -> int | None:
    """How much of a beginning opens the block of code again in which the answer broke; None is not known yet."""
    text = heard.lstrip()
    line = text.find("\n") + 1
    begins_so = bool(text) and before.start.startswith(text[: line + SOME_CHARS])
    if begins_so and len(text) < line + SOME_CHARS and not is_late:
        return None
    if line and begins_so and len(text) > line:
        return 0  # it is the fence that the whole answer began with: the model starts over
    if (opened := OPENING_FENCE.match(heard)) is not None:
        return opened.end()
    return None if not is_late and text[:1] in ("`", "~") and not line else 0


def read(raw: str, before: Before, *, is_late: bool, is_end: bool) -> Joined | Unjoinable | None:
    """How to join a continuation of which `raw` is there so far; None while more is needed.

    Args:
        raw: Its beginning, after any preamble.
        before: What it is joined to.
        is_late: Whether to wait no longer, unless it is saying again what was shown.
        is_end: Whether it is all there is.
    """
    if before.promise is Promise.EXACT:
        return Joined(how="continued", text=raw)
    is_asked = before.promise is Promise.ASKED
    if is_asked and (quoting := QUOTING.match(raw)) is not None:
        raw = raw[quoting.end() :]
        is_late = is_late and len(raw) >= TELLING_CHARS  # what it hands back is still to be heard
    found = reading(raw, before, is_late=is_late, is_end=is_end)
    return doubted(found, before, is_late=is_late, is_end=is_end) if is_asked and isinstance(found, Joined) else found


def reading(raw: str, before: Before, *, is_late: bool, is_end: bool) -> Joined | Unjoinable | None:
    """As `read`, whether it makes sense or not."""
    text = raw.lstrip()
    if is_start_over(raw, text, before):
        return started_over(text, before, is_end=is_end)
    if not is_end and is_open(text, before, is_late=is_late):
        return None
    return settled(raw, text, before)


def doubted(found: Joined, before: Before, *, is_late: bool, is_end: bool) -> Joined | Unjoinable | None:
    """The same where it may be a continuation; None while that is not known."""
    new, wanted = found.text.lstrip(), before.next_word
    if is_end:
        is_expected = bool(wanted) and (wanted.startswith(new) or new.startswith(wanted))
        is_last = is_end_of(new.rstrip(), before.text) and not is_expected
        if is_last or (not new and (wanted or found.dropped_chars)):
            return Unjoinable(why=NO_MORE)
        if is_enough(new) and before.start.startswith(new) and not (is_expected and len(wanted) >= STRONG_CHARS):
            return Unjoinable(why=AGAIN, at_char=len(before.text) - len(before.start) + len(new))
    elif is_too_little(new, wanted) and (not new or found.dropped_chars or not is_late):
        return None  # what comes after words that were dropped has not been waited for yet
    elif is_enough(new) and new in before.text:
        return None
    why = doubt(found.text, before.text, start=before.start, expected=before.expected)
    return found if why is None else Unjoinable(why=why)


def is_too_little(new: str, wanted: str) -> bool:
    """Whether too little of a beginning is there to be judged, unless it is what was expected."""
    return len(new) < TELLING_CHARS and not (len(wanted) >= STRONG_CHARS and new.startswith(wanted))


def is_start_over(raw: str, text: str, before: Before) -> bool:
    """Whether a continuation begins as the whole answer did, for long enough to be no chance."""
    opening = text[: min(START_OVER_CHARS, agreement(before.start, text))]
    is_long = is_opening(opening) if before.promise is Promise.ASKED else len(opening) >= START_OVER_CHARS
    if not is_long or repeats(opening, len(opening)):
        return False
    wanted = before.next_word
    return len(wanted) < STRONG_CHARS or not text.startswith(wanted) or lacks_space(raw, before)


def lacks_space(raw: str, before: Before) -> bool:
    """Whether a partial turn is not gone on with, since the next token would have begun with white space."""
    return before.promise is Promise.PARTIAL_TURN and bool(before.gap) and not raw[:1].isspace()


def started_over(text: str, before: Before, *, is_end: bool) -> Joined | Unjoinable | None:
    """What is new after everything that was shown is said again."""
    start = before.start
    if not text.startswith(start):
        if start.startswith(text) and not is_end:
            return None
        why = AGAIN if start.startswith(text) else ANOTHER_WAY
        return Unjoinable(why=why, at_char=len(before.text) - len(start) + agreement(start, text))
    rest = text[len(start) :]
    if not rest and not is_end:
        return None
    # Rows and refrains: what starts over may as well be the next one.
    is_certain = not repeats(start, len(start))
    return Joined(how="started_over", text=rest, is_certain=is_certain, dropped_chars=len(start))


def is_open(text: str, before: Before, *, is_late: bool) -> bool:
    """Whether more text may change the reading of a beginning."""
    is_asked = before.promise is Promise.ASKED
    if not text:
        return not is_late
    if text in before.text:
        # It was said before and may go on so. What is too long to be chance is not shown twice because it is late.
        is_start = before.start.startswith(text) and len(text) >= FEW_CHARS
        return not is_late or (is_asked and (is_start or is_enough(text)))
    wanted = before.next_word
    is_expected = bool(wanted) and text.startswith(wanted)
    if is_asked and not is_late and not is_expected and agreement(before.start, text) >= ALIKE_CHARS:
        return True
    lengths = (0, *borders(before.text, text))
    return any(
        len(rest) < len(wanted) and wanted.startswith(rest)
        for length in lengths
        if (not is_late or (is_asked and length and is_echo(length, before)))
        for rest in (text[length:].lstrip(),)
    )


def settled(raw: str, text: str, before: Before) -> Joined | Unjoinable:
    """The reading, once there is enough to choose one."""
    wanted, is_asked = before.next_word, before.promise is Promise.ASKED
    found = borders(before.text, text)
    telling = [
        length
        for length in found
        if is_echo(length, before) or is_sent_again(raw, length, before) or is_whole(text, length, before)
    ]
    possible = [length for length in found if wanted and text[length:].lstrip().startswith(wanted)]
    agreeing = [length for length in possible if length in telling or agrees(text, length, before)]
    is_said = text in before.text
    if telling and is_sent_again(raw, telling[0], before):
        return overlapped(raw, text, telling[0], is_certain=True)
    if wanted and text.startswith(wanted):
        if not is_asked or not telling:
            is_sent = len(before.start) in found or lacks_space(raw, before)
            is_certain = not (possible or is_said) if is_asked else not is_sent
            return continued(raw, text, before, is_certain=is_certain)
        if len(wanted) < STRONG_CHARS or any(length in agreeing for length in telling):
            return Unjoinable(why=REPEATING)
        return continued(raw, text, before, is_certain=not is_said)
    if agreeing:
        return overlapped(raw, text, agreeing[0], is_certain=len(possible) == 1)
    if telling:
        if is_asked and repeats(before.text, telling[0]):
            return Unjoinable(why=REPEATING)
        # Where nothing is known of what was to come, a row or a refrain may be that.
        is_certain = not is_asked or (not possible and (bool(wanted) or telling[0] >= START_OVER_CHARS))
        return overlapped(raw, text, telling[0], is_certain=is_certain)
    if is_alike(text, before.start[: len(text)]):
        return Unjoinable(why="it starts over in other words", at_char=0)
    is_sent = before.start.startswith(text) or len(before.start) in found
    is_certain = not (is_sent or (is_asked and (found or is_said)))
    return continued(raw, text, before, is_certain=is_certain)


def agrees(text: str, length: int, before: Before) -> bool:
    """Whether, after some words that are said again, a text goes on as expected."""
    is_word = not before.text[-length - 1 : -length].isalnum() and text[length : length + 1].isspace() == bool(
        before.gap
    )
    return is_word or len(before.next_word) >= STRONG_CHARS


def is_echo(length: int, before: Before) -> bool:
    """Whether an end that is said again is too long to be chance."""
    if before.promise is Promise.PARTIAL_TURN:
        # Who goes on from a partial turn repeats nothing; a server may send the whole turn again.
        is_long = length >= START_OVER_CHARS or (length == len(before.start) and length >= ENOUGH_CHARS)
        return is_long and not repeats(before.text, length)
    is_unfinished = not before.gap
    return is_telling(before.text, length) or (is_unfinished and covers_last_word(before.text, length))


def is_end_of(new: str, text: str) -> bool:
    """Whether some words are the last ones of a text."""
    return new[:1].isalnum() and text.endswith(new) and not text[-len(new) - 1 : -len(new)].isalnum()


def is_whole(text: str, length: int, before: Before) -> bool:
    """Whether all that was shown, or a word that stands alone on its last line, is said again before a new word."""
    if before.promise is not Promise.ASKED or not before.start[-1].isalnum() or text[length : length + 1].isalnum():
        return False
    line = before.start[before.start.rfind("\n") + 1 :]
    return length == len(before.start) or (length == len(line) >= STRONG_CHARS and line.isalnum())


def is_sent_again(raw: str, length: int, before: Before) -> bool:
    """Whether a partial turn of few words comes again."""
    return length == len(before.start) and lacks_space(raw, before)


def overlapped(raw: str, text: str, length: int, *, is_certain: bool) -> Joined:
    """What is new after an end that was said again."""
    dropped = len(raw) - len(text) + length
    return Joined(how="overlap", text=raw[dropped:], is_certain=is_certain, dropped_chars=dropped)


def continued(raw: str, text: str, before: Before, *, is_certain: bool) -> Joined:
    """What is new where it just goes on, with the white space that belongs in between."""
    gap, wanted = before.gap, before.next_word
    added = ""
    if wanted and text and (text.startswith(wanted) or wanted.startswith(text)):
        added = gap if raw == text else ""
        raw = gap + text
    elif before.promise is Promise.ASKED and gap:
        is_certain = is_certain and (bool(wanted) or raw.startswith(gap))
        if raw == text and (text[:1].isalnum() or not wanted):
            added, raw = gap, gap + text
    elif before.promise is Promise.ASKED and raw == text:
        # Models leave out white space at the beginning, and here nobody knows whether there was any.
        is_certain = is_certain and IDEOGRAPH.match(text) is not None
    return Joined(how="continued", text=raw, is_certain=is_certain, added=added)


def agreement(one: str, other: str) -> int:
    """How many characters two texts have in common at their beginning."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
