"""Races of models (hedging): a further call is made when the first has said nothing for a while.

The first call to bring a piece of an answer answers the step; the others are closed at that moment. A call runs in
a thread or task of its own only up to its first piece: then its generator is handed over, so that the pieces of
the answer cost what they cost without a race, and come no faster than they are taken.

How long a race waits before the next call is real time: a clock that sleeps cannot be woken by a piece.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import aclosing, closing, suppress
from contextvars import copy_context
from dataclasses import replace
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Generic, TypeVar

from .answering.answer import Delta
from .answering.attempt import Attempt
from .flow import Call, Race
from .models.cost import Usage
from .providers.wire import Wire
from .taking import Take

BEATEN = "another call answered first"
"""What is said about a call that was closed because another one won."""

CLOSING_SECONDS = 1.0
"""How long the end of an answer waits for the tasks of beaten calls. They were told to end at the first piece of
the answer, which takes microseconds; a model that ignores being cancelled must not hold an answer up for longer."""


Open = Callable[[Take], Generator[Delta, None, None]]
AsyncOpen = Callable[[Take], AsyncGenerator[Delta, None]]


class Lane:
    """One call of a race and what has come of it, up to its first piece.

    Attributes:
        call: The call.
        take: Its attempt, as it happens.
        attempt: Its attempt, once it is over.
        early: Pieces that came before it was known whether they are the answer's.
        spoke: Whether the last of these has content; the generator is suspended behind it.
        error: What it raised instead.
    """

    def __init__(self, call: Call, take: Take) -> None:
        self.call = call
        self.take = take
        self.attempt: Attempt | None = None
        self.early: list[Delta] = []
        self.spoke = False
        self.error: BaseException | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.call.model!r}, spoke={self.spoke})"

    def heard(self, delta: Delta) -> bool:
        """Take note of a piece; whether it has content."""
        self.early.append(delta)
        self.spoke = bool(delta.text or delta.tools or delta.blocks or delta.extra)
        return self.spoke


class ThreadLane(Lane):
    """A call in a thread, which reads up to the first piece and waits to hear whether it is the answer's.

    A thread blocked in a read cannot be interrupted: a beaten call ends with its next piece, or when its wire's
    own time is up. Nobody waits for that.
    """

    def __init__(self, call: Call, take: Take, open_: Open, arrivals: SimpleQueue[ThreadLane]) -> None:
        super().__init__(call, take)
        self._open = open_
        self._arrivals = arrivals
        self._context = copy_context()
        self._pieces: Generator[Delta, None, None] | None = None
        self._is_decided = Event()
        self._won = False

    def run(self) -> None:
        """The thread's whole life."""
        self._context.run(self._listen)
        self._arrivals.put(self)
        self._is_decided.wait()
        if not self._won and self._pieces is not None:
            with suppress(Exception):  # however a beaten model ends, its attempt has been told
                self._context.run(self._pieces.close)

    def _listen(self) -> None:
        try:
            self._pieces = self._open(self.take)
            for delta in self._pieces:
                if self.heard(delta) or self._is_decided.is_set():
                    return
        except BaseException as error:  # handed to the thread that waits, which knows what to do with it
            self.error = error

    def decide(self, *, won: bool) -> None:
        """Tell the thread whether its generator is needed; it closes one that is not. Only the first word counts."""
        if not self._is_decided.is_set():
            self._won = won
            self._is_decided.set()

    def pieces(self) -> Generator[Delta, None, None]:
        """The answer's pieces, from the first. The model goes on in the context it began in.

        Libraries that set a context variable around a stream can only take it back there.
        """
        assert self._pieces is not None
        try:
            yield from self.early
            while (delta := self._context.run(next, self._pieces, None)) is not None:
                yield delta
        finally:
            self._context.run(self._pieces.close)


