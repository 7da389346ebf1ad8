"""Outcomes by a rule that is known, so that what is learnt can be compared with it."""

from __future__ import annotations

import random
from collections.abc import Iterator

from steprouter.learning.table import Pair, Row

EASY = ("add the two numbers", "name the capital of the country", "translate the greeting", "spell the word")
HARD = ("prove the theorem by induction", "integrate the function over the manifold", "derive the eigenvalues")


def questions(count: int, seed: int = 0) -> Iterator[tuple[str, bool]]:
    """Texts and whether they are hard."""
    draw = random.Random(seed)
    for number in range(count):
        is_hard = draw.random() < 0.4
        yield f"{draw.choice(HARD if is_hard else EASY)} of case {number} about {draw.choice(WORDS)}", is_hard


WORDS = ("rivers", "trains", "music", "bread", "glass", "winter", "letters", "gardens")


def outcomes(count: int, *, seed: int = 0, tells: bool = True, kind: str = "answer") -> list[Row]:
    """`small` fails at most of what is hard and `large` at little; without `tells` what is hard is drawn by lot."""
    draw = random.Random(seed + 1)
    found = []
    for text, shown in questions(count, seed):
        is_hard = shown if tells else draw.random() < 0.4
        for model, easy, hard, usd in (("small", 0.95, 0.15, 0.001), ("large", 0.97, 0.85, 0.01)):
            success = float(draw.random() < (hard if is_hard else easy))
            found.append(
                Row(kind=kind, model=model, success=success, text=text, usd=usd, output_tokens=100.0, seconds=2.0)
            )
    return found


def preferences(count: int, *, seed: int = 0) -> list[Pair]:
    """`large` is preferred at what is hard, either at the rest."""
    draw = random.Random(seed + 2)
    return [
        Pair(
            kind="answer",
            first="small",
            second="large",
            first_won=float(draw.random() < 0.1) if is_hard else draw.choice((0.0, 0.5, 1.0)),
            text=text,
        )
        for text, is_hard in questions(count, seed)
    ]
