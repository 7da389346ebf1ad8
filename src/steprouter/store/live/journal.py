"""The journal of unfinished streams: kept while they speak, found when a graph is resumed, taken over by one worker.

A step that was answered leaves nothing. An answer that is over before its first lines are due never reaches the
store, so short ones cost nothing.
"""

from __future__ import annotations

import atexit
import logging
import os
import secrets
import weakref
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any

from steprouter.errors import ConfigError
from steprouter.memory.journal import JournalEntry, JournalPlace, pick
from steprouter.memory.recall import Missing

from ..connect import Connection
from ..keys import Keys
from ..memory.pipeline import Replies, acarry_out, carry_out
from .journal_cipher import Cipher
from .journal_desk import Desk
from .journal_pens import Pen
from .journal_records import head_of, journal_key, task_tag
from .journal_scripts import claim_command

log = logging.getLogger("steprouter.store")


class Journal:
    """The journals that processes of a store share; in a process without a store, its own.

    Safe in threads, in several event loops, and after a fork.

    Args:
        connection: The store.
        keys: Gives what names the keys; called when first needed, as it may read a file.
        cipher: Encrypts what is kept; None keeps it as it is.
    """

    def __init__(self, connection: Connection, keys: Callable[[], Keys], *, cipher: Cipher | None = None) -> None:
        self.connection = connection
        self.find_keys = keys
        self.cipher = cipher
        self.desks: dict[int, Desk] = {}
        atexit.register(close_if_alive, weakref.ref(self))

    @cached_property
    def keys(self) -> Keys | None:
        """What names the keys; None where no secret is needed, or it can be neither read nor made."""
        if self.connection.target.kind == "memory":
            return None
        try:
            return self.find_keys()
        except ConfigError as error:
            log.warning("journals are kept in this process only: %s", error)
            return None

    @property
    def local_keys(self) -> Keys:
        """What names the keys, or what will do for this process alone."""
        return self.keys or Keys(secret=b"of this process only")

    @property
    def is_local(self) -> bool:
        """Whether this process is all there is: by choice, for want of a server, or of a secret."""
        facts = self.connection.facts
        return self.keys is None or (facts is not None and facts.place == "memory")

    @property
    def degraded(self) -> str | None:
        """Why journals do not reach the store now; None while they do, or none is written."""
        missing = self.desk().missing
        return None if missing is None or not missing.degraded else missing.reason

    def desk(self) -> Desk:
        """This process's pens: what a parent writes, the parent ends."""
        # setdefault: of two threads that come first at once, both take the same one.
        return self.desks.get(os.getpid()) or self.desks.setdefault(os.getpid(), Desk(self.connection, self.cipher))

    def open(self, place: JournalPlace, now: float) -> Pen:
        """A pen for the journal of an answer that begins; takes no time.

        Args:
            place: Where the call is made.
            now: Unix time in seconds.
        """
        entry = JournalEntry(
            run=secrets.token_hex(8),
            owner=secrets.token_hex(8),
            task=task_tag(self.local_keys, place),
            began_at=now,
        )
        return self.pen(place, entry, now)

    def pen(self, place: JournalPlace, entry: JournalEntry, now: float, *, is_known: bool = False) -> Pen:
        """A pen at work."""
        keys, desk = self.local_keys, self.desk()
        pen = Pen(
            None if self.is_local else desk.waker,
            journal_key(keys, place),
            place.tenant,
            entry,
            partial(head_of, keys, place, entry.began_at),
            is_known=is_known,
        )
        desk.add(pen, now)
        return pen

    def match(
        self, place: JournalPlace, found: Sequence[JournalEntry] | Missing | None, now: float
    ) -> JournalEntry | Missing | None:
        """The journal that a call may go on from, if it can be claimed, or why there might be one that cannot be read.

        Takes no time.

        Args:
            place: Where the call is made.
            found: What recall brought of the place.
            now: Unix time in seconds.
        """
        here = self.desk().in_place(journal_key(self.local_keys, place))
        brought = [] if found is None or isinstance(found, Missing) else found
        known = {pen.entry.run for pen in here}
        entries = [entry for entry in brought if entry.run not in known]
        entries += [pen.so_far() for pen in here if pen.can_be_retaken(now)]
        task = task_tag(self.local_keys, place)
        picked = pick(entries, task, may_be_another_task=place.may_be_another_task)
        return found if picked is None and isinstance(found, Missing) else picked

    def claim(self, place: JournalPlace, entry: JournalEntry, now: float) -> Pen | None:
        """Take a journal over: a pen that goes on with it, or None if another worker was first or has ended it.

        One round trip, within the deadline of a read; a store that does not answer gives None, unless this very
        process left the journal. The former owner's lines are refused from now on.
        """
        claiming = Claiming(self, place, entry, now)
        if self.is_local or claiming.is_lost:
            return claiming.done(None)
        replies: Replies = []
        use = partial(carry_out, commands=[claiming.command], replies=replies)
        return claiming.done(self.connection.call(use))

    async def aclaim(self, place: JournalPlace, entry: JournalEntry, now: float) -> Pen | None:
        """As `claim`, without blocking the event loop."""
        claiming = Claiming(self, place, entry, now)
        if self.is_local or claiming.is_lost:
            return claiming.done(None)
        replies: Replies = []
        use = partial(acarry_out, commands=[claiming.command], replies=replies)
        return claiming.done(await self.connection.acall(use))

    def flush(self, timeout_seconds: float = 5.0) -> bool:
        """Wait until the store has all that was noted; False if it has not by then."""
        return self.desk().flush(timeout_seconds)

    def close(self, timeout_seconds: float = 1.0) -> None:
        """Write what waits and end the thread; a journal that is used again starts another."""
        desk = self.desks.get(os.getpid())
        if desk is not None:
            desk.close(timeout_seconds)


