"""Asks models which route a step takes, in time or not at all, and knows for a while what they said.

What is known stays in this process: one answer costs some thousandth of a cent, too little for a trip to the store.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import aclosing, closing
from contextvars import copy_context
from dataclasses import replace
from threading import Lock, Thread
from typing import Protocol

from .answering.answer import Delta
from .answering.attempt import Attempt
from .clock import Clock
from .commands import Call, Consult, Heard, Note
from .memory.recall import Missing
from .providers.deadline import ENDED, Came, Reader, awithin, out_of_time
from .providers.wire import Wire
from .step.step import Step
from .taking import Beat, Take

KNOWN_ANSWERS = 4096
"""Questions whose answer is known; some 200 bytes each."""

KNOWN_CHARACTERS = 100
"""Of an answer, what is known of it: more than a route's name has, so that a sentence never becomes one."""

MOST_CHARACTERS = 4_000
"""After which an answer is not listened to any more, from a server that knows no limit on tokens."""

REST_SECONDS = 30.0
"""How long nobody is asked after nothing came of it (ours): of 30 s that a thread spends on steps, it then waits 2 s in
vain at most, with the usual limit."""


class Counts(Protocol):
    """What a call of a model is reported to."""

    def began(self, model: str, attempt: str, now: float) -> None:
        """A call is under way."""
        ...

    def ended(self, attempt: Attempt, now: float) -> str | None:
        """A call has ended; why its circuit opened with that, if it did. Told twice it counts once."""
        ...

    def settle(self, attempts: tuple[Attempt, ...], unused: tuple[str, ...], now: float) -> None:
        """What calls really used; takes no time."""
        ...


class UnderWay(Protocol):
    """The step that a question is about."""

    step: Step
    began: float
    beat: Beat | None
    tell: Callable[[Note], None]


class Consultant:
    """Asks, and remembers answers. Safe in threads.

    Args:
        wires: How to reach each model, by name.
        clock: Time.
        live: Is told of calls; None is nobody.
        providers: Who runs each model, by name, where that is known.
        passing: Gives the errors that are no failure of a model.
    """

    def __init__(
        self,
        wires: Mapping[str, Wire],
        *,
        clock: Clock,
        live: Counts | None,
        providers: Mapping[str, str | None],
        passing: Callable[[], tuple[type[Exception], ...]],
    ) -> None:
        self.wires = wires
        self.clock = clock
        self.live = live
        self.providers = providers
        self.passing = passing
        self.lock = Lock()
        self.known: OrderedDict[str, Heard] = OrderedDict()
        self.rests_until = 0.0
        self.rests_because = ""

    def precedent(self, key: str) -> Heard | Missing | None:
        """What was said to this question; why nobody is to be asked; or None: it is to be asked."""
        now = self.clock.now()
        with self.lock:
            if (heard := self.known.get(key)) is not None:
                self.known.move_to_end(key)
                return heard
            left = self.rests_until - now
            return Missing(reason=f"{self.rests_because}; asked again in {left:.0f} s") if left > 0 else None

    def consult(self, command: Consult, run: UnderWay) -> Attempt:
        """Ask a model and hear it out.

        Raises:
            BaseException: What is no failure of a model; the call is settled all the same.
        """
        take, wire = self.begun(command.call, run), self.wires[command.call.model]
        try:
            with closing(heard_in_time(wire, command.call)) as pieces:
                for delta in pieces:
                    if enough(take, delta):
                        break
            attempt = take.finished()
        except self.passing():
            self.ended(command, run, take.cancelled())
            raise
        except Exception as error:  # as in the driver: a broken model is an attempt
            attempt = take.failed(wire, error)
        except BaseException:  # whoever asked has gone away
            self.ended(command, run, take.cancelled())
            raise
        return self.heard(command, run, attempt)

    async def aconsult(self, command: Consult, run: UnderWay) -> Attempt:
        """As `consult`, without blocking the event loop."""
        take, wire = self.begun(command.call, run), self.wires[command.call.model]
        try:
            async with aclosing(aheard_in_time(wire, command.call)) as pieces:
                async for delta in pieces:
                    if enough(take, delta):
                        break
            attempt = take.finished()
        except self.passing():
            self.ended(command, run, take.cancelled())
            raise
        except Exception as error:  # as in `consult`
            attempt = take.failed(wire, error)
        except BaseException:  # whoever asked has gone away
            self.ended(command, run, take.cancelled())
            raise
        return self.heard(command, run, attempt)

    def begun(self, call: Call, run: UnderWay) -> Take:
        """A call about to be made."""
        if run.beat is not None:
            run.beat()
        if self.live is not None:
            self.live.began(call.model, call.id, self.clock.now())
        return Take(
            command=call,
            shaper=call.shaping.start(watched=False, now=self.clock.monotonic),
            clock=self.clock,
            step=replace(run.step, needs=replace(run.step.needs, input_tokens=0)),
            began=self.clock.monotonic(),
            run_began=run.began,
            provider=self.providers.get(call.model),
            watched=False,
        )

    def heard(self, command: Consult, run: UnderWay, attempt: Attempt) -> Attempt:
        """Remember what was said, or that nothing came of asking."""
        with self.lock:
            said = "" if attempt.answer is None else attempt.answer.text.strip()[:KNOWN_CHARACTERS]
            if said:
                self.known[command.key] = Heard(model=attempt.model, said=said)
                while len(self.known) > KNOWN_ANSWERS:
                    self.known.popitem(last=False)
            else:
                self.rests_until = self.clock.now() + REST_SECONDS
                self.rests_because = f"{attempt.model} did not answer when it was asked last"
        return self.ended(command, run, attempt)

    def ended(self, command: Consult, run: UnderWay, attempt: Attempt) -> Attempt:
        """Report how a call went and what it used, which no outcome of a step does."""
        if self.live is not None:
            attempt, now = replace(attempt, is_probe=command.is_probe), self.clock.now()
            if (why := self.live.ended(attempt, now)) is not None:
                run.tell(Note(event="breaker_open", facts={"model": attempt.model, "why": why}))
            self.live.settle((attempt,), (), now)
        return attempt


def enough(take: Take, delta: Delta) -> bool:
    """Take in a piece of an answer; whether no more of it is wanted."""
    take.feed(delta)
    return len(take.shaper.spoken) > MOST_CHARACTERS


def heard_in_time(wire: Wire, call: Call) -> Generator[Delta, None, None]:
    """The pieces of an answer, read in a thread that is left behind when the time is up.

    A wire bounds each of its waits, and some SDKs not even that; here the whole is bounded.

    Raises:
        OutOfTime: The time is up.
        BaseException: What the wire raised.
    """
    seconds = call.timeouts.total or call.timeouts.first_token
    until = time.monotonic() + seconds
    reader: Reader[Delta] = Reader(lambda: wire.stream(call.ask, call.timeouts))
    Thread(
        target=copy_context().run, args=(reader.run,), name=f"steprouter tie-break: {call.model}", daemon=True
    ).start()
    try:
        while isinstance(came := reader.next(max(0.0, until - time.monotonic())), Came):
            yield came.item
    finally:
        reader.stop()
    if came is not ENDED:
        raise out_of_time(seconds, call.model)


def aheard_in_time(wire: Wire, call: Call) -> AsyncGenerator[Delta, None]:
    """As `heard_in_time`, in a task, which is interrupted when the time is up."""
    seconds = call.timeouts.total or call.timeouts.first_token
    return awithin(wire.astream(call.ask, call.timeouts), seconds, call.model)
