"""The words of a question, without the courtesies and marks that say nothing."""

from __future__ import annotations

from .english import TURNS
from .pieces import pieces
from .plain import plain
from .turns import ABOUT_WORDS, MARKS, REQUEST, matched, opening

LEAST_WORDS = 3
"""Of pairs of the same words that people gave another label to, the two that differ in fact were of one word."""

ENDING = " ?!.…"


def wording(text: str) -> tuple[str, ...]:
    """The words of a text in their order, lower-case; of one that cannot be read the text itself, but for its spaces.

    Nothing is put in other words here, no plural and no synonym. What only a mark says, the facets tell.
    """
    simple = plain(text)
    if simple is None:
        return (" ".join(text.split()),)
    tokens = pieces(simple)
    said: list[str] = []
    at, is_first = 0, True
    is_about_words = not ABOUT_WORDS.isdisjoint(tokens)
    while at < len(tokens):
        length, instead = opening(tokens, at) if is_first else (0, [])
        if length:
            said += instead
            is_first = not instead or instead[0] == REQUEST
            at += length
        elif (silent := silent_words(tokens, at)) and (is_first or not is_about_words):
            at += silent
        else:
            if tokens[at] not in MARKS:
                said.append(tokens[at])
            is_first = tokens[at] in {".", "?"}
            at += 1
    return tuple(said)


def is_slight(a: str, b: str) -> bool:
    """Whether two texts say so little that their courtesies may be what is meant, and are not the same to the letter.

    "Great" and "great, thanks!" differ, and "thank you, robot" is no "hello there, robot".
    """
    return min(len(wording(a)), len(wording(b))) < LEAST_WORDS and letters(a) != letters(b)


def letters(text: str) -> str:
    """A text without what is never meant: case, spaces, the marks at its end."""
    return " ".join(text.split()).casefold().rstrip(ENDING)


def silent_words(tokens: list[str], at: int) -> int:
    """How many words from here on are a courtesy; 0 where they say something."""
    turn = matched(TURNS, tokens, at)
    return turn[0] if turn is not None and not turn[1] else 0
