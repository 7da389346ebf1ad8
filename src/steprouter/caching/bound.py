"""How often answers found by meaning may be wrong, at most, as far as is known.

vCache (arXiv 2502.03771) answers a question from an entry only where the entry's own record bounds the error. One
entry gathers too little for a bound of 1 %, so evidence is pooled: over all entries whose questions are as like their
askers', and that agree as far. Within a pool the share of wrong answers has a Beta distribution; its upper bound is
where an entry begins, and its own record sharpens that.
"""

from __future__ import annotations

from math import exp, inf, lgamma, log

from .entry import Entry, Tally

LETTERS = "the same letters"
WORDS = "the same once read"

BANDS = (0.98, 0.9)
"""Likeness from which a pool is one of its own; below the last is another."""

KNOWN: dict[str, Tally] = {LETTERS: Tally(right=500.0)}
"""What is known of a pool beforehand. Questions that are the same but for case, white space and the stop at their end
differ in nothing that a facet does not see; people marked some of them as different all the same (QQP: the few that
differed otherwise than by accident did so in a symbol, which counts as a letter here). 500 leave a share of at most
0.6 %, and six wrong answers in a pool end it."""

MOST_MASS = 1_000.0
"""What a pool's evidence weighs at most, so that what changes is seen."""

ENTRY_MASS = 4.0
"""What a pool says of one of its entries weighs beside the entry's own record: entries differ from one another more
than a pool's mean lets on. With twelve right answers of its own an entry counts as four times as sure as its pool."""

SILENCED = 0.5
"""Weight of wrong answers of an entry from which it is given to nobody any more."""

ENDING = " ?!.…"


def letters(text: str) -> str:
    """A text without what is never meant: case, white space, the stop at its end."""
    return " ".join(text.split()).casefold().strip(ENDING)


def pool_of(text: str, entry: Entry, similarity: float) -> str:
    """The pool of an entry whose question agrees with a text in all that facets see."""
    if letters(text) == letters(entry.text):
        return LETTERS
    band = next((f"alike by {least:g}" for least in BANDS if similarity >= least), f"alike by less than {BANDS[-1]:g}")
    return f"{WORDS}, {band}"


def error_bound(pool: str, tally: Tally, own: Tally | None = None, *, confidence: float) -> float:
    """The share of answers that may be wrong at most, 0 to 1.

    Args:
        pool: The pool's name, by which something may be known beforehand.
        tally: What was observed in the pool.
        own: What was observed of the entry itself; None leaves it to the pool.
        confidence: With which the share is below the bound, in the pool; 0.5 to below 1.
    """
    known = KNOWN.get(pool, Tally())
    right, wrong = tally.right + known.right, tally.wrong + known.wrong
    if (mass := right + wrong) > MOST_MASS:
        right, wrong = right * MOST_MASS / mass, wrong * MOST_MASS / mass
    bound = beta_quantile(confidence, wrong + 1, right + 1)
    if own is None:
        return bound
    if own.wrong >= SILENCED:
        return 1.0
    return (ENTRY_MASS * bound + own.wrong) / (ENTRY_MASS + own.right + own.wrong)


def beta_quantile(share: float, a: float, b: float) -> float:
    """Where the distribution function of Beta(a, b) is `share`; by bisection, to 1e-9."""
    low, high = 0.0, 1.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if beta_share(middle, a, b) < share else (low, middle)
    return (low + high) / 2


def beta_share(x: float, a: float, b: float) -> float:
    """The distribution function of Beta(a, b): the regularised incomplete beta function (DLMF 8.17)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    front = exp(a * log(x) + b * log(1 - x) + lgamma(a + b) - lgamma(a) - lgamma(b))
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast on this side only (8.17.4)
        return 1 - front * fraction(1 - x, b, a) / b
    return front * fraction(x, a, b) / a


def fraction(x: float, a: float, b: float) -> float:
    """The continued fraction of the incomplete beta function, by Lentz's method (DLMF 8.17.22)."""
    tiny = 1e-300
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1) or tiny)
    value, change = d, inf
    m = 0
    while abs(change - 1) > 1e-12 and m < 10_000:
        m += 1
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / (1 + step * d or tiny)
            c = 1 + step / c or tiny
            change = c * d
            value *= change
    return value
