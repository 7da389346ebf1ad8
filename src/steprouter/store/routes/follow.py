"""The routes in force as one process has them: at hand without asking anybody, and brought up to date beside the steps.

Importing this brings neither NumPy nor the client library; a thread does, once there are routes to look at.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from steprouter.errors import ConfigError
from steprouter.memory.recall import Missing
from steprouter.routing.routes import Route

from ..connect import Connection
from ..keys import Keys

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from steprouter.routing.route_match import RouteTable

    from .read import Mark, Unfit
    from .records import Stored

    Floats = npt.NDArray[np.float32]
    Vectors = Mapping[str, Floats]

log = logging.getLogger("steprouter.store")

LOOK_SECONDS = 0.3
"""How often a process asks whether the routes have changed: a round trip of 0.2 ms; a change shall count within 1 s."""

SELDOM_SECONDS = 30.0
"""How often where the store can hold none: somebody may give it what it lacks."""

WRITE_AFTER_SECONDS = 2.0
"""Not beside a process's first steps: writing loads redisvl, a quarter of a second of work and more."""

AT_ONCE = 500
"""Examples that are embedded within the first step, by an embedder that computes and asks nobody: 30 ms, where opening
it takes 200. More, and those of others, are embedded beside the steps."""

LONGEST_PAUSE_SECONDS = 60.0
"""Between two tries of an embedder that fails."""

MOST_WRITES = 3
"""Of routes that do not come back as they were written, until what is there is taken instead."""


class Embeds(Protocol):
    """The part of an embedder that is used."""

    @property
    def identity(self) -> str:
        """Model, version and dimension."""
        ...

    @property
    def dimension(self) -> int:
        """Numbers in a vector."""
        ...

    @property
    def blocks(self) -> bool:
        """Whether a call may take longer than a step should wait for without notice."""
        ...


class EmbedsAll(Protocol):
    """An embedder, and how it gives many vectors or says why not."""

    @property
    def embedder(self) -> Embeds:
        """What embeds."""
        ...

    def embed_all(self, texts: Sequence[str]) -> Floats | Missing:
        """A row a text; may take long."""
        ...


