"""The window of a circuit breaker: which calls it still counts, what is usual, and when that is too bad.

Sources in brackets as in `breaker`; `ours` is a choice that nothing published settles.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from .breaker_state import ANSWERED, Breaker, Bucket, Observation, Sign

BUCKET_SECONDS, BUCKETS = 30, 10
"""A window that slides over 5 minutes (ours): published incidents of providers last an hour in the median, so it need
not be quicker, and agents call too seldom for Envoy's 10 s to see anything."""

MIN_CALLS = 8
"""Calls in the window before a rate says anything (ours). Resilience4j and Envoy take 100, made for services with
hundreds of calls a second; one failure of two is no rate."""

ERROR_RATE = 0.5
"""[Resilience4j: 50 %]."""

HARD_FAILURES = 5
"""In a row, without a volume [Envoy: consecutive_5xx 5]."""

TIMEOUTS = 3
"""In a row (ours); fewer than failures, because each costs its step the whole time-out."""

SLOW_FACTOR, SLOW_SECONDS = 3.0, 1.0
"""Slow is three times the usual time to first token, and from a second on, below which nobody waits (ours)."""

SOFT_RATE, SOFT_EVENTS = 0.05, 2
"""Stalled or invalid is 5 % of the calls, and two of them (ours): at a true 1 % two of the first eight come by
chance in 0.3 %."""

USUAL_CALLS, LASTING_CALLS, RECENT_WEIGHT = 20, 1000, 0.2
"""Answers before anything is usual; over how many that is averaged; weight of the newest in what is recent (ours):
with outliers clipped, four slow ones in a row are slow, one is not."""

CLIPPED = 5.0
"""Times the usual time to first token that one answer may count as."""

EJECTED = 2
"""Gray signals at once that are a failure (ours)."""


def tallied(breaker: Breaker, sign: Sign, now: float) -> Breaker:
    """The breaker with one more call in its window and in its rows of failures."""
    index, kept = int(now // BUCKET_SECONDS), windowed(breaker, now)
    newest = kept[-1] if kept and kept[-1].index >= index else Bucket(index=index)
    failed = sign not in ANSWERED
    newest = replace(
        newest,
        calls=newest.calls + 1,
        errors=newest.errors + failed,
        stalls=newest.stalls + (sign is Sign.STALLED),
        invalid=newest.invalid + (sign is Sign.INVALID),
    )
    older = tuple(bucket for bucket in kept if bucket.index < newest.index)
    return replace(
        breaker,
        buckets=(*older, newest)[-BUCKETS:],
        # A stall had begun well: it neither goes on with a row of failures nor ends it.
        failures=breaker.failures + (sign in (Sign.HARD, Sign.TIMEOUT)) if failed else 0,
        timeouts=breaker.timeouts + (sign is Sign.TIMEOUT) if failed else 0,
    )


def windowed(breaker: Breaker, now: float) -> tuple[Bucket, ...]:
    """The buckets of the window; those a clock that has stepped back left far ahead are none of it."""
    index = int(now // BUCKET_SECONDS)
    return tuple(bucket for bucket in breaker.buckets if abs(bucket.index - index) < BUCKETS)


def averaged(breaker: Breaker, observation: Observation, now: float) -> Breaker:
    """The breaker with an answer in its averages. Outliers are clipped, so that an incident does not become usual."""
    if observation.sign not in ANSWERED:
        return breaker
    weight = max(1 / (breaker.answers + 1), 1 / LASTING_CALLS)
    invalid = breaker.usual_invalid + weight * ((observation.sign is Sign.INVALID) - breaker.usual_invalid)
    recent, usual, seconds = breaker.recent_seconds, breaker.usual_seconds, observation.first_token_seconds
    if seconds is not None and 0 < seconds < math.inf:
        seconds, usual = min(seconds, CLIPPED * (usual or seconds)), usual or seconds
        recent = recent or usual
        recent += RECENT_WEIGHT * (seconds - recent)
        usual += weight * (min(seconds, SLOW_FACTOR * usual) - usual)
    return replace(
        breaker,
        answers=breaker.answers + 1,
        recent_seconds=recent,
        usual_seconds=usual,
        usual_invalid=invalid,
        answered_at=now,
    )


def trip(breaker: Breaker, sign: Sign, now: float) -> str:
    """Why a closed breaker must open after this sign; empty if it must not. A rate opens it on a failure only."""
    if breaker.timeouts >= TIMEOUTS:
        return "timeouts"
    if breaker.failures >= HARD_FAILURES:
        return "failures"
    window = windowed(breaker, now)
    calls = sum(bucket.calls for bucket in window)
    if calls < MIN_CALLS:
        return ""
    if sign not in ANSWERED and sum(bucket.errors for bucket in window) >= ERROR_RATE * calls:
        return "rate"
    return "gray" if sum(signal > 1 for signal in grayness(breaker, now)) >= EJECTED else ""


def grayness(breaker: Breaker, now: float) -> Iterator[float]:
    """How slow, how stalling and how invalid it is, each as a multiple of its limit; 0 where too little is known."""
    is_known = breaker.answers >= USUAL_CALLS and abs(now - breaker.answered_at) < BUCKETS * BUCKET_SECONDS
    yield breaker.recent_seconds / max(SLOW_FACTOR * breaker.usual_seconds, SLOW_SECONDS) if is_known else 0.0
    window = windowed(breaker, now)
    calls = sum(bucket.calls for bucket in window)
    stalls, invalid = sum(bucket.stalls for bucket in window), sum(bucket.invalid for bucket in window)
    for events, limit in ((stalls, SOFT_RATE), (invalid, max(SOFT_RATE, SLOW_FACTOR * breaker.usual_invalid))):
        yield events / calls / limit if calls >= MIN_CALLS and events >= SOFT_EVENTS else 0.0


def penalty(breaker: Breaker, now: float) -> float:
    """What to multiply its cost with, 1 to 4: each gray signal adds nothing at its limit and 1 from twice that on."""
    return 1.0 + sum(min(1.0, max(0.0, signal - 1.0)) for signal in grayness(breaker, now))
