"""How fast to ask again: backoff, a budget of retries, how many calls at once, and what to do when one is too many.

A refusal for too many requests says nothing about health: it slows this client down and feeds no breaker.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

BACKOFF_SECONDS, MOST_BACKOFF_SECONDS = 0.5, 8.0
"""Before the first retry and at most, as in the SDKs of OpenAI and Anthropic (read in 2026)."""

RETRY_SHARE, RETRIES_PER_SECOND = 0.1, 1.0
"""What earns a retry: ten requests [.NET 0.1 and Google's SRE book 10 %; Finagle 20 %], or a second, so that a client
that asks seldom may retry at all [Finagle: 10 a second, for a service and not for models that cost money]."""

MOST_RETRIES = 10.0
"""Retries that can be saved up [Finagle: those of its last 10 seconds]."""

ATTEMPTS = 3
"""Times one step asks one deployment at most [Google's SRE book: 3 attempts per request]."""

SLOWED, SPED = 0.7, 1.0
"""Factor on a refusal and calls more per window (ours); between TCP's half and the 0.9 of libraries for servers one
owns: a provider counts refused requests too, so it pays to get below its limit at once."""

WINDOW_SECONDS = 10.0
"""How often more calls are allowed [Envoy: interval 10 s]."""

USED = 0.8
"""Share of the allowed calls that were made at once before more are allowed (ours): a limit nobody meets says
nothing."""

APART_SECONDS = 1.0
"""Refusals so close together are one (ours), as losses within a round trip are in TCP (RFC 5681): the calls were on
their way before the client slowed down."""

LARGE_PREFIX_TOKENS = 20_000
"""Prompts above it are worth waiting for while their cache is warm (ours): read anew they cost ten times as much."""

LONGEST_WAIT_SECONDS = 60.0
"""A Retry-After from it on is not waited for (ours): OpenAI's SDK takes up to two minutes, Anthropic's any; but their
user has no other model at hand."""

WAIT_JITTER = 0.2
"""At most this share longer than was asked, never shorter [gRPC A6: 20 %], so that workers do not come back at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryBudget:
    """How many retries are left, shared by all steps of a client: a bucket of tokens.

    Attributes:
        tokens: Retries saved up.
        at: When they were counted, in seconds of any clock.
    """

    tokens: float = MOST_RETRIES
    at: float = 0.0

    def refilled(self, now: float) -> RetryBudget:
        """The budget with what the time has earned; none if the clock stepped back."""
        tokens = self.tokens + RETRIES_PER_SECOND * max(0.0, now - self.at)
        return RetryBudget(tokens=min(MOST_RETRIES, tokens), at=now)

    def earned(self, now: float) -> RetryBudget:
        """The budget after a request that was no retry."""
        full = self.refilled(now)
        return replace(full, tokens=min(MOST_RETRIES, full.tokens + RETRY_SHARE))

    def spent(self, now: float) -> RetryBudget | None:
        """The budget after a retry; None if there is none left, and then nothing is to be retried."""
        full = self.refilled(now)
        return replace(full, tokens=full.tokens - 1) if full.tokens >= 1 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How many calls a client makes at once: additive increase, multiplicative decrease.

    Attributes:
        limit: Calls at once; None until the first refusal, because nobody tells the limit before.
        most: Calls that were made at once in this window.
        began: When this window began, in seconds of any clock.
        slowed_at: When it was slowed down last; None is never.
    """

    limit: float | None = None
    most: int = 0
    began: float = 0.0
    slowed_at: float | None = None

    def allows(self, in_flight: int) -> bool:
        """Whether one more call may be made beside those in flight; the first always may."""
        return self.limit is None or in_flight == 0 or in_flight + 1 <= self.limit

    def slowed(self, in_flight: int, now: float) -> Pace:
        """The pace after a refusal, `in_flight` being all calls on their way, the refused one included."""
        if self.slowed_at is not None and 0 <= now - self.slowed_at < APART_SECONDS:
            return self
        limit = in_flight if self.limit is None else min(self.limit, max(in_flight, 1))
        return Pace(limit=max(1.0, SLOWED * limit), began=now, slowed_at=now)

    def sped(self, in_flight: int, now: float) -> Pace:
        """The pace after an answer, `in_flight` being all calls on their way, the answered one included."""
        most = max(self.most, in_flight)
        if 0 <= now - self.began < WINDOW_SECONDS:
            return replace(self, most=most)
        is_used = self.limit is not None and now > self.began and most > USED * int(self.limit)
        limit = self.limit + SPED if is_used and self.limit is not None else self.limit
        return replace(self, limit=limit, most=0, began=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitFor:
    """Ask the same deployment again after a time.

    Attributes:
        seconds: How long to wait.
        why: Why it is worth it.
    """

    seconds: float
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """Do not wait: ask the next model, if there is one.

    Attributes:
        why: Why not.
    """

    why: str


def backoff_seconds(attempt: int, draw: float) -> float:
    """How long to wait before retry `attempt` (1 is the first): anything up to a bound that doubles.

    Full jitter needs the fewest calls of all ways to spread them (AWS, "Exponential backoff and jitter", 2015).

    Args:
        attempt: Which retry.
        draw: A random number from 0 to 1.
    """
    # The exponent is bounded before the power is, which would not fit a float.
    return draw * min(MOST_BACKOFF_SECONDS, BACKOFF_SECONDS * 2.0 ** min(max(attempt, 1) - 1, 16))


def after_429(
    retry_after_seconds: float | None,
    *,
    deadline_seconds_left: float | None,
    prefix_tokens: int = 0,
    cache_seconds_left: float | None = None,
    attempt: int = 1,
    has_other: bool = True,
    draw: float = 0.5,
) -> WaitFor | Next:
    """What to do when a deployment refused because of too many requests.

    Waiting keeps the prompt cache; it pays while that is large and still warm when the wait ends. A small prompt is
    as cheap elsewhere, so it waits no longer than it would back off. Where there is nothing else, only the deadline
    counts.

    Args:
        retry_after_seconds: What the provider asked for; what is no time (None, negative, NaN) was not said.
        deadline_seconds_left: Until an answer is of no use, less what the answer itself takes; None is never.
        prefix_tokens: How much of the prompt this deployment has cached.
        cache_seconds_left: Until that expires; None if nothing is known to be cached.
        attempt: How often this step has asked this deployment, this time included.
        has_other: Whether another able model is left.
        draw: A random number from 0 to 1.
    """
    if attempt >= ATTEMPTS:
        return Next(why=f"asked {attempt} times already")
    asked = retry_after_seconds if retry_after_seconds is not None and retry_after_seconds >= 0 else None
    if asked is None and has_other:
        return Next(why="not said how long to wait")
    # At least a backoff, because some providers ask for 0 seconds again and again.
    seconds = max(backoff_seconds(attempt, draw), (asked or 0.0) * (1 + WAIT_JITTER * draw))
    bounds = [(LONGEST_WAIT_SECONDS, "the longest wait")]
    if deadline_seconds_left is not None:
        bounds.append((deadline_seconds_left, "the deadline"))
    why = "nothing else is left"
    if has_other:
        is_kept = prefix_tokens > LARGE_PREFIX_TOKENS and cache_seconds_left is not None and cache_seconds_left > 0
        kept = (cache_seconds_left or 0.0, "the prompt cache")
        bounds.append(kept if is_kept else (MOST_BACKOFF_SECONDS, "what a small or cold prompt is worth"))
        why = f"{prefix_tokens} tokens stay cached" if is_kept else "it is soon"
    bound, name = min(bounds)
    if seconds >= bound:
        return Next(why=f"{seconds:.1f} s are too long for {name} ({bound:.1f} s)")
    return WaitFor(seconds=seconds, why=why)
