"""Which of several deployments of one model to ask: the less loaded and quicker one of two that are drawn.

Power of two choices (Mitzenmacher, "The power of two choices in randomized load balancing", 2001) on latency times
calls in flight, as Finagle's and tower's peak EWMA do. Always taking the best of all sends every client to the same
deployment at once; the better of two drawn ones spreads nearly as evenly and herds nobody.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

SPIKE_SECONDS = 10.0
"""Time constant in which a peak above the usual is forgotten [Finagle, brpc: 10 s]."""

IDLE_SECONDS = 300.0
"""Time constant in which a deployment that is not asked is forgotten (ours: the window of the breaker). Finagle lets
its whole figure fall in 10 s, which is made for hundreds of calls a second: with one call in half a minute every
deployment would look new, and the slow one would get half of the calls."""

NEWEST_WEIGHT = 0.05
"""Weight of the newest answer in what is usual (ours): twenty slow ones are a habit, a few are a spike, after which
the deployment is soon tried again."""

UNKNOWN_SECONDS = 1.0
"""What a deployment that has not answered yet counts as [tower: a default RTT of 1 s]; idle and unknown ones are
neither shunned nor flooded."""

WARM_FACTOR = 0.3
"""On the score of a deployment that has the prompt in its cache (ours): it may be 3.3 times as slow or as busy before
another one is better. Cached tokens cost a tenth, and reading them again takes longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """How long a deployment takes to its first token: a peak EWMA, slow to trust and quick to doubt.

    Attributes:
        usual_seconds: Moving average of the time to first token.
        spike_seconds: How far it is above that at the moment, when `at` was; 0 or more.
        at: When it was heard of last, in seconds of any clock.
    """

    usual_seconds: float
    spike_seconds: float = 0.0
    at: float = 0.0

    def seen(self, seconds: float, now: float) -> Latency:
        """The latency after a call that took `seconds` to its first token, or was given up after so many.

        A longer time counts at once and in full, a shorter one little by little. What is no time (NaN, infinite, 0
        or less) changes nothing.
        """
        if not 0 < seconds < math.inf:
            return self
        idle = max(0.0, now - self.at)
        peak = max(seconds, self.usual_seconds + self.spike_seconds * math.exp(-idle / SPIKE_SECONDS))
        kept = (1 - NEWEST_WEIGHT) * math.exp(-idle / IDLE_SECONDS)
        usual = seconds + kept * (self.usual_seconds - seconds)
        return Latency(usual_seconds=usual, spike_seconds=max(0.0, peak - usual), at=now)

    def seconds_at(self, now: float) -> float:
        """The time to first token to reckon with now, in seconds.

        A spike is forgotten soon. All of it is forgotten in the end, so that one which was slow is tried again.
        """
        idle = max(0.0, now - self.at)
        seconds = self.usual_seconds + self.spike_seconds * math.exp(-idle / SPIKE_SECONDS)
        return seconds * math.exp(-idle / IDLE_SECONDS)


def latency_after(latency: Latency | None, seconds: float, now: float) -> Latency | None:
    """The latency after a call, as `Latency.seen`; None as long as nothing is known."""
    if latency is not None:
        return latency.seen(seconds, now)
    return Latency(usual_seconds=seconds, at=now) if 0 < seconds < math.inf else None


def score(
    latency_seconds: float | None,
    *,
    in_flight: int = 0,
    weight: float = 1.0,
    is_warm: bool = False,
    penalty: float = 1.0,
) -> float:
    """How long a call would be about to take here, 0 or more; less is better.

    Args:
        latency_seconds: From `Latency.seconds_at`; None where nothing is known.
        in_flight: Calls under way.
        weight: How much it can take compared to the others, more than 0.
        is_warm: Whether its prompt cache holds the beginning of this prompt.
        penalty: From the breaker, 1 to 4: what gray failure adds.
    """
    seconds = UNKNOWN_SECONDS if latency_seconds is None else latency_seconds
    return seconds * (in_flight + 1) / weight * (WARM_FACTOR if is_warm else 1.0) * penalty


def pick(names: Sequence[str], scores: Mapping[str, float], draw: float, full: Collection[str] = ()) -> tuple[str, ...]:
    """All of `names` in the order to try them: two are drawn, the better first, the other second, the rest by score.

    Equal ones come in the order they were drawn, so that equal deployments share the load.

    Args:
        names: Deployments, each once.
        scores: From `score`, one for each name.
        draw: From 0 to 1, a number of its own for each step; a hash of the step makes a replay draw the same.
        full: Those whose pace has no room for one more call; they come last, by score.
    """
    roomy = [name for name in names if name not in full]
    drawn = sorted(two_of(roomy, draw), key=scores.__getitem__)
    rest = sorted((name for name in roomy if name not in drawn), key=scores.__getitem__)
    return (*drawn, *rest, *sorted((name for name in names if name in full), key=scores.__getitem__))


def two_of(names: Sequence[str], draw: float) -> Sequence[str]:
    """Two different names, each ordered pair being as likely as the others; all of them if there are not two."""
    count = len(names)
    if count < 2:
        return names
    pair = min(int(draw * count * (count - 1)), count * (count - 1) - 1)
    first, second = divmod(pair, count - 1)
    return names[first], names[second + (second >= first)]
