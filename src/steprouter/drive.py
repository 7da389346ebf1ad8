"""Carries out what the flow commands, once for sync and once for async.

This is the only place that waits, reads the clock and calls models. The two drivers differ in colour only: an
async generator returns no value, so its last item is the attempt; everything else they share.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import aclosing, closing
from dataclasses import dataclass, replace
from typing import Any, Protocol

from .answering.answer import Answer, Delta
from .answering.attempt import Attempt
from .answering.billing import billed_usage
from .answering.claims import Claim, Grant, Granted
from .answering.failures import Failure, FailureKind, cancelled, classify, truncated
from .answering.health import Conditions
from .answering.shape import Shaper
from .errors import ConfigError
from .flow import Call, Command, Embed, Flow, Note, Outcome, Race, Recall, Reserve, Settle, Wait
from .memory.recall import NOT_KEPT, Missing, Recalled, Vector
from .models.cost import Usage
from .models.tokens import estimate_tokens
from .providers.deadline import OutOfTime, awithin, within
from .providers.wire import Wire
from .racing import Racing, arace, race
from .routing.decision import Decision
from .step.step import Step
from .tracing.record import Trace

Tell = Callable[[Note], None]
Close = Callable[["Run", Outcome], None]
Beat = Callable[[], None]


class Embeds(Protocol):
    """Turns a step's text into a vector, in time or not at all."""

    def embed(self, text: str) -> Vector | Missing:
        """The vector, or why there is none; never raises."""
        ...

    async def aembed(self, text: str) -> Vector | Missing:
        """As `embed`, without blocking the event loop."""
        ...


class Recalls(Protocol):
    """Brings what is known, in time or not at all."""

    def recall(self, step: Step, vector: Vector | Missing) -> Recalled:
        """The sections that came; never raises."""
        ...

    async def arecall(self, step: Step, vector: Vector | Missing) -> Recalled:
        """As `recall`, without blocking the event loop."""
        ...


class Live(Protocol):
    """Knows how the deployments are, grants calls, and is told how they went; never raises in a step."""

    def conditions(self, step: Step, recalled: Recalled, now: float) -> Conditions:
        """What is known of all deployments, what a recall brought included; takes no time."""
        ...

    def reserve(self, step: Step, claim: Claim, now: float) -> Grant:
        """Whether a call may be made; what it may use is set aside."""
        ...

    async def areserve(self, step: Step, claim: Claim, now: float) -> Grant:
        """As `reserve`, without blocking the event loop."""
        ...

    def began(self, model: str, attempt: str, now: float) -> None:
        """A call is under way."""
        ...

    def ended(self, attempt: Attempt, now: float) -> str | None:
        """A call has ended; why its circuit opened with that, if it did. Told twice it counts once."""
        ...


class Clock(Protocol):
    """Time as the driver needs it; `steprouter.testing.FrozenClock` is one."""

    def now(self) -> float:
        """Unix time in seconds."""
        ...

    def monotonic(self) -> float:
        """Seconds that only go forward."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...

    async def asleep(self, seconds: float) -> None:
        """Wait without blocking the event loop."""
        ...


class SystemClock:
    """The machine's clock."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)
    asleep = staticmethod(asyncio.sleep)


def passing_errors() -> tuple[type[Exception], ...]:
    """Errors that are no failure of a model: the caller's mistakes, and LangGraph's control flow.

    A graph has imported LangGraph by itself; outside one its import would double the time ours takes.
    """
    graph = sys.modules.get("langgraph.errors")
    return (ConfigError,) if graph is None else (ConfigError, graph.GraphBubbleUp)


