"""Carries out what the flow commands, once for sync and once for async.

This is the only place that waits, reads the clock and calls models. The two drivers differ in colour only: an
async generator returns no value, so its last item is the attempt; everything else they share.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import aclosing, closing
from dataclasses import dataclass
from typing import Any, Protocol

from .answering.answer import Answer, Delta
from .answering.attempt import Attempt
from .answering.failures import Failure, Phase, cancelled, classify, truncated
from .answering.shape import Shaper
from .errors import ConfigError
from .flow import Call, Command, Embed, Flow, Note, Outcome, Race, Recall, Reserve, Settle, Wait
from .memory.recall import NOT_KEPT, Missing, Recalled, Vector
from .models.cost import Usage
from .models.tokens import estimate_tokens
from .providers.wire import Timeouts, Wire
from .routing.decision import Decision
from .step.step import Step
from .tracing.record import Trace

Tell = Callable[[Note], None]
Close = Callable[["Run", Outcome], None]


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
    """

    def __init__(self, step: Step, flow: Flow[Outcome], tell: Tell, began: float) -> None:
        self.step = step
        self.flow = flow
        self.tell = tell
        self.began = began
        self.decision: Decision | None = None
        self.take: Take | None = None
        self.outcome: Outcome | None = None
        self.seconds = 0.0
        self.trace: Trace | None = None
        self.pending: Command[Any] | None = None
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
    first: float | None = None

    def feed(self, delta: Delta) -> Delta | None:
        """The part of a piece that may be shown."""
        if self.first is None:
            self.first = self.clock.monotonic()
        return self.shaper.feed(delta)

    def finished(self) -> Attempt:
        """The attempt, its stream having ended."""
        if self.shaper.finish is None:
            return self.attempt(failure=truncated(self.shaper.phase, model=self.command.model))
        return self.attempt(answer=self.shaper.answer())

    def failed(self, wire: Wire, error: Exception) -> Attempt:
        """The attempt, its wire having raised."""
        seen = wire.saw(error)
        return self.attempt(failure=classify(seen, self.shaper.phase, model=self.command.model, error=error))

    def cancelled(self) -> Attempt:
        """The attempt, its consumer having gone away."""
        return self.attempt(failure=cancelled(self.shaper.phase, model=self.command.model))

    def attempt(self, answer: Answer | None = None, failure: Failure | None = None) -> Attempt:
        """The attempt as a value."""
        return Attempt(
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
        """Tokens to pay for. Providers bill what was said before a break, and nothing for a refused request."""
        if self.shaper.usage is not None:
            return self.shaper.usage
        if failure is not None and self.shaper.phase is Phase.BEFORE_FIRST_TOKEN and not self.shaper.said:
            return Usage()
        said = self.shaper.answer()
        spoken = estimate_tokens(said.text) + sum(estimate_tokens(c.name + c.raw) for c in said.tool_calls)
        asked = self.step.needs.input_tokens + self.command.lesson_tokens
        return Usage(input_tokens=asked, output_tokens=spoken, estimated=True)


class Driver:
    """Carries out the commands of flows.

    Args:
        wires: How to reach each model, by name.
        clock: Time.
        settle: Called once with each ended run; must not wait.
        embedder: Embeds steps; None where nothing is remembered.
        memory: Recalls; None where nothing is remembered.
        timeouts: How long each phase of a call may last.
    """

    def __init__(
        self,
        wires: Mapping[str, Wire],
        *,
        clock: Clock,
        settle: Close,
        embedder: Embeds | None = None,
        memory: Recalls | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        self.wires = wires
        self.clock = clock
        self.settle = settle
        self.embedder = embedder
        self.memory = memory
        self.timeouts = timeouts or Timeouts()

    def begin(self, step: Step, flow: Flow[Outcome], tell: Tell) -> Run:
        """Start a step and drive it through its decision, which spends no money.

        Raises:
            NoAbleModel: No model can take the step.
        """
        run = Run(step, flow, tell, self.clock.monotonic())
        while run.pending is not None and run.decision is None:
            run.send(self.perform(run, run.pending))
        return run

    async def abegin(self, step: Step, flow: Flow[Outcome], tell: Tell) -> Run:
        """As `begin`, without blocking the event loop."""
        run = Run(step, flow, tell, self.clock.monotonic())
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
                    reply = ((yield from self.call(run, command.calls[0], watched)),)
                case _:
                    reply = self.perform(run, command)
            run.send(reply)

    async def astream(self, run: Run, *, watched: bool) -> AsyncGenerator[Delta, None]:
        """As `stream`, without blocking the event loop."""
        while (command := run.pending) is not None:
            match command:
                case Call() | Race():
                    one = command if isinstance(command, Call) else command.calls[0]
                    reply: Any = None
                    async with aclosing(self.acall(run, one, watched)) as pieces:
                        async for piece in pieces:
                            if isinstance(piece, Attempt):
                                reply = piece if command is one else (piece,)
                            else:
                                yield piece
                case _:
                    reply = await self.aperform(run, command)
            run.send(reply)

    def call(self, run: Run, command: Call, watched: bool) -> Generator[Delta, None, Attempt]:
        """Call one model; gives what may be shown and returns the attempt."""
        take, wire = self.take(run, command, watched), self.wires[command.model]
        try:
            with closing(wire.stream(command.ask, self.timeouts)) as pieces:
                for delta in pieces:
                    if (shown := take.feed(delta)) is not None:
                        yield shown
        except passing_errors():
            self.abandon(run, take)
            raise
        except Exception as error:  # one of the three broad guards: a broken model is an attempt
            return take.failed(wire, error)
        except BaseException:  # the consumer went away
            self.abandon(run, take)
            raise
        return take.finished()

    async def acall(self, run: Run, command: Call, watched: bool) -> AsyncGenerator[Delta | Attempt, None]:
        """As `call`; the attempt is the last item."""
        take, wire = self.take(run, command, watched), self.wires[command.model]
        try:
            async with aclosing(wire.astream(command.ask, self.timeouts)) as pieces:
                async for delta in pieces:
                    if (shown := take.feed(delta)) is not None:
                        yield shown
        except passing_errors():
            self.abandon(run, take)
            raise
        except Exception as error:  # the same guard as in `call`
            yield take.failed(wire, error)
            return
        except BaseException:  # the consumer went away
            self.abandon(run, take)
            raise
        yield take.finished()

    def take(self, run: Run, command: Call, watched: bool) -> Take:
        """An attempt about to begin."""
        run.take = Take(
            command=command,
            shaper=command.shaping.start(watched=watched),
            clock=self.clock,
            step=run.step,
            began=self.clock.monotonic(),
            run_began=run.began,
        )
        return run.take

    def close(self, run: Run) -> None:
        """End a run that its caller is done with: a cancelled attempt is settled, an unused flow just ends.

        An async generator whose consumer went away is closed by the event loop at some later time; what was
        spent must not depend on that.
        """
        if run.take is not None:
            self.abandon(run, run.take)
        run.close()

    def abandon(self, run: Run, take: Take) -> None:
        """Let the flow settle what was spent on a consumer that went away; calls nobody and waits for nothing."""
        if run.take is not take:
            return  # settled already, when the run was closed
        run.send(take.cancelled())
        while run.pending is not None:
            if isinstance(run.pending, Call | Race | Wait):
                run.close()
            else:
                run.send(self.reply(run, run.pending))

    def perform(self, run: Run, command: Command[Any]) -> Any:
        """Carry out a command that calls no model."""
        match command:
            case Wait():
                return self.clock.sleep(command.seconds)
            case Embed() if self.embedder is not None:
                return self.embedder.embed(command.text)
            case Recall() if self.memory is not None:
                return self.memory.recall(command.step, command.vector)
            case _:
                return self.reply(run, command)

    async def aperform(self, run: Run, command: Command[Any]) -> Any:
        """As `perform`, without blocking the event loop."""
        match command:
            case Wait():
                return await self.clock.asleep(command.seconds)
            case Embed() if self.embedder is not None:
                return await self.embedder.aembed(command.text)
            case Recall() if self.memory is not None:
                return await self.memory.arecall(command.step, command.vector)
            case _:
                return self.reply(run, command)

    def reply(self, run: Run, command: Command[Any]) -> Any:
        """Carry out a command that takes no time."""
        match command:
            case Embed() | Reserve():
                return NOT_KEPT
            case Recall():
                return Recalled()
            case Note():
                run.decision = command.decision or run.decision
                run.tell(command)
            case Settle():
                run.seconds = self.clock.monotonic() - run.began
                self.settle(run, command.outcome)
            case _:
                raise TypeError(f"the driver knows no command {type(command).__name__}")
        return None
