"""A process that asks a new question together with others, and gets the answer if it is told to."""

from __future__ import annotations

import os
from multiprocessing.synchronize import Barrier, Event
from typing import Any

from cached_answers import NOW, ask, entry, recollection

from steprouter.caching.orders import Kept
from steprouter.store import connect

PATIENT_SECONDS = 20.0

DYING_SECONDS = 1.0
"""The lease of a process that dies over an answer."""


def work(url: str, whose: str, number: int, all_ready: Barrier, may_ask: Event, all_asked: Barrier, told: Any) -> None:
    """Ask at once with all others, get the answer if it is to, and say whose answer it was given."""
    connection = connect(url, deadline_seconds=PATIENT_SECONDS)
    memory, shelf = recollection(connection, lease_seconds=PATIENT_SECONDS)
    name = f"worker {number}"
    all_ready.wait(60.0)
    may_ask.wait(60.0)
    cached = ask(memory, whose, "q1", holder=name)
    all_asked.wait(60.0)
    found = cached.exact
    if cached.filled_by is not None:
        found = shelf.wait_filled(whose, "q1", name, PATIENT_SECONDS)
    if found is None:
        shelf.keep([Kept(tenant=whose, entry=entry("q1", cached.epoch, step_id=name), holder=name)], NOW)
    told.put((name, None if found is None else found.step_id))
    connection.close()


def die(url: str, whose: str, all_ready: Barrier, may_ask: Event) -> None:
    """Be the first to ask, and die over the answer."""
    memory, _ = recollection(connect(url, deadline_seconds=PATIENT_SECONDS), lease_seconds=DYING_SECONDS)
    memory.connection.open()
    all_ready.wait(60.0)
    assert ask(memory, whose, "q1", holder="mortal").filled_by is None
    may_ask.set()
    os._exit(1)
