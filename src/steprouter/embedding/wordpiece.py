"""Uncased BERT WordPiece in pure Python: the token ids that Hugging Face's `tokenizers` gives, and nothing else.

The rules are those of `BertNormalizer` (clean, Chinese characters apart, lower case, accents off),
`BertPreTokenizer` (whitespace, then every punctuation mark by itself) and greedy longest match first, by Devlin
et al., "BERT" (2019). The markers `[CLS]` and `[SEP]` are left out, as a mean over tokens has no use for them;
`[MASK]` and its like in a text are read as text, not as markers.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import lru_cache

UNKNOWN = "[UNK]"
LONGEST_WORD = 100
"""Characters; a longer word is unknown, as in BERT. It also bounds the quadratic search inside one word."""

WORDS_KEPT = 16_384
"""Split words remembered; 16 384 of them take about 4 MB and cover the working vocabulary of an agent."""

CHARACTERS_KEPT = 8_192
"""Characters whose treatment is remembered: those of any script; looking it up each time takes ten times as long."""

LONGEST_KEPT = 32
"""Characters of a run whose words are remembered, so that hostile texts fill a few megabytes at most."""

RUNS = re.compile(r"[^ \t\n\r]+")

# Runs of ASCII letters and digits, or one ASCII mark: what the general rules give for a text without other characters.
ASCII_WORDS = re.compile(r"[a-z0-9]+|[!-/:-@\[-`{-~]")
ASCII_UNSEEN = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 127))
UNSEEN = frozenset(("Cc", "Cf", "Co", "Cs"))
"""Control, format, private use and lone surrogates; unassigned characters (Cn) stay, as in `tokenizers`."""

HAN = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)
"""The blocks `tokenizers` sets apart; its fifth of six begins at 2B920 where Google's original says 2B820."""


class WordPiece:
    """Splits texts into the ids of a vocabulary.

    Args:
        vocabulary: The id of each piece; pieces that go on inside a word begin with `##`.
    """

    def __init__(self, vocabulary: Mapping[str, int]) -> None:
        self.vocabulary = vocabulary
        self.unknown = vocabulary[UNKNOWN]
        self.reach = max(map(len, vocabulary))
        # Belongs to this vocabulary; lru_cache is safe between threads.
        self.split = lru_cache(maxsize=WORDS_KEPT)(self.pieces)

    def ids(self, text: str) -> list[int]:
        """The ids of a text's pieces, in order."""
        found: list[int] = []
        for word in words(text):
            # Cut, so that what is remembered of hostile texts stays small: so long a word is unknown anyway.
            found += self.split(word[: LONGEST_WORD + 1])
        return found

    def pieces(self, word: str) -> tuple[int, ...]:
        """The longest known beginning of a word, then of the rest, and so on; one unknown makes all unknown."""
        if len(word) > LONGEST_WORD:
            return (self.unknown,)
        found: list[int] = []
        start = 0
        while start < len(word):
            end, piece = self.longest(word, start)
            if piece is None:
                return (self.unknown,)
            found.append(piece)
            start = end
        return tuple(found)

    def longest(self, word: str, start: int) -> tuple[int, int | None]:
        """Where the longest known piece from `start` ends, and its id."""
        mark = "##" if start else ""
        for end in range(min(len(word), start + self.reach), start, -1):
            piece = self.vocabulary.get(mark + word[start:end])
            if piece is not None:
                return end, piece
        return start, None


def words(text: str) -> list[str]:
    """A text's normalised words and punctuation marks."""
    if text.isascii():
        return ascii_words(text)
    # Run by run, as one curly quote should not send a whole text the slow way.
    return [word for run in RUNS.findall(text) for word in run_words(run)]


def run_words(run: str) -> Sequence[str]:
    """The words of a run of characters without blanks, by the quickest way there is."""
    if run.isascii():
        return ascii_words(run)
    return general_words(run) if len(run) <= LONGEST_KEPT else general_words.__wrapped__(run)


def ascii_words(text: str) -> list[str]:
    """`general_words` for a text without other characters, many times quicker."""
    return ASCII_WORDS.findall(text.translate(ASCII_UNSEEN).lower())


@lru_cache(WORDS_KEPT)
def general_words(run: str) -> tuple[str, ...]:
    """Clean, Chinese characters set apart, accents off, lower case, cut: all as and in the order of BERT's rules."""
    clean = unicodedata.normalize("NFD", "".join(map(cleaned, run)))
    # One by one: `lower` of a whole word would give a Greek sigma at its end another form.
    return tuple(word for part in "".join(map(bare, clean)).split() for word in apart(part))


@lru_cache(CHARACTERS_KEPT)
def bare(character: str) -> str:
    """A character in lower case, nothing for an accent."""
    return "" if unicodedata.category(character) == "Mn" else character.lower()


@lru_cache(CHARACTERS_KEPT)
def cleaned(character: str) -> str:
    """A space for white space, nothing for what cannot be seen, a Chinese character between spaces."""
    if character in "\t\n\r" or unicodedata.category(character) == "Zs":
        return " "
    code = ord(character)
    if code == 0xFFFD or unicodedata.category(character) in UNSEEN:
        return ""
    return f" {character} " if any(low <= code <= high for low, high in HAN) else character


def apart(run: str) -> list[str]:
    """A run of characters without white space, cut before and after each punctuation mark."""
    found: list[str] = []
    start = 0
    for place, character in enumerate(run):
        if is_mark(character):
            found += (run[start:place], character)
            start = place + 1
    return [word for word in (*found, run[start:]) if word]


@lru_cache(CHARACTERS_KEPT)
def is_mark(character: str) -> bool:
    """Is this punctuation? BERT counts all ASCII marks, such as `$` and `^`, that Unicode calls symbols."""
    if character.isascii():
        return not character.isalnum()
    return unicodedata.category(character).startswith("P")
