"""What is known of questions that read the same, from sets that people labelled: the measurements behind the bound."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from math import lgamma
from pathlib import Path

from cache_questions import Pair, pairs_that_agree

from steprouter.caching.bound import SAME_WORDS, beta_quantile

SURE = 0.95
MASSES = [0.1 * 1.1**power for power in range(100)]
DROP = 1.92
"""In log-likelihood, for an interval of 95 % (half of the chi-square quantile with one degree of freedom)."""

LOOKED_AT = "QQP, looked at"


def at_most(wrong: float, of: float) -> float:
    """The share that may be wrong, at most: one-sided, 95 %, by Clopper and Pearson."""
    return 1.0 if of <= wrong else beta_quantile(SURE, wrong + 1, of - wrong)


def tell_known(folder: Path) -> None:
    """How often people gave another label to questions that read the same, and how much that differs by question."""
    pairs = list(pairs_that_agree(folder))
    counts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for pair in pairs:
        counts[pair.pool, pair.of][pair.same] += 1
        if pair.of != LOOKED_AT:
            counts[pair.pool, "all but what was looked at"][pair.same] += 1
    print("## Questions that read the same\n")
    print("| pool | set | same label | another | another at most |\n|---|---|---|---|---|")
    for (pool, of), (other, same) in sorted(counts.items()):
        print(f"| {pool} | {of} | {same} | {other} | {at_most(other, other + same):.1%} |")
    print("\nOf the same words, with another label:\n")
    for pair in pairs:
        if pair.pool == SAME_WORDS and not pair.same and pair.of != LOOKED_AT:
            print(f"- {pair.of}: {pair.a!r}, {pair.b!r}")
    print("\nHow much intents that read the same differ in being mistaken (mass of the beta-binomial):\n")
    tell_mass([pair for pair in pairs if pair.pool != SAME_WORDS and not pair.of.startswith("QQP")])
    print()


def tell_mass(pairs: Sequence[Pair]) -> None:
    """The mass that fits best to questions with two pairs or more."""
    found: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for pair in pairs:
        for text in (pair.a, pair.b):
            found[pair.of, text][pair.same] += 1
    seen = [(wrong, right) for wrong, right in found.values() if wrong + right > 1]
    wrong, of = sum(one for one, _ in seen), sum(map(sum, seen))
    likely = {mass: likelihood(mass, wrong / of, seen) for mass in MASSES}
    best = max(likely, key=lambda mass: likely[mass])
    within = [mass for mass in MASSES if likely[mass] > likely[best] - DROP]
    print(f"{len(seen)} questions, {wrong} of {of} wrong; mass {best:.1f}, {within[0]:.1f} to {within[-1]:.1f}")


def likelihood(mass: float, mean: float, seen: Sequence[tuple[int, int]]) -> float:
    """The log-likelihood of a mass, but for a constant."""
    a, b = mean * mass, (1 - mean) * mass
    return sum(
        lgamma(wrong + a) - lgamma(a) + lgamma(right + b) - lgamma(b) - lgamma(wrong + right + mass) + lgamma(mass)
        for wrong, right in seen
    )