class Claiming:
    """A claim under way.

    Args:
        journal: Of which.
        place: Where the call is made.
        entry: What is to be gone on from.
        now: Unix time in seconds.
    """

    def __init__(self, journal: Journal, place: JournalPlace, entry: JournalEntry, now: float) -> None:
        self.journal = journal
        self.place = place
        self.entry = entry
        self.now = now
        self.is_ours = entry.run in journal.desk().pens
        self.retaken = journal.desk().retake(entry.run, now)
        # Looked at before the store is asked: its first lines may be on their way.
        self.was_known = self.retaken is not None and self.retaken.is_known
        self.owner = entry.owner if self.is_ours else secrets.token_hex(8)
        self.task = task_tag(journal.local_keys, place)

    @property
    def is_lost(self) -> bool:
        """Whether another thread of this process was first."""
        return self.is_ours and self.retaken is None

    @property
    def command(self) -> Any:
        """What takes it over in the store."""
        key = journal_key(self.journal.local_keys, self.place)
        return claim_command(key, self.entry.run, self.entry.owner, self.owner, self.task)

    def done(self, replies: Replies | Missing | None) -> Pen | None:
        """The pen, if the store's answer allows it."""
        answer = replies[0] if isinstance(replies, list) else None
        if self.retaken is not None:
            if answer == 0 or (answer == -1 and self.was_known):
                self.retaken.finish()
                return None
            return self.retaken
        if answer != 1:
            return None
        entry = JournalEntry(
            run=self.entry.run,
            owner=self.owner,
            task=self.task,
            began_at=self.entry.began_at,
            lines=self.entry.lines,
            length=self.entry.length,
        )
        return self.journal.pen(self.place, entry, self.now, is_known=True)


def close_if_alive(journal: weakref.ref[Journal]) -> None:
    """Close the journal at exit, if it is still there."""
    if (alive := journal()) is not None:
        alive.close()
