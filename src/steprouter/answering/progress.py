"""How far the answering of a step has come: what was tried, who could not be asked, and how long it took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ..memory.session import Warm
from ..models.effort import Effort
from ..routing.decision import Decision
from ..routing.policy import Policy
from ..step.step import Step
from .attempt import Attempt
from .claims import Refused
from .health import Conditions
from .resume import Able


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """A model that was to be tried and could not be asked.

    Attributes:
        model: Which one.
        refused: What stood in the way.
        at_seconds: When, counted from the beginning of the step.
    """

    model: str
    refused: Refused
    at_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What the next move rests on, beside what was tried; the same for a whole step.

    Attributes:
        step: The step.
        decision: The models to try.
        policy: What the user asks.
        windows: Tokens each model's window holds, by name; None is unknown.
        warm: Prompt prefixes that are probably cached, by model.
        conditions: The health of all deployments when the step began.
        able: How each model can go on with an answer, by name.
        efforts: The effort of each model that has one, by name. Those of one base are one deployment.
    """

    step: Step
    decision: Decision
    policy: Policy
    windows: Mapping[str, int | None] = field(default_factory=dict)
    warm: Mapping[str, Warm] = field(default_factory=dict)
    conditions: Conditions = field(default_factory=Conditions)
    able: Mapping[str, Able] = field(default_factory=dict)
    efforts: Mapping[str, Effort] = field(default_factory=dict)

    def deployment(self, model: str) -> str:
        """What a model shares with itself at other efforts."""
        effort = self.efforts.get(model)
        return model if effort is None else effort.base

    def seconds_left(self, progress: Progress) -> float | None:
        """Until an answer is of no use, from now on; None is never."""
        deadline = self.deadline_seconds
        return None if deadline is None else deadline - progress.elapsed_seconds

    @property
    def deadline_seconds(self) -> float | None:
        """Until an answer is of no use, counted from the beginning of the step; None is never."""
        known = [s for s in (self.step.place.deadline_seconds, self.policy.deadline_seconds) if s is not None]
        return min(known) if known else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What has happened since the decision, in order.

    Attributes:
        events: Attempts, and models that could not be asked.
        waited_seconds: What was waited in all.
        elapsed_seconds: How long the step has lasted.
        retried: How often a model was asked again.
        unused: Reservations of calls that were not made.
        left: What a process that ended had said of this very answer; None where there is nothing.
    """

    events: tuple[Attempt | Passed, ...] = ()
    left: Attempt | None = None
    waited_seconds: float = 0.0
    elapsed_seconds: float = 0.0
    retried: int = 0
    unused: tuple[str, ...] = ()

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """What was tried, in order."""
        return tuple(event for event in self.events if isinstance(event, Attempt))

    @property
    def made(self) -> tuple[Attempt, ...]:
        """All calls that were made for this answer, by whichever process."""
        return self.attempts if self.left is None else (self.left, *self.attempts)

    @property
    def shown(self) -> str:
        """All text that the consumer has seen."""
        return "".join(attempt.shown for attempt in self.attempts)

    @property
    def standing(self) -> Attempt | None:
        """The attempt whose answer broke off and is still to be gone on with; None where there is none."""
        for event in reversed(self.events):
            if isinstance(event, Passed) or event.lost_race or event.is_vain:
                continue
            return None if event.salvage is None or event.failure is None else event
        return self.left

    @property
    def passed(self) -> tuple[Passed, ...]:
        """Who could not be asked, in order."""
        return tuple(event for event in self.events if isinstance(event, Passed))

    def tried(self, model: str) -> tuple[Attempt, ...]:
        """The attempts with a model, but for those that lost a race: they were never heard out."""
        return tuple(a for a in self.attempts if a.model == model and not a.lost_race)

    def last_of(self, model: str) -> Attempt | Passed | None:
        """What became of a model last; None if it was not to be asked."""
        found = (e for e in reversed(self.events) if e.model == model and not (isinstance(e, Attempt) and e.lost_race))
        return next(found, None)

    def after_wait(self, seconds: float) -> Progress:
        """The progress after a wait."""
        return replace(
            self,
            waited_seconds=self.waited_seconds + seconds,
            elapsed_seconds=self.elapsed_seconds + seconds,
        )

    def after_calls(self, *attempts: Attempt, is_retry: bool = False, unused: tuple[str, ...] = ()) -> Progress:
        """The progress after calls; that which decides how to go on is put last, the answer of a race in particular."""
        attempts = tuple(sorted(attempts, key=weight))
        ended = max((a.began_seconds + a.seconds for a in attempts), default=0.0)
        return replace(
            self,
            events=(*self.events, *attempts),
            elapsed_seconds=max(self.elapsed_seconds, ended),
            retried=self.retried + is_retry,
            unused=(*self.unused, *unused),
        )

    def after_refusal(self, model: str, refused: Refused) -> Progress:
        """The progress after a model could not be asked."""
        one = Passed(model=model, refused=refused, at_seconds=self.elapsed_seconds)
        return replace(self, events=(*self.events, one))


def weight(attempt: Attempt) -> int:
    """How much an attempt of several at once says about how to go on; who lost a race was never heard out."""
    if attempt.lost_race:
        return 0
    return 2 if attempt.answer is not None or attempt.shown else 1
