"""The one thread of a process that takes the lines of all its pens to the store."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any

import redis

from steprouter.memory.recall import Missing

from ..connect import Connection
from ..memory.patient import ask
from ..memory.pipeline import Command
from .journal_cipher import Cipher
from .journal_pens import BATCH_LINES, Pen, Waker, waiting
from .journal_scripts import JOURNAL_SECONDS, LOADING

FLUSH_SECONDS = 0.045
"""How long lines wait for others: with the way to the store they are there within 50 ms."""

RETRY_SECONDS = 0.25
"""How long the thread waits when the store did not take what it was told."""

LINGER_SECONDS = 5.0
"""How long the thread waits for another answer before it ends; to start one costs a tenth of a millisecond."""

LEFT = 32
"""Unfinished answers that this process remembers by itself; `LARGEST_BYTES` each at most."""

TRIP = 64
"""Pens in one round trip."""


class Desk:
    """The pens of one process.

    Args:
        connection: The store.
        cipher: Seals lines; None leaves them open.
    """

    def __init__(self, connection: Connection, cipher: Cipher | None) -> None:
        self.connection = connection
        self.cipher = cipher
        self.pens: dict[str, Pen] = {}
        self.waker: Waker = queue.SimpleQueue()
        self.lock = threading.Lock()
        self.thread: threading.Thread | None = None
        self.missing: Missing | None = None
        self.away_from: float | None = None
        self.is_closing = False
        self.sweep_at = LEFT
        self.told: list[threading.Event] = []

    def add(self, pen: Pen, now: float) -> None:
        """Write with a pen from now on."""
        if len(self.pens) >= self.sweep_at:
            self.sweep(now)
            self.sweep_at = max(LEFT, 2 * len(self.pens))
        self.pens[pen.entry.run] = pen
        if pen.waker is not None:
            self.begin(pen)

    def begin(self, pen: Pen) -> None:
        """Have the thread run."""
        with self.lock:
            self.is_closing = False
            if self.thread is not None:
                return
            thread = threading.Thread(target=self.run, name="steprouter-journal", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # the interpreter is on its way out, or the system has no thread left
                pen.stop(Missing(reason=f"a journal cannot be written: {error}"))
                return
            self.thread = thread

    def sweep(self, now: float) -> None:
        """Forget what is over, and of what was left all but the latest."""
        pens = list(self.pens.values())
        left = sorted((pen for pen in pens if pen.state == "left"), key=lambda pen: pen.left_at)
        fresh = [pen for pen in left if now - pen.left_at < JOURNAL_SECONDS][-LEFT // 2 :]
        stale = {id(pen) for pen in left} - {id(pen) for pen in fresh}
        for pen in pens:
            if pen.state == "gone" or id(pen) in stale:
                self.pens.pop(pen.entry.run, None)

    def in_place(self, key: str) -> list[Pen]:
        """The pens of this process in a place."""
        return [pen for pen in list(self.pens.values()) if pen.key == key]

    def retake(self, run: str, now: float) -> Pen | None:
        """The pen of an answer that this process left, open again; None if there is none, or another took it."""
        with self.lock:
            pen = self.pens.get(run)
            if pen is None or not pen.can_be_retaken(now):
                return None
            pen.reopen()
        if pen.waker is not None:
            self.begin(pen)
        return pen

    def run(self) -> None:
        """Write until there has been nothing to write for a while."""
        while self.rest():
            self.write()
            self.tell_waiting()
        while self.called(0.0) is not None:
            pass
        self.tell_waiting()

    def tell_waiting(self) -> None:
        """Tell those who wait that it was tried to write what they had noted."""
        for event in self.told:
            event.set()
        self.told.clear()

    def rest(self) -> bool:
        """Wait until there is something to write, and gather; False ends the thread."""
        pens = list(self.pens.values())
        if not waiting(pens):
            for pen in pens:
                pen.listen()
            # Looked at again: a line may have come before its pen was told to call.
            if not waiting(pens) and self.called(LINGER_SECONDS) is None and self.may_end():
                return False
        if self.is_closing and self.may_end():
            return False
        until = time.monotonic() + FLUSH_SECONDS
        while not self.told and (left := until - time.monotonic()) > 0 and not self.is_urgent():
            if self.called(left):
                break
        return True

    def called(self, seconds: float) -> bool | None:
        """Wait to be called; whether it is urgent to write, or None if nobody calls."""
        try:
            call = self.waker.get(timeout=seconds)
        except queue.Empty:
            return None
        if isinstance(call, threading.Event):
            self.told.append(call)
        return call is not False

    def is_urgent(self) -> bool:
        """Whether there is much to write, or an answer is over that the store knows of."""
        pens = waiting(list(self.pens.values()))
        return any(len(pen.lines) - pen.written >= BATCH_LINES or (pen.state != "open" and pen.is_sent) for pen in pens)

    def may_end(self) -> bool:
        """Whether no pen needs the thread any more; it then counts as ended."""
        with self.lock:
            is_needed = any(pen.state not in ("left", "gone") for pen in list(self.pens.values()))
            if (is_needed or not self.waker.empty()) and not self.is_closing:
                return False
            self.thread = None
            return True

    def write(self) -> None:
        """Tell the store all that waits; where it does not answer, some of it later."""
        pens, facts = waiting(list(self.pens.values())), self.connection.facts
        if facts is not None and facts.place == "memory":
            self.missing = None
            for pen in pens:
                pen.stay_here()
        elif self.missing is not None and self.connection.degraded is not None:
            for pen in pens:
                pen.missing = self.missing
        else:
            orders = [(pen, *order) for pen in pens if (order := pen.order(self.cipher)) is not None]
            self.missing = None
            for first in range(0, len(orders), TRIP):
                self.missing = self.missing or self.tell(orders[first : first + TRIP])
        self.drop_gone()
        if self.missing is not None and not self.is_closing:
            time.sleep(RETRY_SECONDS)

    def drop_gone(self) -> None:
        """Forget what is over: also what the store was to remove, once it has expired there."""
        now = time.monotonic()
        self.away_from = None if self.missing is None else self.away_from or now
        has_expired = self.away_from is not None and now - self.away_from > JOURNAL_SECONDS
        for pen in list(self.pens.values()):
            if pen.state == "ending" and (has_expired or not pen.is_sent):
                pen.state = "gone"
            if pen.state == "gone":
                self.pens.pop(pen.entry.run, None)

    def tell(self, orders: Sequence[tuple[Pen, int | None, Command]]) -> Missing | None:
        """Tell the store some of it, in one round trip; why some of it is to be told again, or None."""
        commands = [command for _, _, command in orders]
        replies = ask(self.connection, commands)
        if not isinstance(replies, Missing) and is_forgotten(replies):
            again = ask(self.connection, [*LOADING, *commands])
            replies = again if isinstance(again, Missing) else again[len(LOADING) :]
        if isinstance(replies, Missing):
            for pen, _, _ in orders:
                pen.unanswered(replies)
            return replies
        for (pen, upto, command), reply in zip(orders, replies, strict=True):
            pen.answered(upto, command, reply)
        return next((pen.missing for pen, upto, _ in orders if upto is None and pen.state == "ending"), None)

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until all is written that was noted; False if it is not by then."""
        noted = [(pen, len(pen.lines), pen.state) for pen in waiting(list(self.pens.values()))]
        written = threading.Event()
        with self.lock:
            if self.thread is not None:
                self.waker.put(written)
        if self.thread is not None:
            written.wait(timeout_seconds)
        return all(pen.has_written(lines, state) for pen, lines, state in noted)

    def close(self, timeout_seconds: float) -> None:
        """Write what waits and end the thread; another pen starts it again."""
        self.flush(timeout_seconds)
        with self.lock:
            thread, self.is_closing = self.thread, True
        if thread is not None:
            self.waker.put(True)
            thread.join(timeout_seconds)


def is_forgotten(replies: Iterable[Any]) -> bool:
    """Whether the server does not know the scripts."""
    return any(isinstance(reply, redis.exceptions.NoScriptError) for reply in replies)