class Routes:
    """The routes of a router: its policy's, which it stores, or those of a stored router that others may change.

    Safe in threads and after a fork. The thread starts with the first look at the table and ends with the object. What
    is at hand goes on being used while the store is away.

    Where the routes have no name, they are stored under one of our own, which routers with routes of these names and
    this embedder share, and the policy's examples win over what is there when a process begins. Where they have one,
    what is there wins; only where nothing is, the policy's are written.

    Args:
        routes: The policy's.
        named: The stored router; None takes a name of our own.
        connection: The store; memory keeps the policy's routes in this process.
        keys: Gives what names keys; called when first needed, as it may read a file.
        embedder: Embeds examples.
        look_seconds: How often the store is asked.
        write_after_seconds: How long after the first look something may be written.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        named: str | None,
        connection: Connection,
        keys: Callable[[], Keys],
        embedder: EmbedsAll,
        *,
        look_seconds: float = LOOK_SECONDS,
        write_after_seconds: float = WRITE_AFTER_SECONDS,
    ) -> None:
        self.routes = tuple(routes)
        self.named = named
        self.connection = connection
        self.keys = keys
        self.embedder = embedder
        self.look_seconds = look_seconds
        self.write_after_seconds = write_after_seconds
        self.at_hand: RouteTable | None = None
        self.troubles: dict[str, str] = {}
        self.own: Vectors | None = None
        self.seen: Mark | None = None
        self.gaps = 0
        self.is_asserted = named is not None  # the policy's examples are to win over nothing there
        self.writes = 0
        self.tries = 0
        self.try_at = 0.0
        self.write_at: float | None = None
        self.begin()

    def begin(self) -> None:
        """New locks and no thread, in this process; what is at hand stays."""
        self.lock, self.working = threading.Lock(), threading.Lock()
        self.process = os.getpid()
        self.rest()

    def rest(self) -> None:
        """No thread."""
        self.waiting: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.thread: threading.Thread | None = None

    def table(self) -> RouteTable | None:
        """The routes as they are at hand; None while they are not. Asks nobody."""
        if self.thread is None or self.process != os.getpid():
            self.start()
        return self.at_hand

    def start(self) -> None:
        """Have them followed; those of the policy are embedded at once where that is quick."""
        if self.process != os.getpid():
            self.begin()  # a fork copies neither the thread nor a lock that can be trusted
        with self.lock:
            if self.thread is not None:
                return
            count = sum(len(route.examples) for route in self.routes)
            if self.own is None and 0 < count <= AT_ONCE and not self.embedder.embedder.blocks:
                self.embed_own({})
            thread = threading.Thread(
                target=run, args=(self.waiting, weakref.ref(self)), name="steprouter-routes", daemon=True
            )
            try:
                thread.start()
            except RuntimeError:  # the interpreter is on its way out, or the system has no thread left
                return
            self.thread = thread
            weakref.finalize(self, self.waiting.put, None).atexit = False

    def close(self, timeout_seconds: float = 5.0) -> None:
        """Ends the thread; routes that are looked at again start a new one."""
        if self.process != os.getpid():
            return
        with self.lock:
            thread, waiting = self.thread, self.waiting
            self.rest()
        if thread is not None:
            waiting.put(None)
            thread.join(timeout_seconds)

    def look_now(self) -> float | None:
        """Do what is to be done, in the calling thread; seconds until the next time, None for never."""
        with self.working:
            found = None if self.is_local else self.find()
            self.embed_missing(found)
            if found is None and self.own is None:
                return max(0.0, self.try_at - time.monotonic())
            return self.follow(found)

    @property
    def degraded(self) -> str | None:
        """What is wrong with them; None while nothing is."""
        return "; ".join(self.troubles.values()) or None

    @property
    def is_local(self) -> bool:
        """Whether there is no store, by choice or for want of a server or a secret."""
        facts = self.connection.facts
        in_memory = self.connection.target.kind == "memory" or (facts is not None and facts.place == "memory")
        return in_memory or self.name is None

    @cached_property
    def name(self) -> str | None:
        """What the stored router is called; None where the deployment's secret can be neither read nor made."""
        if self.named is not None:
            return self.named
        try:
            names = sorted(route.name for route in self.routes)
            return self.keys().deployment("routes", "\0".join([self.embedder.embedder.identity, *names]))
        except ConfigError as error:
            self.say("store", f"each process keeps its own: {error}")
            return None

    @cached_property
    def wanted(self) -> tuple[Route, ...]:
        """The policy's routes that have examples, as they are stored."""
        from .records import wanted

        return wanted(self.routes)

    def find(self) -> Mark | tuple[Mark, Stored | Unfit] | Missing:
        """What the store has of the router; its mark alone where nothing has changed, or something lacks."""
        from .read import fetch, look

        assert self.name is not None
        mark = look(self.connection, self.name)
        if isinstance(mark, Missing) or mark == self.seen or not mark.is_whole or not mark.is_complete:
            return mark
        embedder = self.embedder.embedder
        stored = fetch(self.connection, self.name, mark, embedder.identity, embedder.dimension)
        return stored if isinstance(stored, Missing) else (mark, stored)

    def embed_missing(self, found: Mark | tuple[Mark, Stored | Unfit] | Missing | None) -> None:
        """Embed the policy's examples if they are needed; those that were stored need not be embedded again."""
        from .read import Mark
        from .records import Stored

        stored = found[1] if isinstance(found, tuple) and isinstance(found[1], Stored) else None
        is_there = stored is not None or (isinstance(found, Mark) and found.is_whole)
        is_spared = self.named is not None and (is_there or self.at_hand is not None)
        if self.own is None and not is_spared and time.monotonic() >= self.try_at:
            self.embed_own(stored.known() if stored is not None else {})

    def embed_own(self, known: Mapping[str, Floats]) -> None:
        """Embed the policy's examples, and take them where nothing was read yet."""
        import numpy as np

        texts = dict.fromkeys(text for route in self.wanted for text in route.examples)
        unknown = [text for text in texts if text not in known]
        fresh = self.embedder.embed_all(unknown) if unknown else ()
        if isinstance(fresh, Missing):
            self.tries += 1
            self.try_at = time.monotonic() + min(2.0**self.tries, LONGEST_PAUSE_SECONDS)
            self.say("examples", f"the examples could not be embedded: {fresh.reason}")
            return
        vectors = {**known, **dict(zip(unknown, fresh, strict=True))}
        self.own = {route.name: np.stack([vectors[text] for text in route.examples]) for route in self.wanted}
        self.say("examples", None)
        if not self.is_asserted:
            self.seen = None
        if self.seen is None:
            self.take(None)

    def follow(self, found: Mark | tuple[Mark, Stored | Unfit] | Missing | None) -> float | None:
        """Take what was found, or write what is to be there; seconds until the next look, None for never."""
        from .read import NO_SEARCH, Unfit

        if found is None:
            if self.named is not None and not self.wanted:
                self.say("store", f"the stored router {self.named!r} needs a Redis, and the store is memory")
            return None
        if isinstance(found, Missing):
            is_hopeless = found is NO_SEARCH
            # While the store is away the copy goes on, and whoever recalls tells of it.
            if found.degraded and (is_hopeless or self.at_hand is None or self.connection.degraded is None):
                self.say("store", found.reason)
            return SELDOM_SECONDS if is_hopeless else self.look_seconds
        self.say("store", None)
        if not isinstance(found, tuple):
            return self.look_seconds if found.is_whole else self.fill(found)
        self.gaps = 0
        mark, stored = found
        if isinstance(stored, Unfit):
            self.say("router", stored.reason)
            self.take(None)
        elif self.is_to_be_written(stored):
            return self.write(stored)
        else:
            skipped = ", ".join(map(repr, stored.skipped))
            self.say("router", f"stored routes cannot be used: {skipped}" if skipped else None)
            self.take(stored)
        self.seen = mark
        return self.look_seconds

    def is_to_be_written(self, stored: Stored) -> bool:
        """Whether what is stored is otherwise than a policy has it whose process has just begun."""
        if self.is_asserted or self.own is None:
            return False
        self.is_asserted = self.writes >= MOST_WRITES or stored.says(self.wanted, self.own)
        return not self.is_asserted

    def fill(self, mark: Mark) -> float:
        """Where a router lacks, or a part of it: write it if it is ours, else do without."""
        self.gaps += 1
        if self.gaps < 2 and self.seen is not None:
            return self.look_seconds  # it may be in the middle of being made anew
        if self.own and (self.named is None or mark.is_absent):
            return self.write(None)
        self.seen = None
        self.take(None)
        if self.named is not None:
            what = "no" if mark.is_absent else "only a part of a"
            self.say("router", f"there is {what} stored router {self.named!r}")
        return self.look_seconds

    def write(self, before: Stored | None) -> float:
        """Store the policy's routes; seconds until they are looked at."""
        now = time.monotonic()
        if self.write_at is None:
            self.write_at = now + self.write_after_seconds
        if now < self.write_at:
            return min(self.look_seconds, self.write_at - now)
        from .write import script, write

        assert self.name is not None
        assert self.own is not None
        told = script(self.name, self.wanted, self.own, self.vectorizer)
        lease = f"sr:{{d}}:routes-writing:{self.name}"
        missing = write(self.connection, told, lease, before=before.keys if before is not None else ())
        if missing is not None:
            if missing.degraded and not self.connection.degraded:
                self.say("router", f"they could not be stored: {missing.reason}")
            return self.look_seconds
        self.writes += before is not None
        self.seen = None
        self.say("router", None)
        return 0.0

    @property
    def vectorizer(self) -> dict[str, str]:
        """How redisvl calls what embeds: its own vectorizer where there is one, else a custom one of our name."""
        embedder = self.embedder.embedder
        theirs = getattr(embedder, "vectorizer", None)
        kind, model = getattr(theirs, "type", None), getattr(theirs, "model", None)
        if isinstance(kind, str) and isinstance(model, str) and kind != "custom":
            return {"type": kind, "model": model}
        return {"type": "custom", "model": embedder.identity}

    def take(self, stored: Stored | None) -> None:
        """Put what is stored at hand, or the policy's own routes."""
        from steprouter.routing.route_match import table_of

        if stored is not None:
            self.at_hand = stored.table(self.routes)
        else:
            self.at_hand = table_of(self.wanted, self.own) if self.own else None

    def say(self, part: str, reason: str | None) -> None:
        """Note what is wrong with a part of them, or that nothing is; the log tells it once."""
        if reason is not None and self.troubles.get(part) != reason:
            log.warning("routes: %s", reason)
        # Another dictionary each time: a step may be reading this one.
        others = {name: told for name, told in self.troubles.items() if name != part}
        self.troubles = others if reason is None else {**others, part: reason}


def run(waiting: queue.SimpleQueue[None], owner: weakref.ref[Routes]) -> None:
    """Look until told to stop or nothing can change. Holds no reference in between, so that an unused owner can go."""
    while True:
        routes = owner()
        if routes is None:
            return
        pause = look_guarded(routes)
        del routes
        if pause is None:
            return
        try:
            waiting.get(timeout=pause)
        except queue.Empty:
            continue
        return


def look_guarded(routes: Routes) -> float | None:
    """A broad guard: broken routes are a log line, and the steps go on with those at hand."""
    try:
        return routes.look_now()
    except Exception:
        log.exception("routes could not be brought up to date")
        routes.say("router", "they could not be brought up to date; the log says why")
        return SELDOM_SECONDS