class Run:
    """A step under way: its flow, suspended at a command.

    Attributes:
        step: The step.
        pending: The command to carry out next; None once the flow has ended.
        decision: Set once the flow has told it.
        take: The attempt that is being made; None between attempts.
        outcome: Set once the flow has ended.
        seconds: How long the whole step took, once it is settled.
        trace: Its story, once it is settled.
        has_attempted: Whether any model was called.
    """

    def __init__(self, step: Step, flow: Flow[Outcome], tell: Tell, began: float, beat: Beat | None = None) -> None:
        self.beat = beat
        self.step = step
        self.flow = flow
        self.tell = tell
        self.began = began
        self.decision: Decision | None = None
        self.take: Take | Racing[Any] | None = None
        self.outcome: Outcome | None = None
        self.seconds = 0.0
        self.trace: Trace | None = None
        self.pending: Command[Any] | None = None
        self.has_attempted = False
        self.send(None)

    def __repr__(self) -> str:
        return f"Run({self.step.id!r}, {self.step.kind!s})"

    def send(self, reply: Any) -> None:
        """Reply to the pending command and take the next one."""
        self.take = None
        try:
            self.pending = self.flow.send(reply)
        except StopIteration as end:
            self.pending, self.outcome = None, end.value

    def close(self) -> None:
        """End a flow that nobody will drive any further."""
        self.flow.close()
        self.pending = None


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
        return self.shaper.feed(delta)

    def finished(self) -> Attempt:
        """The attempt, its stream having ended."""
        if self.shaper.finish is None:
            return self.attempt(failure=truncated(self.shaper.phase, model=self.command.model))
        return self.attempt(answer=self.shaper.answer())

    def failed(self, wire: Wire, error: Exception) -> Attempt:
        """The attempt, its wire having raised."""
        seen = wire.saw(error)
        now = self.clock.now()
        failure = classify(seen, self.shaper.phase, model=self.command.model, error=error, now=now)
        timeouts = self.command.timeouts
        hurried = {FailureKind.TIMEOUT_FIRST_TOKEN: timeouts.is_rushed, FailureKind.STALLED: timeouts.is_short}
        cut_short = hurried.get(failure.kind, False) or isinstance(error, OutOfTime)
        return replace(self.attempt(failure=failure), cut_short=cut_short)

    def cancelled(self) -> Attempt:
        """The attempt, its consumer having gone away."""
        return self.attempt(failure=cancelled(self.shaper.phase, model=self.command.model))

    def attempt(self, answer: Answer | None = None, failure: Failure | None = None) -> Attempt:
        """The attempt as a value."""
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
        )

    def usage(self, failure: Failure | None) -> Usage:
        """Tokens to pay for; estimated where the provider did not say, as providers bill what breaks off."""
        if failure is None and self.shaper.usage is not None:
            return self.shaper.usage
        said = self.shaper.answer()
        spoken = estimate_tokens(said.text) + sum(estimate_tokens(c.name + c.raw) for c in said.tool_calls)
        asked = self.step.needs.input_tokens + self.command.lesson_tokens
        return billed_usage(self.provider, failure, self.shaper.usage, asked_tokens=asked, spoken_tokens=spoken)


