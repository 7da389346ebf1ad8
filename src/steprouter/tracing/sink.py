"""Takes traces off the path: a bounded queue and one thread that writes them in batches."""

from __future__ import annotations

import atexit
import logging
import os
import queue
import threading
import weakref
from collections.abc import Callable, Sequence

from .record import Trace

log = logging.getLogger("steprouter.tracing")

Write = Callable[[Sequence[Trace]], object]

BATCH = 64
"""Traces written together: enough to share a round trip, few enough to be seen at once."""


class Sink:
    """Accepts traces without waiting, writes them in a thread of its own.

    A full queue loses the newest trace and counts it; a step never waits for its trace. The thread starts with
    the first trace, again after a fork, and ends with the sink.

    Args:
        write: Writes a batch; what it raises is a log line, never an error of a step.
        capacity: Traces that may wait.
    """

    def __init__(self, write: Write, *, capacity: int = 10_000) -> None:
        self.write = write
        self.capacity = capacity
        self.dropped = 0
        self.lock = threading.Lock()
        self.begin()
        atexit.register(close_if_alive, weakref.ref(self))

    def begin(self) -> None:
        """An empty queue without a thread, in this process."""
        self.waiting: queue.Queue[Trace | None] = queue.Queue(self.capacity)
        self.thread: threading.Thread | None = None
        self.process = os.getpid()

    def put(self, trace: Trace) -> None:
        """Take `trace`; never waits and never raises."""
        self.ensure_thread()
        try:
            self.waiting.put_nowait(trace)
        except queue.Full:
            self.dropped += 1

    def ensure_thread(self) -> None:
        """Start the writing thread where there is none, as in a process that was forked."""
        if self.thread is not None and self.process == os.getpid():
            return
        with self.lock:
            if self.process != os.getpid():
                self.begin()
            if self.thread is None:
                self.thread = threading.Thread(
                    target=run, args=(self.waiting, self.write), name="steprouter-traces", daemon=True
                )
                self.thread.start()

    def flush(self, timeout_seconds: float = 5.0) -> bool:
        """Wait until all that was put is written; False if that takes longer than the timeout."""
        if self.thread is None or self.process != os.getpid():
            return True
        with self.waiting.all_tasks_done:
            return self.waiting.all_tasks_done.wait_for(lambda: not self.waiting.unfinished_tasks, timeout_seconds)

    def close(self) -> None:
        """Write what waits and end the thread; a sink that is used again starts a new one."""
        with self.lock:
            thread, self.thread = self.thread, None
        if thread is not None and self.process == os.getpid():
            self.waiting.put(None)
            thread.join(timeout=5.0)
            if self.dropped:
                log.warning("%d traces were dropped because the queue was full", self.dropped)


def run(waiting: queue.Queue[Trace | None], write: Write) -> None:
    """Write batches until told to stop. Holds no reference to the sink, so that an unused one can go."""
    while True:
        batch = take(waiting)
        traces = [trace for trace in batch if trace is not None]
        if traces:
            write_guarded(write, traces)
        for _ in batch:
            waiting.task_done()
        if None in batch:
            return


def take(waiting: queue.Queue[Trace | None]) -> list[Trace | None]:
    """The next item and what has gathered behind it, up to a batch or the end mark."""
    batch = [waiting.get()]
    while batch[-1] is not None and len(batch) < BATCH:
        try:
            batch.append(waiting.get_nowait())
        except queue.Empty:
            break
    return batch


def write_guarded(write: Write, traces: Sequence[Trace]) -> None:
    """One of the three broad guards: a broken trace sink is a log line."""
    try:
        write(traces)
    except Exception:
        log.exception("%d traces could not be written", len(traces))


def close_if_alive(sink: weakref.ref[Sink]) -> None:
    """Close the sink at exit, if it is still there."""
    if (alive := sink()) is not None:
        alive.close()
