"""The circuit breaker of a deployment: whether it may be asked, as a value and how each attempt changes it.

closed → open on failures → half-open when its time is up, for one probe at a time → closed after two, or open again
for longer. Sources in brackets: Envoy is its outlier detection, Resilience4j its circuit breaker, both as documented
in 2026; `ours` is a choice that nothing published settles.

No share of the deployments is kept from being shut (Envoy's ejection cap): one that is down would then be asked by
every step. With all of them shut, what they are still asked is one probe each time one is due.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .breaker_state import ANSWERED, SIGNS, Breaker, Bucket, Observation, Sign, State, sign_of
from .breaker_text import COUNTS, PLAIN, decoded, encoded
from .breaker_window import (
    BUCKET_SECONDS,
    BUCKETS,
    EJECTED,
    HARD_FAILURES,
    MIN_CALLS,
    TIMEOUTS,
    USUAL_CALLS,
    averaged,
    grayness,
    penalty,
    tallied,
    trip,
    windowed,
)

__all__ = [
    "AHEAD_SECONDS",
    "ANSWERED",
    "BUCKETS",
    "BUCKET_SECONDS",
    "COUNTS",
    "EJECTED",
    "HARD_FAILURES",
    "MIN_CALLS",
    "MOST_OPEN_SECONDS",
    "OPEN_JITTER",
    "OPEN_SECONDS",
    "PLAIN",
    "PROBES",
    "PROBE_SECONDS",
    "SIGNS",
    "TIMEOUTS",
    "USUAL_CALLS",
    "Admission",
    "Breaker",
    "Bucket",
    "Choice",
    "Observation",
    "Sign",
    "State",
    "admitted",
    "choose",
    "decoded",
    "due_at",
    "encoded",
    "grayness",
    "is_due",
    "observed",
    "penalty",
    "sign_of",
    "windowed",
]

OPEN_SECONDS, MOST_OPEN_SECONDS = 15.0, 300.0
"""First time, doubled each time [Envoy: 30 s times the count, at most 300 s]. Half of Envoy's, because one
probe tells."""

OPEN_JITTER = 0.2
"""Either way [gRPC A6: ±20 %], so that workers with breakers of their own do not probe at once."""

PROBES = 2
"""Probes in a row that must succeed (ours): one success is what a failing server still gives now and then."""

PROBE_SECONDS = 30.0
"""How long a probe holds its lease (ours): until then its process is not taken to have died."""

AHEAD_SECONDS = 2 * MOST_OPEN_SECONDS
"""No honest moment lies so far ahead; one that does was set before the clock stepped back, and is not waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Whether an attempt may be made.

    Attributes:
        allowed: Whether it may.
        is_probe: Whether it decides over the breaker, as the only one until it ends.
        breaker: The breaker from now on.
    """

    allowed: bool
    is_probe: bool
    breaker: Breaker


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Who may be asked and who is shut; every deployment is in one of the two.

    Attributes:
        able: Closed or due for a probe, in the order they were given in. A probe keeps its place: a breaker that
            nobody asks never closes. It may be asked once its lease is held, and only then.
        shut: Names that may not be asked, each with when it is due (Unix time), the one due soonest first. Where
            nobody is able, that one is worth waiting for; nobody asks before.
    """

    able: tuple[str, ...]
    shut: tuple[tuple[str, float], ...]


def observed(breaker: Breaker, observation: Observation, now: float, draw: float) -> Breaker:
    """The breaker after an attempt has ended; `draw` is a random number from 0 to 1.

    What was sent before it opened and ends after changes nothing: it would count the same trouble twice.
    """
    if breaker.state is State.HALF_OPEN and breaker.holder and breaker.holder == observation.holder:
        return probed(breaker, observation.sign, now, draw)
    if breaker.state is not State.CLOSED or observation.sign is Sign.NOTHING:
        return breaker
    counted = averaged(tallied(breaker, observation.sign, now), observation, now)
    why = trip(counted, observation.sign, now)
    return opened(counted, why, now, draw) if why else counted


def probed(breaker: Breaker, sign: Sign, now: float, draw: float) -> Breaker:
    """The breaker after its probe has ended. An answer of any quality is a sign of health; nothing frees the lease."""
    free = replace(breaker, holder="", probe_until=0.0)
    if sign is Sign.NOTHING:
        return free
    if sign not in ANSWERED:
        return opened(free, "probe", now, draw)
    if breaker.probed + 1 < PROBES:
        return replace(free, probed=breaker.probed + 1)
    kept = {name: getattr(breaker, name) for name in ("why", "opened", "answers", "usual_seconds", "usual_invalid")}
    return Breaker(**kept, closed_at=now)


def opened(breaker: Breaker, why: str, now: float, draw: float) -> Breaker:
    """The breaker open, for twice as long as last time unless it was closed for long."""
    is_new = breaker.state is State.CLOSED and abs(now - breaker.closed_at) >= MOST_OPEN_SECONDS
    times = 1 if is_new else breaker.opened + 1
    # The exponent is bounded before the power is: a count that came in as text may be huge.
    seconds = min(MOST_OPEN_SECONDS, OPEN_SECONDS * 2.0 ** min(times - 1, 16))
    until = now + seconds * (1 - OPEN_JITTER + 2 * OPEN_JITTER * draw)
    return replace(breaker, state=State.OPEN, why=why, opened=times, open_until=until, probed=0)


def admitted(breaker: Breaker, holder: str, now: float) -> Admission:
    """Whether `holder` may ask now. Each attempt has a name of its own; one without a name is no probe."""
    if breaker.state is State.CLOSED:
        return Admission(allowed=True, is_probe=False, breaker=breaker)
    if not holder or not is_due(breaker, now):
        return Admission(allowed=False, is_probe=False, breaker=breaker)
    leased = replace(breaker, state=State.HALF_OPEN, holder=holder, probe_until=now + PROBE_SECONDS)
    return Admission(allowed=True, is_probe=True, breaker=leased)


def due_at(breaker: Breaker) -> float:
    """From when on someone is admitted, Unix time in seconds; 0 if at any time."""
    if breaker.state is State.OPEN:
        return breaker.open_until
    return breaker.probe_until if breaker.state is State.HALF_OPEN and breaker.holder else 0.0


def is_due(breaker: Breaker, now: float) -> bool:
    """Whether someone is admitted now; a moment too far ahead counts as past."""
    return not now < due_at(breaker) <= now + AHEAD_SECONDS


def choose(breakers: Mapping[str, Breaker], order: Sequence[str], now: float) -> Choice:
    """Who of `order` may be asked now, and who may not yet.

    Args:
        breakers: What is known, by name; what is not here is closed.
        order: Names, the first to try first; each once.
        now: Unix time in seconds.
    """
    known = {name: breakers.get(name, Breaker()) for name in order}
    able = tuple(name for name in order if is_due(known[name], now))
    shut = [(name, due_at(known[name])) for name in order if name not in able]
    return Choice(able=able, shut=tuple(sorted(shut, key=lambda one: one[1])))
