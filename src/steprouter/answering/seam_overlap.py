"""How a continuation may say again what was said: its beginning is the end of what was shown."""

from __future__ import annotations

import re
from unicodedata import category

from .seam_words import CHINESE_JAPANESE, UNSPACED

ENOUGH_CHARS = 12
"""So long an overlap is no chance. OmniRoute asks for 8 (#11152); a library that asks for 2 eats legitimate text,
such as the beginning of "together" after "to"."""

ENOUGH_LETTERS = 6
"""Of them at least so many are letters or digits: lines, rows and indents of marks alone do come twice."""

ENOUGH_UNSPACED = 6
"""Characters of a script without spaces that count as two whole words, at up to three a word."""

ENOUGH_WORDS = 2

START_OVER_CHARS = 40
"""So much of the very beginning said again means that the model started over."""

START_OVER_UNSPACED = 12
"""The same in characters of a script without spaces."""

STRONG_CHARS = 4
"""So much of what was expected is no chance; one to three letters begin one word in ten or more."""

FEW_CHARS = 3
"""So much of the very beginning said again is listened to until it goes another way: models of 23 tokens a second say
little in the time that is waited otherwise."""

SOME_CHARS = 6
"""So much of it is no chance after the line that opens a block of code."""

LIKENESS = 0.9
"""Share of words two beginnings have in common (Jaccard) from which one is the other in other words."""

FEWEST_WORDS = 8
"""Fewer words are alike by chance."""

WORDS = re.compile(r"\w+")
UNSPACED_CHAR = re.compile(f"[{UNSPACED}]")
IDEOGRAPH = re.compile(f"[{CHINESE_JAPANESE}]")
"""A character before which Chinese and Japanese never have a space; Thai has spaces between sentences."""


def borders(before: str, after: str) -> list[int]:
    """All lengths, the longest first, at which the end of `before` is the beginning of `after`.

    Knuth, Morris and Pratt's prefix function of `after`, run over the end of `before`: linear in both.
    """
    if not after:
        return []
    fails = prefix_function(after)
    matched = 0
    for char in before[-len(after) :]:
        while matched and (matched == len(after) or after[matched] != char):
            matched = fails[matched - 1]
        matched += after[matched] == char
    found: list[int] = []
    while matched:
        found.append(matched)
        matched = fails[matched - 1]
    return found


def prefix_function(text: str) -> list[int]:
    """For each place the length of the longest beginning of `text`, shorter than the part, that ends there."""
    fails = [0] * len(text)
    matched = 0
    for place in range(1, len(text)):
        while matched and text[place] != text[matched]:
            matched = fails[matched - 1]
        matched += text[place] == text[matched]
        fails[place] = matched
    return fails


def is_telling(before: str, length: int) -> bool:
    """Whether the last `length` characters of `before` are enough for an overlap to be no chance."""
    overlap = before[-length:]
    if length >= ENOUGH_CHARS and sum(map(str.isalnum, overlap)) >= ENOUGH_LETTERS:
        return True
    if len(UNSPACED_CHAR.findall(overlap)) >= ENOUGH_UNSPACED:
        return True
    first = before[-length - 1 : -length]
    begins_word = not (first.isalnum() and overlap[0].isalnum()) and UNSPACED_CHAR.search(overlap) is None
    return begins_word and len(WORDS.findall(overlap)) >= ENOUGH_WORDS


def is_enough(text: str) -> bool:
    """Whether a text that was said before is too long to be chance."""
    return len(text) >= ENOUGH_CHARS or len(UNSPACED_CHAR.findall(text)) >= ENOUGH_UNSPACED


def is_opening(text: str) -> bool:
    """Whether the beginning of an answer that is said again is long enough to mean that the model started over."""
    return len(text) >= START_OVER_CHARS or len(UNSPACED_CHAR.findall(text)) >= START_OVER_UNSPACED


def covers_last_word(before: str, length: int) -> bool:
    """Whether the last `length` characters of `before` are its last word, from where that begins."""
    first, overlap = before[-length - 1 : -length], before[-length:]
    return overlap.isalnum() and not (first.isalnum() or is_mark(first))


def is_mark(char: str) -> bool:
    """Whether a character is written on the letter before it, as vowels and tones of Thai are: it ends no word."""
    return bool(char) and category(char).startswith("M")


def repeats(before: str, length: int) -> bool:
    """Whether `before` ends as a text that says the same again and again, so that one time more proves nothing."""
    overlap = before[-length:]
    period = length - prefix_function(overlap)[-1]
    return 2 * period <= length or before[:-length].rstrip().endswith(overlap.strip())


def is_alike(text: str, other: str) -> bool:
    """Whether two beginnings say the same but for some words."""
    one, two = (WORDS.findall(each.casefold()) for each in (text, other))
    size = min(len(one), len(two))
    if size < FEWEST_WORDS:
        return False
    first, second = set(one[:size]), set(two[:size])
    return len(first & second) >= LIKENESS * len(first | second)
