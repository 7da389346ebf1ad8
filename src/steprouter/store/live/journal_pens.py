"""Pens write journals: on the path they add to a list; one thread of the process takes the lines to the store."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from threading import Event
from typing import Any, Literal

from steprouter.memory.journal import JournalEntry, Line
from steprouter.memory.recall import Missing

from ..memory.pipeline import Command
from .journal_cipher import Cipher, binding
from .journal_records import kept_lines
from .journal_scripts import JOURNAL_SECONDS, end_command, write_command

BATCH_LINES = 32
"""So many lines are written without waiting for the rest of `FLUSH_SECONDS`: what a crash may cost at most."""

LARGEST_BYTES = 256 * 1024
"""What a journal may hold; 64 000 tokens. A longer answer is not kept: to go on from it would cost another prompt."""

State = Literal["open", "leaving", "left", "ending", "gone"]

Waker = SimpleQueue[bool | Event]
"""Wakes the thread: True to write at once, False to gather first, an event to be told when all is written.

A simple queue may be put to from a finaliser, which may close a stream amid a put of the same thread.
"""


class Pen:
    """Writes the journal of one answer.

    `note`, `finish` and `leave` never wait, take no lock and never raise; they may be called from any thread, but not
    from two at once.

    Args:
        waker: Wakes the thread; None where nothing leaves this process.
        key: Where the journal lies.
        tenant: Whose it is.
        entry: What it holds when it is opened; names the answer and the owner.
        head: Gives task, beginning, thread and user, for the store; called by the thread.
        is_known: Whether the store has the entry.

    Attributes:
        missing: Why the store does not have all of it; None if all is well.
        is_sent: Whether anything of it may have reached the store.
        is_unsure: Whether something was sent of which nobody knows whether it came.
        is_stopped: Whether no more lines are written.
    """

    __slots__ = (
        "bytes", "due", "entry", "head", "is_known", "is_sent", "is_stopped", "is_unsure", "key", "left_at", "lines",
        "missing", "shift", "state", "tenant", "waker", "written",
    )  # fmt: skip

    def __init__(
        self,
        waker: Waker | None,
        key: str,
        tenant: str,
        entry: JournalEntry,
        head: Callable[[], tuple[str, ...]],
        *,
        is_known: bool = False,
    ) -> None:
        self.waker = waker
        self.key = key
        self.tenant = tenant
        self.entry = entry
        self.head = head
        self.is_known = is_known
        self.is_sent = is_known
        self.is_unsure = False
        self.is_stopped = False
        self.lines: list[Line] = list(entry.lines)
        self.written = len(self.lines)
        self.shift = entry.length - self.written
        self.bytes = self.size()
        self.due = sys.maxsize if waker is None else self.written + 1
        self.state: State = "open"
        self.left_at = 0.0
        self.missing: Missing | None = None

    def __repr__(self) -> str:
        return f"Pen({self.entry.run!r}, {self.state!r}, {len(self.lines)} lines)"

    def note(self, line: Line) -> None:
        """Add a line: text that is being shown, a whole tool call, the beginning of an attempt, how things stand."""
        self.lines.append(line)
        if len(self.lines) >= self.due:
            self.wake()

    def wake(self) -> None:
        """Tell the thread that there is something; at once, if there is much."""
        is_much = len(self.lines) - self.written >= BATCH_LINES
        self.due = sys.maxsize if is_much else self.written + BATCH_LINES
        if self.waker is not None:
            self.waker.put(is_much)

    def finish(self) -> None:
        """The answer was given, or nobody wants it: there is to be no journal of it."""
        self.end("gone" if self.waker is None else "ending")

    def leave(self, now: float, *, keep: bool) -> None:
        """The answer is left unfinished.

        Args:
            now: Unix time in seconds.
            keep: Whether whoever runs the task again may go on from it; else as `finish`.
        """
        if keep and self.size() <= LARGEST_BYTES:
            self.left_at = now
            self.end("left" if self.waker is None else "leaving")
        else:
            self.finish()

    def size(self) -> int:
        """About how much it holds."""
        return sum(len(line) for line in self.lines if isinstance(line, str))

    def end(self, state: State) -> None:
        """Write no more; the thread sees to the rest."""
        if self.state != "open":
            return
        self.due = sys.maxsize
        self.state = state
        if self.waker is not None and (self.is_sent or state == "leaving"):
            self.waker.put(True)

    def reopen(self) -> None:
        """Go on with what was left in this process."""
        self.state = "open"
        self.listen()

    def listen(self) -> None:
        """Call the thread with the next line."""
        if self.state == "open" and self.waker is not None and not self.is_stopped:
            self.due = self.written + 1

    def stay_here(self) -> None:
        """Leave this process no more: there is no store to be had."""
        self.waker, self.due, self.missing = None, sys.maxsize, None
        if self.state != "open":
            self.state = "left" if self.state == "leaving" else "gone"

    def so_far(self) -> JournalEntry:
        """What it holds, as a value."""
        lines, one = tuple(self.lines), self.entry
        return JournalEntry(
            run=one.run,
            owner=one.owner,
            task=one.task,
            began_at=one.began_at,
            is_left=self.state in ("leaving", "left"),
            lines=lines,
            length=len(lines) + self.shift,
        )

    def can_be_retaken(self, now: float) -> bool:
        """Whether this process may go on with it: it was left, and not too long ago."""
        return self.state in ("left", "leaving") and now - self.left_at < JOURNAL_SECONDS

    @property
    def is_waiting(self) -> bool:
        """Whether the thread has something to do for it."""
        if self.state in ("leaving", "ending"):
            return True
        is_written = self.is_stopped or self.waker is None or len(self.lines) <= self.written
        return self.state == "open" and not is_written

    def has_written(self, lines: int, state: State) -> bool:
        """Whether nothing waits of what it held when it had so many lines; what was asked of it since is apart."""
        return not self.is_waiting or self.state != state or (state == "open" and self.written >= lines)

    def order(self, cipher: Cipher | None) -> tuple[int | None, Command] | None:
        """What the store is to be told now, and how many lines it has then; None if there is nothing to tell."""
        if self.state == "ending":
            if self.is_sent:
                return None, end_command(self.key, self.entry.run, self.entry.owner, is_unsure=self.is_unsure)
            self.state = "gone"
            return None
        is_left, upto = self.state == "leaving", len(self.lines)
        some, first = self.lines[self.written : upto], self.written + self.shift
        if self.is_stopped or not (some or (is_left and self.is_sent)):
            self.state = "left" if is_left else self.state
            return None
        run, owner = self.entry.run, self.entry.owner
        try:
            lines = kept_lines(some, cipher, binding(self.tenant, self.key, run, first)) if some else b""
        except (TypeError, ValueError) as error:
            return self.give_up(Missing(reason=f"a journal cannot be written: {error}"))
        if self.bytes + len(lines) > LARGEST_BYTES:
            reason = f"the answer is longer than a journal may be ({LARGEST_BYTES} bytes)"
            return self.give_up(Missing(reason=reason, degraded=False))
        self.is_sent, head = True, () if self.is_known else self.head()
        return upto, write_command(self.key, run, owner, first, lines, head, is_left=is_left)

    def give_up(self, missing: Missing) -> tuple[int | None, Command] | None:
        """Keep no journal of this answer, nor what is there of it."""
        self.stop(missing)
        self.state = "ending"
        return self.order(None)

    def stop(self, missing: Missing) -> None:
        """Write no more lines; what is there goes when the answer ends."""
        self.missing = missing
        self.due = sys.maxsize
        self.is_stopped = True

    def answered(self, upto: int | None, command: Command, reply: Any) -> None:
        """Take note of the store's reply to an order.

        Args:
            upto: How many lines it has now; None where the journal was to be removed.
            command: The order.
            reply: The reply, or a refusal.
        """
        if isinstance(reply, Exception):
            self.refused(upto, reply)
        elif upto is None:
            self.state = "gone"
        elif reply == 1:
            self.bytes += len(command[7]) if isinstance(command[7], bytes) else 0
            self.written, self.is_known, self.missing = upto, True, None
            if self.state == "leaving" and len(self.lines) == upto:
                self.state = "left"
            elif self.state == "open":
                self.due = upto + BATCH_LINES
        else:
            why = "it was taken over or has expired" if reply == 0 else "a newer steprouter wrote it"
            self.stop(Missing(reason=f"the journal of this answer: {why}"))

    def refused(self, upto: int | None, error: Exception) -> None:
        """Take note that the store refused an order; a removal is tried again, unless something else lies there."""
        missing = Missing(reason=f"the store refused: {error}")
        if upto is not None:
            self.stop(missing)
        elif str(error).startswith("WRONGTYPE"):
            self.state = "gone"
        self.missing = missing

    def unanswered(self, missing: Missing) -> None:
        """Take note that nobody knows whether an order has come; it is given again."""
        self.missing = missing
        self.is_unsure = True


def waiting(pens: Sequence[Pen]) -> list[Pen]:
    """Those for which there is something to do."""
    return [pen for pen in pens if pen.is_waiting]
