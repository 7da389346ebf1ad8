"""Long-term memory: what became of single steps, and the running counts that stay when the steps are forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ..models.cost import Usage
from .labels import Label

if TYPE_CHECKING:
    from .learned import Gain

OUTCOME_TTL_SECONDS = 90 * 24 * 3600
"""A quarter: prices, models and prompts of an agent seldom stay the same for longer."""

HALF_LIFE_SECONDS = 14 * 24 * 3600
HALF_LIFE_LABELS = 1000
"""A count loses half its mass in two weeks, and half in a thousand newer labels; both at once."""

WITH, WITHOUT = "with", "without"
"""Tallies of what lessons do: one was at hand and shown, or at hand and withheld. A lesson's own has its id."""

AVERAGE_LABELS = 20
"""Averages are plain means at first and forget at this pace later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """What became of one finished attempt of a step.

    Attributes:
        id: Names the record; the step's id for the attempt that answered, with a suffix for the others.
        kind: What the step was.
        node: The graph node that called, if any.
        model: Which model answered.
        at: When the step started, Unix time in seconds.
        vector: The step's text as a vector of unit length; None where it was not embedded.
        label: The verdict so far.
        thread: The conversation, if any.
        user: On whose behalf, if known.
        usage: Tokens of the attempt.
        usd: What it cost; None if unknown.
        seconds: How long it took.
        first_token_seconds: Time to first token (TTFT); None if nothing came.
        lesson: Whether an example from memory was shown to the model; None where none was at hand.
        example: Which lesson was at hand; None where there was none.
        given: Whether its answer was given; the others were found insufficient before.
        expected: The probability of success that was expected of it when the step was decided; None if unknown.
        again: Whether its checks refused it and the answer that was given in the end was the same.
        version: Digest of the version of the model that answered; None if the provider does not say.
        gain: What its step teaches; None for the attempts whose answer was not given.
    """

    id: str
    kind: str
    node: str | None
    model: str
    at: float
    vector: bytes | None = field(default=None, repr=False)
    label: Label
    thread: str | None = None
    user: str | None = None
    usage: Usage = field(default_factory=Usage)
    usd: float | None = None
    seconds: float = 0.0
    first_token_seconds: float | None = None
    lesson: bool | None = None
    example: str | None = None
    given: bool = True
    expected: float | None = None
    again: bool = False
    version: int | None = None
    gain: Gain | None = None

    @property
    def sides(self) -> tuple[str, ...]:
        """The tallies of the lessons' effect that count it: the side, and the lesson if it was shown."""
        if self.lesson is None or self.example is None:
            return ()
        return (WITH, self.example) if self.lesson else (WITHOUT,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Running counts of one model at one kind of step, and at one node if it is asked for.

    Attributes:
        successes: Decayed mass of success, in observations.
        failures: Decayed mass of failure, in observations.
        labels: How many labels were counted, undecayed.
        at: When the masses were last brought up to date, Unix time in seconds.
        seen: How many attempts the averages are made of.
        output_tokens: Average length of an answer.
        seconds: Average time of an attempt.
        first_token_seconds: Average time to first token.
        usd: Average cost of an attempt.
        faded: How far alarms had aged the model's counts when this was last counted, in half-lives (`Drift.faded`).
    """

    successes: float = 0.0
    failures: float = 0.0
    labels: int = 0
    at: float = 0.0
    seen: int = 0
    output_tokens: float = 0.0
    seconds: float = 0.0
    first_token_seconds: float = 0.0
    usd: float = 0.0
    faded: float = 0.0

    def faded_to(self, faded: float) -> Tally:
        """The tally as it weighs when alarms have aged the model's counts so far."""
        if faded <= self.faded:
            return self
        left = 2.0 ** (self.faded - faded)
        return replace(self, successes=self.successes * left, failures=self.failures * left, faded=faded)

    def masses(self, now: float) -> tuple[float, float]:
        """Successes and failures as they weigh at `now`."""
        left = 2.0 ** (-max(0.0, now - self.at) / HALF_LIFE_SECONDS)
        return self.successes * left, self.failures * left


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """A label as a tally has counted it, so that a better one can take its place exactly.

    Attributes:
        label: The label.
        number: How many labels the tally had counted with it.
        at: When the step was decided, from which it decays.
        faded: How far alarms had aged the model's counts then, in half-lives.
    """

    label: Label
    number: int
    at: float
    faded: float = 0.0


def count(
    tally: Tally, new: Label, *, at: float, now: float, old: Counted | None = None, faded: float = 0.0
) -> tuple[Tally, Counted]:
    """The tally with a label, in place of `old` where there is one; undoes and redoes to the last digit but one.

    A label decays from when its step was decided, not from when it came, so late ones weigh what they should.

    Args:
        tally: The counts so far.
        new: The label.
        at: When the step was decided.
        now: The time of counting.
        old: What was counted for the same record before.
        faded: How far alarms have aged the model's counts, in half-lives.
    """
    now, faded = max(now, tally.at), max(faded, tally.faded)
    number = tally.labels + (old is None)
    aged = (now - tally.at) / HALF_LIFE_SECONDS + (number - tally.labels) / HALF_LIFE_LABELS + faded - tally.faded
    left = 2.0**-aged
    successes, failures = tally.successes * left, tally.failures * left
    counted = Counted(
        label=new, number=old.number if old else number, at=at, faded=min(faded, old.faded) if old else faded
    )
    for sign, one in ((-1, old), (1, counted)):
        if one is not None:
            age = max(0.0, now - at) / HALF_LIFE_SECONDS + (number - one.number) / HALF_LIFE_LABELS
            age += faded - one.faded
            weight = sign * one.label.confidence * 2.0**-age
            successes += weight * one.label.score
            failures += weight * (1 - one.label.score)
    masses = {"successes": max(0.0, successes), "failures": max(0.0, failures)}
    return replace(tally, **masses, labels=number, at=now, faded=faded), counted


def average(tally: Tally, outcome: Remembered) -> Tally:
    """The tally with one more attempt in its averages; what is unknown of it is in none."""
    seen = tally.seen + 1
    weight = max(1 / seen, 1 / AVERAGE_LABELS)

    def mean(old: float, new: float | None) -> float:
        if new is None:
            return old
        return old + weight * (new - old) if old else float(new)

    return replace(
        tally,
        seen=seen,
        output_tokens=mean(tally.output_tokens, outcome.usage.output_tokens),
        seconds=mean(tally.seconds, outcome.seconds),
        first_token_seconds=mean(tally.first_token_seconds, outcome.first_token_seconds),
        usd=mean(tally.usd, outcome.usd),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Running counts of all models at one kind of step.

    Attributes:
        kind: By model, whatever the node.
        node: By model, at the step's node alone.
    """

    kind: Mapping[str, Tally] = field(default_factory=dict)
    node: Mapping[str, Tally] = field(default_factory=dict)
