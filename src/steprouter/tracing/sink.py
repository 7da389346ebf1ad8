"""Takes what ended steps leave off the path: a bounded queue and one thread that writes it in batches."""

from __future__ import annotations

import atexit
import logging
import os
import queue
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

log = logging.getLogger("steprouter.tracing")

T = TypeVar("T")

BATCH = 64
"""Steps written together: enough to share a round trip, few enough to be seen at once."""


GATHER_SECONDS = 0.01
"""What the first item of a batch waits for others. Writing one takes a millisecond of Python beside the next step,
writing ten together hardly more; and whoever reads calls `flush` first."""


class Sink(Generic[T]):
    """Accepts what ended steps leave without waiting, writes it in a thread of its own.

    A full queue loses the newest and counts it; a step never waits for it. The thread starts with
    the first item, again after a fork, and ends with the sink, unless `write` holds the sink.

    Args:
        write: Callable[[Sequence[T]], object]s a batch; what it raises is a log line, never an error of a step.
        capacity: How many may wait.
        tick_seconds: How often `write` is called when nothing comes; None does not.
    """

    def __init__(
        self,
        write: Callable[[Sequence[T]], object],
        *,
        capacity: int = 10_000,
        tick_seconds: float | None = None,
    ) -> None:
        self.write = write
        self.capacity = capacity
        self.tick_seconds = tick_seconds
        self.dropped = 0
        self.begin()
        atexit.register(close_if_alive, weakref.ref(self))

    def begin(self) -> None:
        """An empty queue without a thread, in this process."""
        self.lock = threading.Lock()
        # Simple queues may be put to from a finaliser, which can run amid a put of the same thread.
        self.waiting: queue.SimpleQueue[T | threading.Event | None] = queue.SimpleQueue()
        self.thread: threading.Thread | None = None
        self.process = os.getpid()

    def put(self, item: T) -> None:
        """Take `item`; never waits and never raises."""
        if self.process != os.getpid():
            self.begin()  # a fork copies neither the thread nor a lock that can be trusted
        with self.lock:
            if self.waiting.qsize() >= self.capacity or not self.has_thread():
                self.dropped += 1
            else:
                self.waiting.put(item)

    def wake(self) -> None:
        """Have the thread run, for the sake of its ticks; never raises."""
        if self.process != os.getpid():
            self.begin()
        if self.thread is None:
            with self.lock:
                self.has_thread()

    def has_thread(self) -> bool:
        """Whether someone writes what is put; starts the thread where there is none."""
        if self.thread is None:
            thread = threading.Thread(
                target=run,
                args=(self.waiting, self.write, self.tick_seconds),
                name="steprouter-traces",
                daemon=True,
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
            log.warning("about %d steps were not written in time", waiting.qsize())
        if self.dropped:
            log.warning("%d steps were dropped because the queue was full", self.dropped)


def run(
    waiting: queue.SimpleQueue[T | threading.Event | None],
    write: Callable[[Sequence[T]], object],
    tick_seconds: float | None,
) -> None:
    """Write batches until told to stop. Holds no reference to the sink, so that an unused one can go."""
    while True:
        batch = take(waiting, tick_seconds)
        items = [item for item in batch if item is not None and not isinstance(item, threading.Event)]
        if items or not batch:
            write_guarded(write, items)
        for item in batch:
            if isinstance(item, threading.Event):
                item.set()
        if None in batch:
            return
        del batch, items


def take(
    waiting: queue.SimpleQueue[T | threading.Event | None], tick_seconds: float | None = None
) -> list[T | threading.Event | None]:
    """The next item, and what comes soon after it, up to a batch or a mark; nothing if none comes for a tick."""
    try:
        batch = [waiting.get(timeout=tick_seconds)]
    except queue.Empty:
        return []
    until = time.monotonic() + GATHER_SECONDS
    # Who waits for what is written, or for the end, waits no longer than for the writing.
    while batch[-1] is not None and not isinstance(batch[-1], threading.Event) and len(batch) < BATCH:
        try:
            batch.append(waiting.get(timeout=max(0.0, until - time.monotonic())))
        except queue.Empty:
            break
    return batch


def write_guarded(write: Callable[[Sequence[T]], object], items: Sequence[T]) -> None:
    """One of the three broad guards: a broken sink is a log line."""
    try:
        write(items)
    except Exception:
        log.exception("%d steps could not be written", len(items))


def close_if_alive(sink: weakref.ref[Sink[T]]) -> None:
    """Close the sink at exit, if it is still there."""
    if (alive := sink()) is not None:
        alive.close()
