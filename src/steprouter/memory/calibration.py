"""Whether the chances that decisions count with agree with what became of the answers."""

from __future__ import annotations

from dataclasses import dataclass

BINS = 10
"""Tenths of the chance; as usual for the expected calibration error (Guo et al. 2017, arXiv 1706.04599, eq. 3)."""

BLOCK = 200
"""Verdicts that are compared at once. Were chances exact, chance alone would put the error of 200 at about 0.05."""

MOST_ERROR = 0.10
"""Expected calibration error of a block above which only counts are believed, until a block is better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How far the chances of chosen models at a kind of step were off; only first verdicts count.

    Attributes:
        error: Expected calibration error of the last whole block, 0 to 1; 0 before there was one.
        verdicts: Verdicts of the block that is filling.
        gaps: What was expected of its answers less what they scored, by the tenth in which the chance lay.
    """

    error: float = 0.0
    verdicts: int = 0
    gaps: tuple[float, ...] = (0.0,) * BINS

    def after(self, expected: float, score: float) -> Calibration:
        """With one more answer, of which a success with probability `expected` was expected."""
        place = min(int(expected * BINS), BINS - 1)
        gaps = tuple(gap + (expected - score) * (number == place) for number, gap in enumerate(self.gaps))
        verdicts = self.verdicts + 1
        if verdicts < BLOCK:
            return Calibration(error=self.error, verdicts=verdicts, gaps=gaps)
        return Calibration(error=sum(map(abs, gaps)) / verdicts)

    @property
    def is_off(self) -> bool:
        """Whether the last whole block was off by too much."""
        return self.error > MOST_ERROR
