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

Item = Trace | threading.Event | None
"""What waits: a trace, someone who waits for all before it to be written, or the end."""

BATCH = 64
"""Traces written together: enough to share a round trip, few enough to be seen at once."""


class Sink:
    """Accepts traces without waiting, writes them in a thread of its own.

    A full queue loses the newest trace and counts it; a step never waits for its trace. The thread starts with
    the first trace, again after a fork, and ends with the sink, unless `write` holds the sink.

    Args:
        write: Writes a batch; what it raises is a log line, never an error of a step.
        capacity: Traces that may wait.
    """

    def __init__(self, write: Write, *, capacity: int = 10_000) -> None:
        self.write = write
        self.capacity = capacity
        self.dropped = 0
        self.begin()
        atexit.register(close_if_alive, weakref.ref(self))

    def begin(self) -> None:
        """An empty queue without a thread, in this process."""
        self.lock = threading.Lock()
        # Simple queues may be put to from a finaliser, which can run amid a put of the same thread.
        self.waiting: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self.thread: threading.Thread | None = None
        self.process = os.getpid()

    def put(self, trace: Trace) -> None:
        """Take `trace`; never waits and never raises."""
        if self.process != os.getpid():
            self.begin()  # a fork copies neither the thread nor a lock that can be trusted
        with self.lock:
            if self.waiting.qsize() >= self.capacity or not self.has_thread():
                self.dropped += 1
            else:
                self.waiting.put(trace)

    def has_thread(self) -> bool:
        """Whether someone writes what is put; starts the thread where there is none."""
        if self.thread is None:
            thread = threading.Thread(
                target=run, args=(self.waiting, self.write), name="steprouter-traces", daemon=True
            )
            try:
                thread.start()
            except RuntimeError:  # the interpreter is on its way out, or the system has no thread left
                return False
            self.thread = thread
            weakref.finalize(self, self.waiting.put, None).atexit = False
        return True

    def flush(self, timeout_seconds: float = 5.0) -> bool:
        """Wait until all that was put is written; False if that takes longer than the timeout."""
        if self.thread is None or self.process != os.getpid():
            return True
        written = threading.Event()
        self.waiting.put(written)
        return written.wait(timeout_seconds)

    def close(self, timeout_seconds: float = 5.0) -> None:
        """Write what waits and end the thread; a sink that is used again starts a new one.

        A store that takes longer than the timeout is taken to be away, and not waited for.
        """
        if self.process != os.getpid():
            return
        with self.lock:
            thread, self.thread = self.thread, None
            waiting, self.waiting = self.waiting, queue.SimpleQueue()
        if thread is None:
            return
        waiting.put(None)
        thread.join(timeout_seconds)
        if thread.is_alive():
            log.warning("about %d traces were not written in time", waiting.qsize())
        if self.dropped:
            log.warning("%d traces were dropped because the queue was full", self.dropped)


def run(waiting: queue.SimpleQueue[Item], write: Write) -> None:
    """Write batches until told to stop. Holds no reference to the sink, so that an unused one can go."""
    while True:
        batch = take(waiting)
        traces = [item for item in batch if isinstance(item, Trace)]
        if traces:
            write_guarded(write, traces)
        for item in batch:
            if isinstance(item, threading.Event):
                item.set()
        if None in batch:
            return
        del batch, traces


def take(waiting: queue.SimpleQueue[Item]) -> list[Item]:
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
