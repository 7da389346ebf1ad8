"""What one process knows of a deployment's shared health: the last record, and its own changes that are not in it yet.

A change is in the record once a write that carried it is: each write leaves a mark there. So a lost reply, or another
thread's write of the same changes, neither counts them twice nor loses them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from steprouter.answering.breaker import Breaker, Observation, State, admitted, observed

from .health_record import MARKS, Marks, Record, Unread, read_record, text_of

MOST_CHANGES = 100
"""Changes that wait for a store that is away; older ones stay this process's. They would tell of minutes ago."""

SHARED_SECONDS = 300.0
"""Changes older than the breaker's window are not shared: others would take an outage that is over for a new one."""

MOST_LIMITED_SECONDS = 3600.0
"""Longest that a deployment is left alone for a Retry-After (ours): a quota may last until midnight, but one call an
hour finds out that it was raised. A moment further ahead was set before the clock stepped back, or is a lie."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a process adds to a breaker.

    Attributes:
        at: When, Unix time in seconds.
        observation: How an attempt went; None where a lease was taken.
        holder: Who took it.
        draw: A number from 0 to 1 that is the same whenever the change is made again.
    """

    at: float
    observation: Observation | None = None
    holder: str = ""
    draw: float = 0.0

    def applied(self, breaker: Breaker) -> Breaker:
        """The breaker with it."""
        if self.observation is not None:
            return observed(breaker, self.observation, self.at, self.draw)
        return admitted(breaker, self.holder, self.at).breaker


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A write of a record, valid only while the store has what it is based on.

    Attributes:
        model: Whose record.
        mark: Names this write.
        old: The text it replaces; empty if none is kept.
        new: The text it leaves.
        record: What that says.
        changes: Numbers of the changes in it.
    """

    model: str
    mark: str
    old: bytes
    new: bytes
    record: Record
    changes: tuple[int, ...]


class Standing:
    """One deployment's health in one process. Not safe in threads: its board holds a lock.

    Attributes:
        record: What all processes knew last.
        text: How the store had it; empty if it has none.
        breaker: The record's breaker with this process's changes.
        marks: The record's marks with this process's.
        is_newer: Whether a newer version wrote the store's text, which is then left alone.
    """

    __slots__ = (
        "breaker", "changes", "is_newer", "lost", "marks", "model", "own", "record", "sent", "serial", "text",
    )  # fmt: skip

    def __init__(self, model: str) -> None:
        self.model = model
        self.record = Record()
        self.text = b""
        self.is_newer = False
        self.serial = 0
        self.changes: dict[int, Change] = {}
        self.own = Marks()
        self.breaker = self.record.breaker
        self.marks = self.record.marks
        self.sent: dict[str, Proposal] = {}
        self.lost: dict[str, Proposal] = {}

    def change(self, change: Change) -> None:
        """Know something more of the breaker."""
        self.serial += 1
        self.changes[self.serial] = change
        self.breaker = change.applied(self.breaker)
        if len(self.changes) > MOST_CHANGES:
            self.keep(next(iter(self.changes)))

    def keep(self, serial: int) -> None:
        """Keep a change in this process's own record, whether it will be shared or not."""
        breaker = self.changes.pop(serial).applied(self.record.breaker)
        self.record = replace(self.record, breaker=breaker)

    def keep_all(self) -> None:
        """Keep every change here, where there is nobody to share with."""
        self.changes.clear()
        self.record = replace(self.record, breaker=self.breaker, marks=self.marks)

    def limit(self, until: float, now: float) -> None:
        """Leave the deployment alone until then, Unix time in seconds; no shorter than was known."""
        at = max(now, math.nextafter(max(self.marks.limited_at, self.marks.out_at), math.inf))
        self.mark(replace(self.own, limited_until=max(until, self.marks.alone_until), limited_at=at))

    def say(self, out: str, now: float) -> None:
        """Take the deployment out, for this reason, or in again; it outdoes whatever was said before."""
        at = max(now, math.nextafter(max(self.marks.limited_at, self.marks.out_at), math.inf))
        self.mark(replace(self.own, out=out, out_at=at))

    def mark(self, own: Marks) -> None:
        """Replace this process's marks."""
        self.own = own
        self.marks = self.record.marks.merged(own)

    def leases(self, holder: str) -> bool:
        """Whether `holder` has the lease, as far as this process knows."""
        return self.breaker.state is State.HALF_OPEN and self.breaker.holder == holder

    def withdraw(self, holder: str) -> None:
        """Forget a lease that somebody else turned out to have."""
        for serial in [n for n, one in self.changes.items() if one.observation is None and one.holder == holder]:
            del self.changes[serial]

    def propose(self, mark: str, now: float) -> Proposal | None:
        """A write of all that is known here; None if there is nothing to write, or a newer version's is there."""
        for serial in [n for n, one in self.changes.items() if now - one.at > SHARED_SECONDS]:
            self.keep(serial)
        if self.is_newer or not self.is_unshared():
            return None
        record = replace(self.record, breaker=self.breaker, marks=self.marks).written(mark)
        proposal = Proposal(
            model=self.model, mark=mark, old=self.text, new=text_of(record), record=record, changes=tuple(self.changes)
        )
        self.sent[mark] = proposal
        return proposal

    def is_unshared(self) -> bool:
        """Whether the record lacks anything that is known here; changes that change nothing are dropped."""
        if self.breaker == self.record.breaker:
            self.changes.clear()
        return bool(self.changes) or self.marks != self.record.marks

    def accepted(self, proposal: Proposal) -> None:
        """The store took a proposal; a text that bears its mark may have told already."""
        self.sent.pop(proposal.mark, None)
        self.drop(proposal)
        if self.text == proposal.old:
            self.adopt(proposal.record, proposal.new)

    def refused(self, proposal: Proposal) -> None:
        """The store certainly did not take a proposal."""
        self.sent.pop(proposal.mark, None)

    def unanswered(self, proposal: Proposal) -> None:
        """Nobody knows whether the store took a proposal; a later text will tell."""
        if self.sent.pop(proposal.mark, None) is not None:
            self.lost[proposal.mark] = proposal
            if len(self.lost) > MARKS:
                del self.lost[next(iter(self.lost))]

    def absorb(self, text: bytes, now: float, *, is_current: bool) -> bool:
        """Take over what the store has; whether anything is known anew.

        Args:
            text: What it has; empty if nothing.
            now: Unix time in seconds.
            is_current: Whether the store refused a write for it. What a recall brought may be older than a write.
        """
        if text == self.text:
            return False
        read = read_record(text) if text else Unread.BROKEN
        if isinstance(read, Record):
            if read.revision < self.record.revision and not is_current:
                return False
            self.resolve(read, text, is_current=is_current)
            self.is_newer = False
            self.adopt(believable(read, now), text)
            return True
        self.is_newer = read is Unread.NEWER
        if is_current and not self.is_newer:
            self.text = text  # what makes no sense is written over, and what was flushed is written again
        return False

    def resolve(self, read: Record, text: bytes, *, is_current: bool) -> None:
        """Find out from a record what became of this process's writes."""
        for proposal in [*self.sent.values(), *self.lost.values()]:
            if proposal.mark in read.writes:
                self.drop(proposal)
                self.sent.pop(proposal.mark, None)
                self.lost.pop(proposal.mark, None)
        if not is_current:
            return
        for proposal in [one for one in self.lost.values() if one.old != text]:
            # So many have written since that its mark would be gone: rather once too few than twice.
            if read.revision - proposal.record.revision >= MARKS:
                self.drop(proposal)
            del self.lost[proposal.mark]

    def drop(self, proposal: Proposal) -> None:
        """Forget the changes that are in the record now."""
        for serial in proposal.changes:
            self.changes.pop(serial, None)

    def adopt(self, record: Record, text: bytes) -> None:
        """Go on from a record."""
        self.record, self.text = record, text
        self.marks = record.marks.merged(self.own)
        self.breaker = record.breaker
        for change in self.changes.values():
            self.breaker = change.applied(self.breaker)


def believable(record: Record, now: float) -> Record:
    """The record without moments that lie too far ahead to be honest: nothing could outdo them."""
    marks, latest = record.marks, now + MOST_LIMITED_SECONDS
    if max(marks.limited_until, marks.limited_at, marks.out_at) <= latest:
        return record
    until, at = marks.limited_until, marks.limited_at
    if max(until, at) > latest:
        until, at = 0.0, min(at, now)
    kept = Marks(limited_until=until, limited_at=at, out=marks.out, out_at=min(marks.out_at, now))
    return replace(record, marks=kept)
