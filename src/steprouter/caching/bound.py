"""How often answers found by meaning may be wrong, at most, as far as is known.

vCache (arXiv 2502.03771) gives a stored answer again only where that very answer's record bounds the error. One answer
gathers far too little for a bound of 1 %, so evidence is pooled: over all answers of a tenant whose questions are as
like the asked ones and agree as far. The share of wrong answers in a pool has a Beta distribution; its upper bound at
the wanted confidence is what is feared of an answer of which nothing is known, and the answer's own record sharpens
that. Without anything known beforehand a pool must have been right about 300 times, and never wrong, for 1 % at 95 %.

`benchmarks/answer_cache.py` repeats the measurements that are named here.
"""

from __future__ import annotations

from functools import lru_cache
from math import exp, lgamma, log

from .entry import Entry, Tally
from .wording import wording

SAME_WORDS = "the same words"
READ_ALIKE = "the same once read"

BANDS = (0.98, 0.9)
"""Cosines from which questions that read the same make a pool of their own, those below the last another. Of 416 pairs
that people compared (QQP, the half held out, default embedder) 176, 197 and 43 fall into the three."""

KNOWN: dict[str, Tally] = {SAME_WORDS: Tally(right=500.0)}
"""What is known of a pool beforehand.

Two questions of the same words, apart from case, marks, spaces and courtesies, were given the same label by people in
1 536 of 1 549 pairs (QQP, the half held out, and four sets of intents). The 13 others were looked at, and each is one
question that was labelled twice: "shut up" and "shut up.", "set a reminder for me" and "please set a reminder for me".
Without a difference in 1 549 the share is below 0.2 %. They count as 500 only, a third, as a user's traffic is none of
these sets: the bound begins at 0.6 %, one wrong answer leaves it at 0.9 %, a second ends the pool until 130 more were
right.

Of questions that only read the same people gave 5.5 % another label in QQP and 1.4 % in the intents, some of these
with reason ("What parts should I upgrade?", "What part should I upgrade?"), so nothing is known of them beforehand."""

MOST_MASS = 1_000.0
"""What a pool's evidence weighs at most; more pushes the oldest out, so that a change is seen after some dozens of
observations however long all was well before."""

ENTRY_MASS = 6.0
"""What a pool says of one of its answers, in observations. Some questions are mistaken for others every time and most
never: the mass that fits four sets of intents best is 0.6 (beta-binomial, by likelihood; 0.3 to 1.1 with 95 %). Ten
times that, since an intent is less than an answer: an answer is right 24 times for a fifth of its pool's bound."""

SILENCED = 0.5
"""Weight of evidence that an answer was wrong from which it is given to nobody any more: less than a model's verdict
weighs, so that one is enough."""


def pool_of(text: str, entry: Entry, similarity: float, scale: str = "") -> str:
    """The pool of an answer whose question agrees with a text in all that facets see.

    Args:
        text: What is asked.
        entry: The answer.
        similarity: Cosine of the two questions' vectors, or the figure of who found it.
        scale: Who found it, where that is a service with a measure of its own: its pools are others.
    """
    if wording(text) == wording(entry.text):
        return SAME_WORDS
    band = next((f"{least:g}" for least in BANDS if similarity >= least), f"less than {BANDS[-1]:g}")
    return f"{READ_ALIKE}, alike by {band}{scale and ', says '}{scale}"


def error_bound(pool: str, tally: Tally, own: Tally | None = None, *, confidence: float) -> float:
    """The share of answers that may be wrong, at most: 0 to 1.

    It never falls by evidence of a wrong answer and never rises by evidence of a right one.

    Args:
        pool: The pool's name, by which something may be known beforehand.
        tally: What was observed in the pool.
        own: What was observed of the answer itself; None leaves it to the pool.
        confidence: With which the pool's share is below its bound; 0.5 to below 1.
    """
    if own is not None and is_silenced(own):
        return 1.0
    known = KNOWN.get(pool, Tally())
    right, wrong = tally.right + known.right, tally.wrong + known.wrong
    if (mass := right + wrong) > MOST_MASS:
        right, wrong = right * MOST_MASS / mass, wrong * MOST_MASS / mass
    bound = beta_quantile(confidence, wrong + 1, right + 1)
    if own is None:
        return bound
    return (ENTRY_MASS * bound + own.wrong) / (ENTRY_MASS + own.right + own.wrong)


def is_silenced(own: Tally) -> bool:
    """Whether an answer was found wrong, so that it is given to nobody any more."""
    return own.wrong >= SILENCED


def observed(tally: Tally, *, right: float = 0.0, wrong: float = 0.0) -> Tally:
    """What is known of a pool after one more observation; the oldest evidence gives way to what is too much.

    Args:
        tally: What was known.
        right: Weight of the evidence that an answer was right, 0 to 1.
        wrong: Weight of the evidence that it was wrong, 0 to 1.
    """
    mass, room = tally.right + tally.wrong, MOST_MASS - right - wrong
    keep = room / mass if mass > room else 1.0
    return Tally(right=keep * tally.right + right, wrong=keep * tally.wrong + wrong)


@lru_cache(maxsize=4096)
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
    """The continued fraction of the incomplete beta function (DLMF 8.17.22), by Lentz's method."""
    c, value = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    d = value
    for m in range(1, 10_000):
        change = 1.0
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / (1 + step * d)
            c = 1 + step / c
            change *= c * d
        value *= change
        if abs(change - 1) < 1e-12:
            break
    return value