class Driver:
    """Carries out the commands of flows.

    Args:
        wires: How to reach each model, by name.
        clock: Time.
        settle: Called once with each ended run; must not wait.
        embedder: Embeds steps; None where nothing is remembered.
        memory: Recalls; None where nothing is remembered.
        live: Knows how the deployments are and grants calls; None grants all.
        providers: Who runs each model, by name, where that is known.
        hurry: Called when an attempt has failed, so that others learn of it before the step ends; must not wait.
    """

    def __init__(
        self,
        wires: Mapping[str, Wire],
        *,
        clock: Clock,
        settle: Close,
        embedder: Embeds | None = None,
        memory: Recalls | None = None,
        live: Live | None = None,
        providers: Mapping[str, str | None] | None = None,
        hurry: Callable[[], None] | None = None,
    ) -> None:
        self.wires = wires
        self.clock = clock
        self.settle = settle
        self.embedder = embedder
        self.memory = memory
        self.live = live
        self.providers = providers or {}
        self.hurry = hurry

    def begin(self, step: Step, flow: Flow[Outcome], tell: Tell, beat: Beat | None = None) -> Run:
        """Start a step and drive it through its decision, which spends no money.

        Args:
            step: The step.
            flow: Its flow.
            tell: Hears the notes.
            beat: Called with each piece and at the beginning of each call and wait, as a sign of life.

        Raises:
            NoAbleModel: No model can take the step.
        """
        run = Run(step, flow, tell, self.clock.monotonic(), beat)
        while run.pending is not None and run.decision is None:
            run.send(self.perform(run, run.pending))
        return run

    async def abegin(self, step: Step, flow: Flow[Outcome], tell: Tell, beat: Beat | None = None) -> Run:
        """As `begin`, without blocking the event loop."""
        run = Run(step, flow, tell, self.clock.monotonic(), beat)
        while run.pending is not None and run.decision is None:
            run.send(await self.aperform(run, run.pending))
        return run

    def stream(self, run: Run, *, watched: bool) -> Generator[Delta, None, None]:
        """Drive a step to its end and give what may be shown on the way.

        Args:
            run: The step, begun.
            watched: Whether the pieces go to a consumer; where they do not, everything may be escalated.
        """
        while (command := run.pending) is not None:
            match command:
                case Call():
                    reply: Any = yield from self.call(run, command, watched)
                case Race():
                    reply = yield from self.race(run, command, watched)
                case _:
                    reply = self.perform(run, command)
            run.send(reply)

    async def astream(self, run: Run, *, watched: bool) -> AsyncGenerator[Delta, None]:
        """As `stream`, without blocking the event loop."""
        while (command := run.pending) is not None:
            match command:
                case Call() | Race():
                    reply: Any = None
                    said: AsyncGenerator[Any, None]
                    if isinstance(command, Call):
                        said = self.acall(run, command, watched)
                    else:
                        said = self.arace(run, command, watched)
                    async with aclosing(said) as pieces:
                        async for piece in pieces:
                            if isinstance(piece, Delta):
                                yield piece
                            else:
                                reply = piece
                case _:
                    reply = await self.aperform(run, command)
            run.send(reply)

    def call(self, run: Run, command: Call, watched: bool) -> Generator[Delta, None, Attempt]:
        """Call one model; gives what may be shown and returns the attempt."""
        take, wire = self.take(run, command, watched), self.wires[command.model]
        try:
            with closing(self.opened(command)) as pieces:
                for delta in pieces:
                    if (shown := take.feed(delta)) is not None:
                        yield shown
        except passing_errors():
            self.abandon(run, take)
            raise
        except Exception as error:  # one of the three broad guards: a broken model is an attempt
            return self.failed(run, take, wire, error)
        except BaseException:  # the consumer went away
            self.abandon(run, take)
            raise
        return self.finished(run, take)

    async def acall(self, run: Run, command: Call, watched: bool) -> AsyncGenerator[Delta | Attempt, None]:
        """As `call`; the attempt is the last item."""
        take, wire = self.take(run, command, watched), self.wires[command.model]
        try:
            async with aclosing(self.aopened(command)) as pieces:
                async for delta in pieces:
                    if (shown := take.feed(delta)) is not None:
                        yield shown
        except passing_errors():
            self.abandon(run, take)
            raise
        except Exception as error:  # the same guard as in `call`
            yield self.failed(run, take, wire, error)
            return
        except BaseException:  # the consumer went away
            self.abandon(run, take)
            raise
        yield self.finished(run, take)

    def opened(self, command: Call) -> Generator[Delta, None, None]:
        """The pieces of a call, as long as the step has time."""
        pieces = self.wires[command.model].stream(command.ask, command.timeouts)
        total = command.timeouts.total
        return pieces if total is None else within(pieces, total, command.model)

    def aopened(self, command: Call) -> AsyncGenerator[Delta, None]:
        """As `opened`, without blocking the event loop."""
        pieces = self.wires[command.model].astream(command.ask, command.timeouts)
        total = command.timeouts.total
        return pieces if total is None else awithin(pieces, total, command.model)

    def take(self, run: Run, command: Call, watched: bool) -> Take:
        """An attempt about to begin."""
        run.take = take = self.begun(run, command, watched)
        return take

    def begun(self, run: Run, command: Call, watched: bool) -> Take:
        """A call about to be made, of a race or alone."""
        run.has_attempted = True
        if run.beat is not None:
            run.beat()
        if self.live is not None:
            self.live.began(command.model, command.id, self.clock.now())
        return Take(
            command=command,
            shaper=command.shaping.start(watched=watched),
            clock=self.clock,
            step=run.step,
            began=self.clock.monotonic(),
            run_began=run.began,
            provider=self.providers.get(command.model),
            beat=run.beat,
        )

    def race(self, run: Run, command: Race, watched: bool) -> Generator[Delta, None, tuple[Attempt, ...]]:
        """Race models; gives what may be shown and returns the attempts."""
        run.take = racing = self.racing(run, command, watched)
        try:
            attempts = yield from race(racing, self.opened)
        except BaseException:  # the consumer went away, or what is no failure of a model; those are attempts
            self.abandon(run, racing)
            raise
        self.observe_failed(run, attempts)
        return attempts

    async def arace(self, run: Run, command: Race, watched: bool) -> AsyncGenerator[Delta | tuple[Attempt, ...], None]:
        """As `race`; the attempts are the last item."""
        run.take = racing = self.racing(run, command, watched)
        try:
            async with aclosing(arace(racing, self.aopened)) as pieces:
                async for piece in pieces:
                    if not isinstance(piece, Delta):
                        self.observe_failed(run, piece)
                    yield piece
        except BaseException:  # as in `race`
            self.abandon(run, racing)
            raise

    def racing(self, run: Run, command: Race, watched: bool) -> Racing[Any]:
        """A race about to begin; it stands where the take of a single call stands."""
        return Racing(
            command, begin=lambda call: self.begun(run, call, watched), wires=self.wires, passing=passing_errors()
        )

    def observe_failed(self, run: Run, attempts: Sequence[Attempt]) -> None:
        """Let others know at once of calls without an answer."""
        for attempt in attempts:
            if attempt.failure is not None:
                self.observe(run, attempt)

    def finished(self, run: Run, take: Take) -> Attempt:
        """An attempt whose stream has ended; one that gave an answer is judged by its checks, when all is settled."""
        attempt = take.finished()
        if attempt.failure is not None:
            self.observe(run, attempt)
        return attempt

    def failed(self, run: Run, take: Take, wire: Wire, error: Exception) -> Attempt:
        """An attempt whose wire has raised."""
        attempt = take.failed(wire, error)
        self.observe(run, attempt)
        return attempt

    def observe(self, run: Run, attempt: Attempt) -> None:
        """Let others know at once how an attempt went."""
        if self.live is not None and (why := self.live.ended(attempt, self.clock.now())) is not None:
            run.tell(Note(event="breaker_open", facts={"model": attempt.model, "why": why}))
        if self.hurry is not None:
            self.hurry()

    def close(self, run: Run) -> None:
        """End a run that its caller is done with: a cancelled attempt is settled, an unused flow just ends.

        An async generator whose consumer went away is closed by the event loop at some later time; what was
        spent must not depend on that.
        """
        if run.take is not None:
            self.abandon(run, run.take)
        elif run.has_attempted and isinstance(run.pending, Wait | Reserve):
            self.leave(run, gone_reply(run.pending))
        run.close()

    def abandon(self, run: Run, take: Take | Racing[Any]) -> None:
        """Let the flow settle what was spent on a consumer that went away; calls nobody and waits for nothing."""
        if run.take is not take:
            return  # settled already, when the run was closed
        left = take.cancelled()
        self.observe_failed(run, left if isinstance(left, tuple) else (left,))
        self.leave(run, left)

    def leave(self, run: Run, reply: Any) -> None:
        """Reply and go through the rest of a flow that nobody waits for any more."""
        run.send(reply)
        while run.pending is not None:
            match run.pending:
                case Call() | Race():
                    run.close()
                case Wait() | Reserve():
                    run.send(gone_reply(run.pending))
                case _:
                    run.send(self.reply(run, run.pending))

    def perform(self, run: Run, command: Command[Any]) -> Any:
        """Carry out a command that calls no model."""
        match command:
            case Wait():
                self.clock.sleep(command.seconds)
                return True
            case Embed() if self.embedder is not None:
                return self.embedder.embed(command.text)
            case Recall() if self.memory is not None:
                return self.with_conditions(command.step, self.memory.recall(command.step, command.vector))
            case Reserve() if self.live is not None:
                return self.live.reserve(command.step, command.claim, self.clock.now())
            case _:
                return self.reply(run, command)

    async def aperform(self, run: Run, command: Command[Any]) -> Any:
        """As `perform`, without blocking the event loop."""
        match command:
            case Wait():
                await self.clock.asleep(command.seconds)
                return True
            case Embed() if self.embedder is not None:
                return await self.embedder.aembed(command.text)
            case Recall() if self.memory is not None:
                return self.with_conditions(command.step, await self.memory.arecall(command.step, command.vector))
            case Reserve() if self.live is not None:
                return await self.live.areserve(command.step, command.claim, self.clock.now())
            case _:
                return self.reply(run, command)

    def with_conditions(self, step: Step, recalled: Recalled) -> Recalled:
        """What is known, with the health of the deployments as this process sees it."""
        if self.live is None:
            return recalled
        conditions = self.live.conditions(step, recalled, self.clock.now())
        return Recalled(sections={**recalled.sections, "health": conditions})

    def reply(self, run: Run, command: Command[Any]) -> Any:
        """Carry out a command that takes no time."""
        match command:
            case Embed():
                return NOT_KEPT
            case Reserve():
                return Granted()
            case Recall():
                return self.with_conditions(command.step, Recalled())
            case Note():
                run.decision = command.decision or run.decision
                run.tell(command)
            case Settle():
                run.seconds = self.clock.monotonic() - run.began
                self.settle(run, command.outcome)
            case _:
                raise TypeError(f"the driver knows no command {type(command).__name__}")
        return None


def gone_reply(command: Wait | Reserve) -> bool | None:
    """What a command is answered with when nobody waits any more."""
    return False if isinstance(command, Wait) else None
