"""English without its turns of politeness, and with one turn for those that say the same."""

from __future__ import annotations

from .courtesies import REQUESTED
from .english import FIRST_TURNS, FIRST_WORDS, LEXICON, QUESTIONS, REQUESTS, TURNS, Turns
from .vocabulary import words

REQUEST = "!"
"""Stands where a question was put that asks for something to be done."""

ABOUT_WORDS = words(
    "say said says saying spell spelt spelled pronounce mean means meaning translate translation translated word words "
    "phrase verb noun adverb adjective synonym antonym grammar sentence call called song sing sings sang title write "
    "written type print define definition named text string"
)
"""With one of these about, "please" and "really" may be what is asked for, not how."""

ASKED_OF_YOU = words("can could would will")
DIFFER = "w:differ"
MARKS = frozenset({",", ".", "?"})
WHETHER = frozenset({"if", "whether"})
TOLD = words("tell know remind")
"""Only these ask what "what is the …" asks; who wants a fee explained or shown wants more than the amount."""

KNOWN_THING = frozenset({"the", "my", "your"})


def rewritten(tokens: list[str]) -> list[str]:
    """The tokens with each turn in its one form. A mark stays only where something was said before it."""
    done: list[str] = []
    at, is_first = 0, True
    is_about_words = not ABOUT_WORDS.isdisjoint(tokens)
    while at < len(tokens):
        word = tokens[at]
        if is_first:
            length, instead = opening(tokens, at)
            if length:
                done += instead
                is_first = not instead or instead[0] == REQUEST
                at += length
                continue
        turn = matched(TURNS, tokens, at) if word in TURNS else None
        if turn is None or (is_about_words and not is_first and not turn[1]):
            done.append(word)
            is_first = word in {".", "?"}
            at += 1
        else:
            done += turn[1]
            is_first = is_first and not turn[1]
            at += turn[0]
    return unordered(done) if DIFFER in done else done


def unordered(tokens: list[str]) -> list[str]:
    """The tokens with the two that a difference is asked of in the order of the alphabet."""
    start = tokens.index(DIFFER) + 1
    end = next((at for at in range(start, len(tokens)) if tokens[at] in MARKS), len(tokens))
    told = [word for word in tokens[start:end] if word not in {"a", "an", "the"}]
    if told.count("and") != 1 or any(word[:2] in {"n:", "d:"} for word in told):
        return tokens
    middle = told.index("and")
    first, second = sorted((told[:middle], told[middle + 1 :]))
    return [*tokens[:start], *first, "and", *second, *tokens[end:]]


def opening(tokens: list[str], at: int) -> tuple[int, list[str]]:
    """How many tokens of a sentence's beginning say nothing, and what is read instead."""
    if tokens[at] in MARKS:
        return 1, []
    if (turn := matched(QUESTIONS, tokens, at)) is not None:
        after = tokens[at + turn[0]] if at + turn[0] < len(tokens) else ""
        if after in WHETHER:
            return turn[0] + 1, ["q:whether"]
        if after in LEXICON and LEXICON[after][0] == "asking":
            return turn[0], []
        if after in KNOWN_THING and not TOLD.isdisjoint(tokens[at : at + turn[0]]):
            return turn[0], ["what"]
    if (turn := matched(FIRST_TURNS, tokens, at)) is not None:
        return turn[0], [REQUEST] if tokens[at] in ASKED_OF_YOU else []
    if (turn := matched(FIRST_WORDS, tokens, at)) is not None:
        after = tokens[at + turn[0]] if at + turn[0] < len(tokens) else "."
        if after in MARKS or after in LEXICON or after in FIRST_TURNS or after in QUESTIONS or after in FIRST_WORDS:
            return turn[0], []
    if (turn := matched(REQUESTS, tokens, at)) is not None and set(tokens[at + turn[0] :][:1]) & REQUESTED:
        return turn[0], [REQUEST]
    return 0, []


def matched(turns: Turns, tokens: list[str], at: int) -> tuple[int, list[str]] | None:
    """The length of the longest turn that begins here, and what is read instead of it."""
    for others, instead in turns.get(tokens[at], ()):
        length = 1 + len(others)
        if tokens[at + 1 : at + length] == others:
            return length, instead
    return None