class TaskLane(Lane):
    """A call in a task, which reads up to the first piece and can be cancelled at any point."""

    def __init__(self, call: Call, take: Take, open_: AsyncOpen) -> None:
        super().__init__(call, take)
        self._open = open_
        self._pieces: AsyncGenerator[Delta, None] | None = None
        self._is_beaten = False
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        """The task's whole life."""
        await self._listen()
        if self._is_beaten:
            await self._close()

    async def _listen(self) -> None:
        try:
            self._pieces = self._open(self.take)
            async for delta in self._pieces:
                if self.heard(delta) or self._is_beaten:
                    return
        except BaseException as error:  # handed to the task that waits, which knows what to do with it
            self.error = error

    async def _close(self) -> None:
        if self._pieces is not None:
            with suppress(Exception):  # however a beaten model ends, its attempt has been told
                await self._pieces.aclose()

    def stop(self) -> None:
        """Begin to close the call; `task` is done once it is closed."""
        if self._is_beaten:
            return
        self._is_beaten = True
        if not self.task.done():
            self.task.cancel()
        elif self.spoke:
            self.task = asyncio.create_task(self._close())

    async def pieces(self) -> AsyncGenerator[Delta, None]:
        """The answer's pieces, from the first."""
        assert self._pieces is not None
        async with aclosing(self._pieces):
            for delta in self.early:
                yield delta
            async for delta in self._pieces:
                yield delta


L = TypeVar("L", bound=Lane)


class Racing(Generic[L]):
    """A race under way: what a thread and an event loop do alike. It stands where a single take stands for a call.

    Args:
        race: What the flow commands.
        begin: Begins the attempt of a call.
        wires: How to reach each model, by name.
        passing: Errors that are no failure of a model; they end the race.
    """

    def __init__(
        self,
        race: Race,
        *,
        begin: Callable[[Call], Take],
        wires: Mapping[str, Wire],
        passing: tuple[type[Exception], ...],
    ) -> None:
        self._waiting = list(race.calls)
        self._after_seconds = race.after_seconds
        self._begin = begin
        self._wires = wires
        self._passing = passing
        self._due = 0.0
        self.lanes: list[L] = []

    def __repr__(self) -> str:
        return f"Racing({self.lanes!r})"

    @property
    def answering(self) -> Take:
        """The attempt whose pieces are shown; all others are over by then."""
        return next(lane.take for lane in self.lanes if lane.attempt is None)

    @property
    def is_open(self) -> bool:
        """Whether a call is still to bring its first piece."""
        return any(lane.attempt is None for lane in self.lanes)

    @property
    def left_seconds(self) -> float | None:
        """Time until the next call is due; None where there is none."""
        return max(0.0, self._due - time.monotonic()) if self._waiting else None

    def start(self, lane: Callable[[Call, Take], L]) -> None:
        """Make the next call."""
        call = self._waiting.pop(0)
        self._due = time.monotonic() + self._after_seconds
        self.lanes.append(lane(call, self._begin(call)))

    def arrived(self, lane: L) -> bool:
        """Take note of a call that spoke or ended; whether the answer is its own. An empty answer is one too.

        Raises:
            BaseException: What the call raised, if it is no failure of a model.
        """
        if lane.spoke:
            return True
        for delta in lane.early:
            lane.take.feed(delta)
        lane.attempt = lane.take.finished() if lane.error is None else self.broken(lane, lane.error)
        return lane.attempt.answer is not None

    def broken(self, lane: L, error: BaseException) -> Attempt:
        """The attempt of a call that raised.

        Raises:
            BaseException: `error`, if it is no failure of a model.
        """
        if not isinstance(error, Exception) or isinstance(error, self._passing):
            raise error
        return lane.take.failed(self._wires[lane.call.model], error)

    def won(self, winner: L) -> list[L]:
        """End the race; gives the beaten calls, which are to be closed."""
        self._waiting.clear()
        beaten = [lane for lane in self.lanes if lane is not winner and lane.attempt is None]
        for lane in beaten:
            lane.attempt = replace(abandoned(lane.take, BEATEN), lost_race=True)
        return beaten

    def attempts(self) -> tuple[Attempt, ...]:
        """One attempt for each call that was made, in the order they were made; all of them are over."""
        return tuple(lane.attempt for lane in self.lanes if lane.attempt is not None)

    def cancelled(self) -> tuple[Attempt, ...]:
        """As `attempts`, calls under way being cancelled: the consumer has gone away."""
        return tuple(abandoned(lane.take) if lane.attempt is None else lane.attempt for lane in self.lanes)


def abandoned(take: Take, why: str | None = None) -> Attempt:
    """The attempt of a call that was closed by us. Providers bill the prompt of a request that they had begun on."""
    attempt = take.cancelled()
    if why is not None and attempt.failure is not None:
        attempt = replace(attempt, failure=replace(attempt.failure, text=why))
    if attempt.usage != Usage():
        return attempt
    asked = take.step.needs.input_tokens + take.command.added_tokens
    return replace(attempt, usage=Usage(input_tokens=asked, estimated=True))


