"""Finding: all shapes over a folded text, the longest wins, and again until nothing more comes to light.

A value that was replaced changes what its neighbours look like (the character before them is now `>`), and a secret
found by its label may stand elsewhere without one. So the text is searched again with placeholders in place, which
is also what makes a second redaction find nothing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator
from itertools import pairwise

from .assignments import ASSIGNMENT_SHAPES
from .contacts import CONTACT_SHAPES
from .credentials import CREDENTIAL_SHAPES
from .folding import fold
from .identities import IDENTITY_SHAPES
from .kinds import PLACEHOLDER, RANK, Finding, Kind, placeholder
from .randomness import RANDOM_SHAPES
from .shape import BREAK, FIELD, Shape, Span

SHAPES: tuple[Shape, ...] = (
    *CREDENTIAL_SHAPES,
    *IDENTITY_SHAPES,
    *CONTACT_SHAPES,
    *ASSIGNMENT_SHAPES,
    *RANDOM_SHAPES,
)
"""Everything that is looked for."""

ROUNDS = 6
"""Searches of one text at most. Ordinary text needs one if clean, else two or three; a text built to need more is
left as it is then, so that its length alone bounds the work."""

ECHO_LENGTH = 8
"""Characters of a value that is replaced wherever it stands again; shorter ones stand in other words."""

ECHOES = 64
"""Different values looked for again at most, since each is a pass over the text."""

Candidate = tuple[int, int, Kind]


def find(text: str, kinds: Collection[Kind] | None = None) -> tuple[Finding, ...]:
    """Where secrets and personal data stand in a text.

    Args:
        text: Any text; lone surrogates and other oddities included.
        kinds: Which kinds are looked for; all by default.

    Returns:
        Findings in order that do not overlap: of overlapping ones the longest, of equal ones the more specific.
        A placeholder (`<email-1>`) is no finding, nor is any part of one.

    Raises:
        ValueError: One of `kinds` is no kind.
    """
    wanted = frozenset(Kind) if kinds is None else frozenset(map(Kind, kinds))
    folded = fold(text)
    starts = [start for start, _ in folded.pieces]

    def original(place: int) -> int:
        begin, home = folded.pieces[bisect_right(starts, place) - 1]
        return home + place - begin

    return tuple(
        Finding(kind=kind, start=original(start), end=original(end - 1) + 1)
        for start, end, kind in settle(folded.text, wanted)
    )


def settle(text: str, wanted: frozenset[Kind]) -> list[Candidate]:
    """What is found in some rounds, in order, each searching the text as the one before left it."""
    found: list[Candidate] = []
    for _ in range(ROUNDS):
        view, pieces = with_placeholders(text, found)
        starts = [start for start, _ in pieces]
        echoes = {text[start:end]: kind for start, end, kind in found}
        fresh = []
        for start, end, kind in sweep(view, wanted, echoes):
            begin, home = pieces[bisect_right(starts, start) - 1]
            fresh.append((home + start - begin, home + end - begin, kind))
        if not fresh:
            break
        found = sorted([*found, *fresh])
    return found


def with_placeholders(text: str, found: list[Candidate]) -> tuple[str, list[Span]]:
    """The text as it will read, and where its kept stretches begin, in it and in the text."""
    parts, pieces, length = [], [], 0
    edges = [(0, 0, Kind.EMAIL), *found, (len(text), len(text), Kind.EMAIL)]
    for (_, start, _), (end, _, kind) in pairwise(edges):
        kept = text[start:end]
        pieces.append((length, start))
        stand_in = placeholder(kind, 1) if end < len(text) else ""
        parts += [kept, stand_in]
        length += len(kept) + len(stand_in)
    return "".join(parts), pieces


def sweep(text: str, wanted: frozenset[Kind], echoes: dict[str, Kind]) -> list[Candidate]:
    """What is found in one search, the longest first, none overlapping another or what must stay."""
    lowered = text.lower()
    candidates: list[Candidate] = []
    for shape in SHAPES:
        if shape.kind in wanted and (not shape.hints or any(hint in lowered for hint in shape.hints)):
            candidates += [(start, end, shape.kind) for start, end in shape.spans(text)]
    candidates += echoed(text, echoes)
    if not candidates:
        return []
    taken = bytearray(len(text))
    for start, end in kept_apart(text):
        taken[start:end] = b"\1" * (end - start)
    pieces = [piece for candidate in candidates for piece in free_parts(text, taken, candidate)]
    chosen = []
    for start, end, kind in sorted(pieces, key=lambda piece: (piece[0] - piece[1], RANK[piece[2]], piece[0])):
        if taken.find(1, start, end) < 0:
            taken[start:end] = b"\1" * (end - start)
            chosen.append((start, end, kind))
    return chosen


def echoed(text: str, values: dict[str, Kind]) -> Iterator[Candidate]:
    """Values found before that stand in the text again."""
    telling = [value for value in values if len(value) >= ECHO_LENGTH and any(map(str.isdigit, value))]
    for value in telling[:ECHOES]:
        start = text.find(value)
        while start >= 0:
            yield start, start + len(value), values[value]
            start = text.find(value, start + len(value))


def kept_apart(text: str) -> Iterable[Span]:
    """What no finding may touch: placeholders, and the seams of a larger value."""
    for match in PLACEHOLDER.finditer(text):
        yield match.span()
    for seam in (BREAK, FIELD):
        start = text.find(seam)
        while start >= 0:
            yield start, start + len(seam)
            start = text.find(seam, start + len(seam))


def free_parts(text: str, taken: bytearray, candidate: Candidate) -> Iterator[Candidate]:
    """The parts of a candidate around what must stay, as far as they hold a letter or digit."""
    start, end, kind = candidate
    while start < end:
        stop = taken.find(1, start, end)
        stop = end if stop < 0 else stop
        if any(map(str.isalnum, text[start:stop])):
            yield start, stop, kind
        start = taken.find(0, stop, end)
        start = end if start < 0 else start
