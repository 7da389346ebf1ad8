"""An attempt as it happens: what a model says is shaped, shown, and written down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from .answering.answer import Answer, Delta
from .answering.attempt import Attempt
from .answering.billing import billed_usage
from .answering.failures import Failure, FailureKind, Phase, cancelled, classify, truncated
from .answering.resume import salvaged
from .answering.seam import Unjoinable
from .answering.shape import Shaper, whole_call
from .clock import Clock
from .commands import Call
from .journaling import Scribe
from .models.cost import Usage
from .models.tokens import estimate_tokens
from .providers.deadline import OutOfTime
from .providers.responses_cursor import Bookmark
from .providers.wire import Wire
from .step.step import Step

Beat = Callable[[], None]


@dataclass(slots=True)
class Take:
    """One attempt as it happens: what was said so far, and when."""

    command: Call
    shaper: Shaper
    clock: Clock
    step: Step
    began: float
    run_began: float
    provider: str | None = None
    beat: Beat | None = None
    watched: bool = True
    bookmark: Bookmark | None = None
    scribe: Scribe | None = None
    first: float | None = None

    @property
    def answering(self) -> Take:
        """The attempt whose pieces are shown; a race has several."""
        return self

    def feed(self, delta: Delta) -> Delta | None:
        """The part of a piece that may be shown."""
        if self.first is None:
            self.first = self.clock.monotonic()
        if self.beat is not None:
            self.beat()
        shown = self.shaper.feed(delta)
        if self.scribe is not None and (self.shaper.fresh or delta.tools):
            self.scribe.hear(self.shaper, self.bookmark)
        return shown

    def finished(self) -> Attempt:
        """The attempt, its stream having ended."""
        if self.shaper.finish is not None:
            answer = self.shaper.answer()
        if isinstance(self.shaper.join, Unjoinable):
            return self.attempt(failure=unjoined(self.shaper.join, self.shaper.phase, self.command.model))
        if self.shaper.finish is None:
            return self.attempt(failure=truncated(self.shaper.phase, model=self.command.model))
        return self.attempt(answer=answer)

    def failed(self, wire: Wire, error: Exception) -> Attempt:
        """The attempt, its wire having raised."""
        seen = wire.saw(error)
        now = self.clock.now()
        failure = classify(seen, self.shaper.phase, model=self.command.model, error=error, now=now)
        if self.command.cursor is not None and failure.kind is FailureKind.NOT_FOUND:
            # The answer is not kept any longer; nothing is wrong with the deployment.
            failure = replace(failure, kind=FailureKind.BAD_REQUEST)
        if self.shaper.finish is not None and (attempt := self.finished()).answer is not None:
            return replace(attempt, kept=failure)  # all had been said
        timeouts = self.command.timeouts
        hurried = {FailureKind.TIMEOUT_FIRST_TOKEN: timeouts.is_rushed, FailureKind.STALLED: timeouts.is_short}
        cut_short = hurried.get(failure.kind, False) or isinstance(error, OutOfTime)
        return replace(self.attempt(failure=failure), cut_short=cut_short)

    def cancelled(self) -> Attempt:
        """The attempt, its consumer having gone away."""
        return self.attempt(failure=cancelled(self.shaper.phase, model=self.command.model))

    def attempt(self, answer: Answer | None = None, failure: Failure | None = None) -> Attempt:
        """The attempt as a value."""
        cursor = self.bookmark.cursor if self.bookmark is not None else None
        is_structured = self.command.is_structured
        return Attempt(
            id=self.command.id,
            model=self.command.model,
            why=self.command.why,
            answer=answer,
            failure=failure,
            shown=self.shaper.shown,
            usage=self.usage(failure),
            began_seconds=self.began - self.run_began,
            seconds=self.clock.monotonic() - self.began,
            first_token_seconds=None if self.first is None else self.first - self.began,
            salvage=None
            if failure is None
            else salvaged(self.shaper, is_structured=is_structured, watched=self.watched, cursor=cursor),
            join=self.shaper.join,
        )

    def usage(self, failure: Failure | None) -> Usage:
        """Tokens to pay for; estimated where the provider did not say, as providers bill what breaks off."""
        if failure is None and self.shaper.usage is not None:
            return self.shaper.usage.less(self.command.billed)
        calls = [whole_call(pieces) for pieces in self.shaper.calls.values()]
        spoken = estimate_tokens(self.shaper.spoken) + sum(estimate_tokens(call.name + call.raw) for call in calls)
        asked = self.step.needs.input_tokens + self.command.added_tokens
        billed = billed_usage(self.provider, failure, self.shaper.usage, asked_tokens=asked, spoken_tokens=spoken)
        return billed.less(self.command.billed)


def unjoined(found: Unjoinable, phase: Phase, model: str) -> Failure:
    """The failure of a continuation that cannot be joined to what it was to go on with."""
    return Failure(kind=FailureKind.INVALID_OUTPUT, phase=phase, model=model, text=found.why)
