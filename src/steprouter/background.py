"""Runs what no step waits for: flows in a few threads of their own, behind a bounded queue.

What does not fit is dropped and counted, since all that is lost is something to learn from. Threads rather than tasks,
so that a step in an event loop and one in a thread leave the same behind, and a loop that ends takes nothing with it.
"""

from __future__ import annotations

import atexit
import logging
import os
import queue
import threading
import time
import weakref
from contextvars import Context

from .answering.attempt import Attempt
from .answering.failures import Phase, cancelled
from .commands import Call, Spawn
from .drive import Driver, Run, tell_nobody
from .flow import Outcome

log = logging.getLogger("steprouter")

THREADS = 2
"""Flows that run at once: with one step in twenty probed, some forty agents' steps at once."""

CAPACITY = 16
"""Flows that wait; each holds a prompt. A probe that comes much later than its step says as much, but a queue that is
full says that they cannot all be made."""

CLOSING_SECONDS = 2.0
"""What closing waits for calls under way to end; a thread that waits for a provider cannot be interrupted."""


class Leaving(BaseException):
    """Ends a call that nobody waits for any more; no failure of its model, so none of what `except Exception` takes."""


class Work:
    """What one process does in the background, until it is closed. Threads hold this, never who gave it to them.

    Attributes:
        waiting: Flows that wait; None ends a thread.
        changed: Held to change what follows; notified when a flow has ended.
        unfinished: Flows that wait or run.
        threads: Those that run them.
        is_left: Whether calls under way are to end at their next piece.
        is_over: Whether what ends from now on is to leave nothing any more.
    """

    def __init__(self) -> None:
        self.waiting: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self.changed = threading.Condition()
        self.unfinished = 0
        self.threads: list[threading.Thread] = []
        self.is_left = False
        self.is_over = False

    def start(self) -> bool:
        """Start the threads; whether there are any."""
        while len(self.threads) < THREADS:
            thread = threading.Thread(target=run, args=(self,), name="steprouter-background", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the interpreter is on its way out, or the system has no thread left
                break
            self.threads.append(thread)
        return bool(self.threads)

    def done(self) -> None:
        """Take note of a flow that has ended."""
        with self.changed:
            self.unfinished -= 1
            self.changed.notify_all()

    def wait(self, seconds: float) -> bool:
        """Wait until nothing is unfinished; False if that takes longer."""
        with self.changed:
            return self.changed.wait_for(lambda: self.unfinished == 0, timeout=seconds)

    def stop(self) -> None:
        """Let the threads end once nothing waits."""
        for _ in range(THREADS):
            self.waiting.put(None)


class Job:
    """A flow to be run.

    Args:
        command: The flow.
        work: What it is part of.
        driver: How calls are made and where they are settled.
    """

    def __init__(self, command: Spawn, work: Work, driver: Driver) -> None:
        self.command = command
        self.work = work
        self.theirs = driver

    def run(self) -> None:
        """Run the flow to its end, or until nobody waits for it; never raises."""
        theirs = self.theirs
        driver = Driver(
            theirs.wires,
            clock=theirs.clock,
            settle=self.settle,
            live=theirs.live,
            providers=theirs.providers,
            hurry=self.hurry,
        )
        driver.leavings = theirs.leavings
        try:
            self.drive(driver)
        except Exception as error:  # as broad as the guard of the sink: what nobody waits for is a log line
            log.warning("a %s was given up: %s", self.command.why, type(error).__name__)
        finally:
            self.command.flow.close()

    def drive(self, driver: Driver) -> None:
        """Drive the flow to its end; a call that nobody waits for is settled as one that was cancelled."""
        if self.work.is_left:
            return
        under_way = Run(self.command.step, self.command.flow, tell_nobody, driver.clock.monotonic(), self.beat)
        try:
            for _ in driver.stream(under_way, watched=False):
                pass
        except Leaving:
            if isinstance(call := under_way.pending, Call):  # granted, and not begun
                failure = cancelled(Phase.BEFORE_FIRST_TOKEN, model=call.model)
                driver.leave(under_way, Attempt(id=call.id, model=call.model, why=call.why, failure=failure))

    def beat(self) -> None:
        """End a call at a sign of life, once nobody waits for it."""
        if self.work.is_left:
            raise Leaving

    def settle(self, under_way: Run, outcome: Outcome) -> None:
        """Settle what came of it, unless the store has been closed meanwhile: it would be opened anew."""
        if not self.work.is_over:
            self.theirs.settle(under_way, outcome)

    def hurry(self) -> None:
        """Let others know of a failure, unless the store has been closed meanwhile."""
        if not self.work.is_over and self.theirs.hurry is not None:
            self.theirs.hurry()


class Background:
    """Takes flows without waiting and runs them when it can. Safe in threads, and after a fork, which takes none along.

    Args:
        driver: How calls are made and where they are settled.
        capacity: How many may wait.

    Attributes:
        dropped: How many were not run, because too many waited or the router was closed.
    """

    def __init__(self, driver: Driver, *, capacity: int = CAPACITY) -> None:
        self.driver = driver
        self.capacity = capacity
        self.dropped = 0
        self.begin()
        atexit.register(close_if_alive, weakref.ref(self))

    def begin(self) -> None:
        """Nothing to do and nobody to do it, in this process."""
        self.lock = threading.Lock()
        self.process = os.getpid()
        self.work: Work | None = None

    def spawn(self, command: Spawn) -> None:
        """Take a flow; never waits and never raises."""
        if self.process != os.getpid():
            self.begin()  # a fork copies neither threads nor locks that can be trusted
        with self.lock:
            work = self.work
            if work is None:
                work = self.work = Work()
                weakref.finalize(self, work.stop).atexit = False
            if work.waiting.qsize() < self.capacity and work.start():
                with work.changed:
                    work.unfinished += 1
                work.waiting.put(Job(command, work, self.driver))
                return
            self.dropped += 1
        command.flow.close()

    def wait(self, seconds: float = 5.0) -> bool:
        """Wait until all that was taken has ended; False if that takes longer. For tests: nothing else needs it."""
        work = self.work
        return work is None or self.process != os.getpid() or work.wait(seconds)

    def close(self, seconds: float = CLOSING_SECONDS) -> None:
        """Drop what waits, and end what runs: it is waited for, but not for ever. What comes later begins anew."""
        if self.process != os.getpid():
            return
        with self.lock:
            work, self.work = self.work, None
        if work is None:
            return
        work.is_left = True
        until = time.monotonic() + seconds
        self.dropped += drop_waiting(work)
        work.stop()
        if not work.wait(max(0.0, until - time.monotonic())):
            log.warning("%d calls in the background did not end in time; nothing is kept of them", work.unfinished)
        work.is_over = True
        if self.dropped:
            log.info("%d probes were not made: too many waited, or the router was closed", self.dropped)


def drop_waiting(work: Work) -> int:
    """Take out what waits; how many those were."""
    dropped = 0
    while True:
        try:
            job = work.waiting.get_nowait()
        except queue.Empty:
            return dropped
        if job is not None:
            job.command.flow.close()
            work.done()
            dropped += 1


def run(work: Work) -> None:
    """Run one flow after another until told to stop, each in an empty context: none is part of a graph's run."""
    while (job := work.waiting.get()) is not None:
        try:
            Context().run(job.run)
        finally:
            del job
            work.done()


def close_if_alive(background: weakref.ref[Background]) -> None:
    """Close it at exit, if it is still there."""
    if (alive := background()) is not None:
        alive.close()
