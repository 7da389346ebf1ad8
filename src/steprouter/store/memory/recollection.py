"""The way to memory, whichever store there is: what a step can recall, and where it leaves what it learnt.

Nothing is opened, read or imported before a step needs it.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from steprouter.answering.budgets import Budget
from steprouter.caching.langcache import LangCacheService
from steprouter.caching.orders import Lookup
from steprouter.errors import ConfigError, StoreError
from steprouter.memory.effect import Effect
from steprouter.memory.episodes import Share, odds, spread
from steprouter.memory.labels import Label
from steprouter.memory.lessons import Lesson, Lessons
from steprouter.memory.local import LocalMemory
from steprouter.memory.recall import Missing, Recalled
from steprouter.memory.remember import Remembrance
from steprouter.step.step import Step
from steprouter.step.text import TEXT_VERSION

from ..cache.shelf import Shelf
from ..connect import Connection
from ..keys import Keys
from .schema import Space

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from steprouter.memory.local_lessons import LocalLessons

    from ..cache.langcache import LangCacheSearch
    from ..live.journal_cipher import Cipher
    from .lessons import RedisLessons
    from .remote import RedisMemory
    from .sections import Section

    Vector = npt.NDArray[np.float32]

log = logging.getLogger("steprouter.store")

T = TypeVar("T")


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

    def embed(self, text: str) -> Vector:
        """The vector of one text, unit length."""
        ...


class Recollection:
    """What one process can recall and where it leaves what it learnt; never raises in a step.

    Args:
        connection: The store.
        keys: Gives what names the keys; called when first needed, as it may read a file.
        embedder: Turns a step's text into a vector.
        models: Names of the router's models.
        lessons: What the user asks of lessons; None keeps and shows none.
        settings: A digest of each model's settings, by name; brings the health of deployments too.
        budgets: Brings what was spent of them too.
        cipher: Opens journals and answers that were encrypted.
        answers: Whether answers are kept to be given again.
        langcache: The service that finds these by meaning; None leaves that to the store.
    """

    def __init__(
        self,
        connection: Connection,
        keys: Callable[[], Keys],
        embedder: Embeds,
        *,
        models: Sequence[str] = (),
        lessons: Lessons | None = None,
        settings: Mapping[str, str] | None = None,
        budgets: Sequence[Budget] = (),
        cipher: Cipher | None = None,
        answers: bool = False,
        langcache: LangCacheService | None = None,
    ) -> None:
        self.cipher = cipher
        self.settings = settings
        self.budgets = tuple(budgets)
        self.connection = connection
        self.find_keys = keys
        self.embedder = embedder
        self.models = tuple(models)
        self.local = LocalMemory()
        self.lessons = lessons
        self.remotes: dict[int, RedisMemory] = {}
        self.refused: Missing | None = None
        self.is_behind = False
        self.shelf = Shelf(self, langcache=langcache) if answers else None

    @property
    def is_local(self) -> bool:
        """Whether this process's memory is all there is: by choice, for want of a server, or of a secret."""
        facts = self.connection.facts
        in_memory = self.connection.target.kind == "memory" or (facts is not None and facts.place == "memory")
        return in_memory or self.keys is None

    @cached_property
    def keys(self) -> Keys | None:
        """What names the keys; None where the deployment's secret can be neither read nor made."""
        try:
            return self.find_keys()
        except ConfigError as error:
            log.warning("memory is this process's only: %s", error)
            self.refused = Missing(reason=str(error))
            return None

    @cached_property
    def space(self) -> Space:
        """Where vectors live; the first look may load an embedder."""
        identity = f"{self.embedder.identity}/text-{TEXT_VERSION}"
        return Space(identity=identity, dimension=self.embedder.dimension)

    @cached_property
    def prompt_key(self) -> bytes:
        """Keys the digests of prompts; without a shared secret one of this process will do, as only it reads them."""
        if self.connection.target.kind == "memory" or self.keys is None:
            return secrets.token_bytes(32)
        return self.keys.digest("prompts").encode()

    def digest(self, *parts: str) -> str:
        """A name for the parts that nobody can make without the secret: of this process's own where there is none."""
        keys = Keys(secret=self.prompt_key) if self.is_local or self.keys is None else self.keys
        return keys.digest(*parts)

    def redis(self) -> RedisMemory:
        """This process's memory in Redis: what waits in a parent is written by the parent."""
        remote = self.remotes.get(os.getpid())
        if remote is None:
            from .remote import RedisMemory

            assert self.keys is not None
            remote = RedisMemory(
                self.connection,
                self.keys,
                self.space,
                models=self.models,
                sections=self.sections(),
                lessons=self.lessons,
                indexes=None if self.shelf is None else self.shelf.indexes,
            )
            # setdefault: of two threads that come first at once, both take the same one.
            remote = self.remotes.setdefault(os.getpid(), remote)
        return remote

    def sections(self) -> list[Section]:
        """What a recall asks for."""
        from .sections import REMEMBERED, BudgetSection, HealthSection, JournalSection  # brings the client library

        wanted: list[Section] = [*REMEMBERED, JournalSection(self.cipher)]
        if self.settings is not None:
            wanted.append(HealthSection(self.settings))
        if self.budgets:
            wanted.append(BudgetSection(self.budgets))
        if self.shelf is not None:
            wanted += self.shelf.sections()
        return wanted

    def recall(self, step: Step, vector: Vector | Missing, lookup: Lookup | None = None) -> Recalled:
        """What is known when a step begins; one round trip. With a `lookup`, of the answers kept too.

        Where a service finds answers by meaning, it is asked after that, unless there is one to the very question.
        """
        found = {} if self.is_local else self.redis().recall(step, bytes_of(vector), lookup)
        recalled, search = self.recalled(step, vector, found, lookup), self.search
        return recalled if search is None or lookup is None else search.complete(step, lookup, recalled)

    async def arecall(self, step: Step, vector: Vector | Missing, lookup: Lookup | None = None) -> Recalled:
        """As `recall`, without blocking the event loop."""
        found = {} if self.is_local else await self.redis().arecall(step, bytes_of(vector), lookup)
        recalled, search = self.recalled(step, vector, found, lookup), self.search
        return recalled if search is None or lookup is None else await search.acomplete(step, lookup, recalled)

    @property
    def search(self) -> LangCacheSearch | None:
        """The service that is asked for answers by meaning, where there was none to the very question."""
        return None if self.shelf is None else self.shelf.search()

    def recalled(
        self, step: Step, vector: Vector | Missing, found: dict[str, Any], lookup: Lookup | None = None
    ) -> Recalled:
        """What the store gave, with what this process has of itself."""
        if self.is_local:  # asked again: the first call may have found out
            found = {
                "session": self.local.session(step),
                "counters": self.local.counters(step),
                "learned": self.local.learned(step.place.tenant),
            }
            if (missing := self.connection.degraded) is not None or self.refused is not None:
                found["store"] = self.refused or Missing(reason=missing or "")
        if self.shelf is not None and lookup is not None:
            self.add_answers(self.shelf, step, found, lookup)
        found["neighbours"] = self.neighbours(step, vector)
        if (kept := self.kept_lessons) is not None:
            found["lessons"] = kept.at_hand(step, vector)
        return Recalled(sections=found)

    def add_answers(self, shelf: Shelf, step: Step, found: dict[str, Any], lookup: Lookup) -> None:
        """Add what is kept of the step's question; nothing where the store did not say."""
        tenant, now = step.place.tenant, step.started_at
        if self.is_local:
            found["cache"] = shelf.look(tenant, lookup, lookup.vector, now)
        elif (cached := shelf.joined(tenant, lookup, found, now)) is not None:
            found["cache"] = cached

    def neighbours(self, step: Step, vector: Vector | Missing) -> Any:
        """The nearest outcomes of each model, or why there are none."""
        if isinstance(vector, Missing):
            return vector
        from steprouter.memory.neighbours import nearest

        tenant, kind = step.place.tenant, str(step.kind)
        if self.is_local:
            here: Any = self.local.neighbourhood(tenant, kind, self.space.dimension)
        else:
            here = self.redis().snapshots.get(tenant, kind)
        return here if isinstance(here, Missing) else nearest(here, vector)

    @cached_property
    def local_lessons(self) -> LocalLessons:
        """This process's lessons."""
        from steprouter.memory.local_lessons import LocalLessons

        return LocalLessons(self.lessons or Lessons(), self.space.dimension, self.local)

    @property
    def kept_lessons(self) -> LocalLessons | RedisLessons | None:
        """What keeps the lessons; None where none are kept."""
        if self.lessons is None:
            return None
        return self.local_lessons if self.is_local else self.redis().lessons

    def remember(self, one: Remembrance, now: float) -> None:
        """Know at once what an ended step left; takes no time. `write` keeps it."""
        if self.is_local:
            self.local.remember(one, now)
        else:
            self.redis().remember(one)

    def write(self, batch: Sequence[Remembrance], now: float) -> None:
        """Keep what ended steps left; off the path. What cannot be kept now is tried again with the next batch."""
        if self.is_local:
            if self.lessons is not None:
                self.local_lessons.write(batch, now)
            return
        missing = self.redis().write(batch, now)
        if missing is not None and not self.is_behind:
            log.warning("steps wait to be remembered: %s", missing.reason)
        elif missing is None and self.is_behind:
            log.info("the steps that waited are remembered")
        self.is_behind = missing is not None

    def label(self, tenant: str, label: Label, now: float) -> int:
        """Label a step: 1 if the label was taken, 0 if a better one is there, 2 if it waits for its outcome.

        Raises:
            StoreError: The store is away, or a newer version wrote the outcome.
        """
        taken = self.local.label(tenant, label, now) if self.is_local else self.label_shared(tenant, label, now)
        if (kept := self.kept_lessons) is not None:
            kept.verify(tenant, [label.step_id], now)
        return taken

    def label_shared(self, tenant: str, label: Label, now: float) -> int:
        """As `label`, in Redis."""
        done = self.redis().label(tenant, [label], now)
        if isinstance(done, Missing):
            raise StoreError(f"the label could not be kept: {done.reason}")
        if done[0] == -1:
            raise StoreError("the outcome was written by a newer steprouter, which alone may label it; upgrade")
        return done[0]

    def list_lessons(self, tenant: str, kind: str | None = None) -> list[Lesson]:
        """The verified lessons of a tenant, the newest first; of one kind of step if it is named.

        Raises:
            StoreError: The store is away.
        """
        if self.is_local:
            return self.local_lessons.verified(tenant, kind)
        from .lessons import list_lessons

        return read_or_raise(list_lessons(self.connection, self.redis().keys, tenant, kind))

    def delete_lesson(self, tenant: str, lesson_id: str) -> bool:
        """Delete a lesson by its id; whether there was one. Processes at work learn of it in seconds, all in 5 minutes.

        Raises:
            StoreError: The store is away.
        """
        if self.is_local:
            return self.local_lessons.delete(tenant, lesson_id)
        from .lessons import delete_lesson

        remote = self.redis()
        done = read_or_raise(delete_lesson(self.connection, remote.keys, tenant, lesson_id))
        if remote.lessons is not None:
            remote.lessons.forget(tenant)
        return done

    def lesson_effects(self, tenant: str) -> dict[str, Effect]:
        """What lessons did, by kind of step.

        Raises:
            StoreError: The store is away.
        """
        if self.is_local:
            kinds = [kind for whose, kind in self.local.shelves if whose == tenant]
            return {kind: self.local_lessons.effect(tenant, kind) for kind in kinds if self.local.effect(tenant, kind)}
        from .lessons import lesson_effects

        return read_or_raise(lesson_effects(self.connection, self.redis().keys, tenant))

    def knows(self, tenant: str, step_id: str) -> bool:
        """Whether what became of a step is remembered.

        Raises:
            StoreError: The store is away.
        """
        if self.is_local:
            return any(step_id in shelf.kept for shelf in self.local.of_tenant(tenant))
        known = self.redis().knows(tenant, step_id)
        if isinstance(known, Missing):
            raise StoreError(f"memory cannot be read: {known.reason}")
        return known

    def judge(self, tenant: str, thread: str, score: float, now: float) -> int:
        """Spread a verdict on a thread over those of its steps that have none of their own; how many it has labelled.

        Raises:
            ConfigError: Nothing is remembered of the thread, or it ended more than a day ago.
            StoreError: The store is away.
        """
        shares = self.shares(tenant, thread, now)
        if not shares:
            raise ConfigError(
                f"thread must have steps that ended within a day and are remembered, got {thread!r}; "
                "`steprouter show` lists the threads"
            )
        labels = spread(score, shares, at=now)
        if self.is_local:
            return sum(self.local.label(tenant, label, now) == 1 for label in labels)
        done = self.redis().label(tenant, labels, now, by_digest=True) if labels else []
        if isinstance(done, Missing):
            raise StoreError(f"the verdict could not be kept: {done.reason}")
        return done.count(1)

    def shares(self, tenant: str, thread: str, now: float) -> list[Share]:
        """The answers a thread was given, as a verdict on it sees them.

        Raises:
            StoreError: The store is away.
        """
        if not self.is_local:
            found = self.redis().episode(tenant, thread, now)
            if isinstance(found, Missing):
                raise StoreError(f"memory cannot be read: {found.reason}")
            return found
        return [
            Share(step_id=outcome.id, success=odds(counters.kind.get(outcome.model), now), label=outcome.label)
            for outcome, counters in self.local.episode(tenant, thread)
            if outcome.given
        ]

    def close(self) -> None:
        """End what runs in the background; the next use begins anew."""
        remote = self.remotes.pop(os.getpid(), None)
        if remote is not None:
            remote.close()
        if self.shelf is not None:
            self.shelf.close()


def read_or_raise(found: T | Missing) -> T:
    """What was read.

    Raises:
        StoreError: It could not be read.
    """
    if isinstance(found, Missing):
        raise StoreError(f"memory cannot be read: {found.reason}")
    return found


def bytes_of(vector: Vector | Missing) -> bytes | None:
    """A vector as Redis takes it: float32, little endian."""
    return None if isinstance(vector, Missing) else vector.astype("<f4", copy=False).tobytes()