def race(racing: Racing[ThreadLane], open_: Open) -> Generator[Delta, None, tuple[Attempt, ...]]:
    """Run a race in threads; gives what may be shown and returns the attempts, of which one at most has an answer.

    Args:
        racing: The race, nothing of it begun.
        open_: Opens the stream of a call.

    Raises:
        BaseException: What a call raised that is no failure of a model; all calls are closed then, as they are
            when the consumer goes away.
    """
    try:
        winner = first_to_speak(racing, open_)
        if winner is None:
            return racing.attempts()
        for lane in racing.won(winner):
            lane.decide(won=False)
        winner.decide(won=True)
        if winner.attempt is None:
            yield from answer(racing, winner)
        return racing.attempts()
    finally:
        for lane in racing.lanes:
            lane.decide(won=False)


def first_to_speak(racing: Racing[ThreadLane], open_: Open) -> ThreadLane | None:
    """The call that is the answer's; None if all that were made have failed."""
    arrivals: SimpleQueue[ThreadLane] = SimpleQueue()

    def in_thread(call: Call, take: Take) -> ThreadLane:
        lane = ThreadLane(call, take, open_, arrivals)
        Thread(target=lane.run, name=f"steprouter race: {call.model}", daemon=True).start()
        return lane

    racing.start(in_thread)
    while racing.is_open:
        try:
            lane = arrivals.get(timeout=racing.left_seconds)
        except Empty:
            racing.start(in_thread)
            continue
        if racing.arrived(lane):
            return lane
    return None


def answer(racing: Racing[ThreadLane], winner: ThreadLane) -> Generator[Delta, None, None]:
    """What may be shown of the answer; leaves its attempt with the winner."""
    feed = winner.take.feed
    try:
        with closing(winner.pieces()) as pieces:
            for delta in pieces:
                if (shown := feed(delta)) is not None:
                    yield shown
    except Exception as error:  # one of the three broad guards, as in the driver: a broken model is an attempt
        winner.attempt = racing.broken(winner, error)
    else:
        winner.attempt = winner.take.finished()


async def arace(racing: Racing[TaskLane], open_: AsyncOpen) -> AsyncGenerator[Delta | tuple[Attempt, ...], None]:
    """As `race`, in tasks; the attempts are the last item."""
    winner: TaskLane | None = None
    try:
        winner = await afirst_to_speak(racing, open_)
        if winner is not None:
            for lane in racing.won(winner):
                lane.stop()
            if winner.attempt is None:
                async with aclosing(aanswer(racing, winner)) as pieces:
                    async for delta in pieces:
                        yield delta
        yield racing.attempts()
    finally:
        await close_all([lane for lane in racing.lanes if lane is not winner or lane.attempt is None])


async def afirst_to_speak(racing: Racing[TaskLane], open_: AsyncOpen) -> TaskLane | None:
    """As `first_to_speak`, without blocking the event loop."""

    def in_task(call: Call, take: Take) -> TaskLane:
        return TaskLane(call, take, open_)

    racing.start(in_task)
    while open_lanes := [lane for lane in racing.lanes if lane.attempt is None]:
        tasks = [lane.task for lane in open_lanes]
        done, _ = await asyncio.wait(tasks, timeout=racing.left_seconds, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            racing.start(in_task)
        for lane in open_lanes:
            if lane.task in done and racing.arrived(lane):
                return lane
    return None


async def aanswer(racing: Racing[TaskLane], winner: TaskLane) -> AsyncGenerator[Delta, None]:
    """As `answer`."""
    feed = winner.take.feed
    try:
        async with aclosing(winner.pieces()) as pieces:
            async for delta in pieces:
                if (shown := feed(delta)) is not None:
                    yield shown
    except Exception as error:  # the same guard as in `answer`
        winner.attempt = racing.broken(winner, error)
    else:
        winner.attempt = winner.take.finished()


async def close_all(lanes: list[TaskLane]) -> None:
    """Wait until calls are closed, as long as a model can be expected to take."""
    for lane in lanes:
        lane.stop()
    if tasks := [lane.task for lane in lanes if not lane.task.done()]:
        await asyncio.wait(tasks, timeout=CLOSING_SECONDS)
