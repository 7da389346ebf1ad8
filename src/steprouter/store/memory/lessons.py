"""Lessons in Redis: written and judged in one round trip a batch, looked up in the process, read and deleted by people.

    sr:lesson:{t:…}:<step>       hash  a solved step, redacted; a day until a verdict makes it a lesson, then 90
    sr:{t:…}:lessons-<kind>      zset  ids of a kind's verified lessons, by last change
    sr:{t:…}:effect-<kind>       hash  a tally for each side, and for each lesson that was shown

Each process reads the verified lessons of the tenants and kinds it meets, in the thread that writes, so that a step
only looks at what is there.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock

from steprouter.memory.books import Book, at_hand, book_of, is_superfluous, suits
from steprouter.memory.drafts import sealed, sealed_result
from steprouter.memory.effect import Effect, Verdict, superfluous
from steprouter.memory.labels import Source
from steprouter.memory.lessons import AtHand, Lesson, Lessons
from steprouter.memory.local import trim
from steprouter.memory.recall import NOT_KEPT, Missing, Vector
from steprouter.memory.remember import Remembrance
from steprouter.step.step import Step, StepKind

from ..connect import Connection
from ..keys import Keys
from .lesson_records import JUDGE, delete_command, judge_command, read_effect, read_lessons, tagged
from .patient import answers
from .pipeline import Command
from .rows import CHUNK, PRUNE, ranked
from .schema import Places, Space

log = logging.getLogger("steprouter.store")

REFRESH_SECONDS = 5.0
"""A book older than this is looked at again when it was used; what this process verified is looked at once."""

WHOLE_SECONDS = 60.0
"""How often all of its lessons are read again: finds those whose record alone was deleted."""

STALE_SECONDS = 300.0
"""A book older than this is not used: what people deleted meanwhile must not be shown by a process that slept."""

BOOKS = 64
"""Books that a process holds, those used last; half a megabyte each at most by the usual policy."""

LOADING = Missing(reason="lessons are being loaded", degraded=False)

Name = tuple[str, str]
"""A tenant in clear and a kind."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Held:
    """A book as a process holds it.

    Attributes:
        book: What is looked up.
        known: When each of its lessons changed last, by name.
        read_at: When the store was looked at, Unix time in seconds.
        whole_at: When all of it is to be read again.
    """

    book: Book
    known: Mapping[str, float]
    read_at: float
    whole_at: float


class RedisLessons:
    """The lessons that processes share. Only `at_hand` is called on the path of a step; it asks nobody.

    Args:
        connection: The store.
        keys: Names the keys.
        space: Where vectors live; lessons of another are not looked up.
        policy: What the user asks.
    """

    def __init__(self, connection: Connection, keys: Keys, space: Space, policy: Lessons) -> None:
        self.connection = connection
        self.keys = keys
        self.space = space
        self.policy = policy
        self.lock = Lock()
        self.held: OrderedDict[Name, Held] = OrderedDict()
        self.wanted: set[Name] = set()

    def at_hand(self, step: Step, vector: Vector | Missing) -> AtHand | Missing:
        """The lessons that resemble a step, of those this process has read."""
        place, now = step.place, step.started_at
        if isinstance(vector, Missing) or step.kind not in self.policy.kinds:
            return NOT_KEPT
        name = (place.tenant, str(step.kind))
        held = self.held.get(name)
        if held is None or now - held.read_at >= REFRESH_SECONDS:
            self.wanted.add(name)
        if held is None or now - held.read_at > STALE_SECONDS:
            return LOADING

        def tag(one: str | None) -> str | None:
            return None if one is None else self.keys.id_tag(place.tenant, one)

        if not held.book.lessons:
            return AtHand(lessons=(), policy=self.policy)
        node, thread, user = tag(place.node), tag(place.thread), tag(place.user)

        def fits(lesson: Lesson) -> bool:
            return suits(lesson, step, self.policy, node=node, thread=thread, user=user)

        return at_hand(held.book, vector, self.policy, suits=fits)

    def write(self, batch: Sequence[Remembrance], now: float) -> None:
        """Keep what ended steps solved, let the verdicts they brought decide, and read what is wanted."""
        commands = [command for one in batch for command in self.commands(one, now)]
        self.send(commands)
        self.refresh(now)

    def verify(self, tenant: str, step_ids: Iterable[str], now: float) -> None:
        """Let the verdicts on these steps decide on their lessons."""
        places = Places(keys=self.keys, tenant=tenant)
        self.send([judge_command(places, step_id, now) for step_id in step_ids])
        self.look_again(tenant)
        self.refresh(now)

    def commands(self, one: Remembrance, now: float) -> list[Command]:
        """What keeps and judges the lessons of an ended step."""
        places, found = Places(keys=self.keys, tenant=one.tenant), list[Command]()
        if one.draft is not None and not self.says_already(one.tenant, one.draft.lesson):
            lesson = sealed(one.draft, self.policy.tokens)
            if lesson is not None:
                found.append(judge_command(places, lesson.id, now, lesson=lesson, space=self.space))
        for label in one.labels:
            result = sealed_result(one.results) if label.source is Source.TOOL else ""
            found.append(judge_command(places, label.step_id, now, result=result))
        if found:
            self.look_again(one.tenant)
        return found

    def says_already(self, tenant: str, lesson: Lesson) -> bool:
        """Whether nothing is to be kept of a step: its kind's lessons are switched off, or say the same."""
        held = self.held.get((tenant, lesson.kind))
        return held is not None and is_superfluous(held.book, tagged(self.keys, tenant, lesson))

    def send(self, commands: Sequence[Command]) -> None:
        """Send commands; a lesson that cannot be kept is one less."""
        if not commands:
            return
        done = answers(self.connection, ("SCRIPT", "LOAD", JUDGE), *commands)
        if isinstance(done, Missing):
            log.warning("lessons are not kept: %s", done.reason)

    def look_again(self, tenant: str) -> None:
        """Read the tenant's books at the next opportunity, since something has changed."""
        with self.lock:
            self.wanted.update(name for name in self.held if name[0] == tenant)

    def refresh(self, now: float) -> None:
        """Read the books that are wanted, and delete what does harm or is too much; what cannot be read stays."""
        with self.lock:
            wanted, self.wanted = self.wanted, set()
            for name in list(wanted):  # steps add to it meanwhile
                new = self.fetch(name, self.held.get(name), now)
                if not isinstance(new, Missing):
                    self.held[name] = new
                    trim(self.held, name, BOOKS)
                elif self.connection.degraded is not None:
                    return  # the others would be waited for as long

    def fetch(self, name: Name, held: Held | None, now: float) -> Held | Missing:
        """A book as the store has it now."""
        places, kind = Places(keys=self.keys, tenant=name[0]), name[1]
        replies = answers(self.connection, ("ZRANGE", places.lessons(kind), 0, -1, "WITHSCORES"),
                          ("HGETALL", places.effect(kind)))  # fmt: skip
        if isinstance(replies, Missing):
            return replies
        known, effect = ranked(replies[0]), read_effect(replies[1])
        whole = held is None or now >= held.whole_at
        kept = {} if held is None or whole else {one.id: one for one in held.book.lessons}
        old = {} if held is None or whole else held.known
        changed = [one for one, at in known.items() if old.get(one) != at]
        read = read_lessons(self.connection, places, changed, self.space, self.policy.tokens)
        if isinstance(read, Missing):
            return read
        lessons = [one for one in {**kept, **read}.values() if one.id in known]
        self.prune(places, kind, [one for one in changed if one not in read])
        gone = superfluous(lessons, effect, self.policy, now)
        self.send([delete_command(places, one) for one in gone])
        return Held(
            book=self.made(held, [one for one in lessons if one.id not in gone], effect.verdict(now), kind),
            known={one: at for one, at in known.items() if one not in gone},
            read_at=now,
            whole_at=now + WHOLE_SECONDS if held is None or whole else held.whole_at,
        )

    def made(self, held: Held | None, lessons: Sequence[Lesson], verdict: Verdict, kind: str) -> Book:
        """The book of these lessons; says so when they are switched off or on."""
        book = book_of(lessons, self.space.dimension, verdict)
        if book.is_off != (held is not None and held.book.is_off):
            now = "no longer shown: they do not help" if book.is_off else "shown again"
            log.warning("lessons of kind %s are %s (%s)", kind, now, verdict)
        return book

    def prune(self, places: Places, kind: str, names: Sequence[str]) -> None:
        """Take names out of the order whose lesson is no more, and no other: it may be newer than us."""
        for first in range(0, len(names), CHUNK):
            chunk = names[first : first + CHUNK]
            keys = [places.lessons(kind), *map(places.lesson_of, chunk)]
            self.send([("EVAL", PRUNE, len(keys), *keys, *chunk)])

    def forget(self, tenant: str) -> None:
        """Drop what this process holds of a tenant; what is left in the store is read anew."""
        with self.lock:
            for name in [name for name in self.held if name[0] == tenant]:
                del self.held[name]


def list_lessons(connection: Connection, keys: Keys, tenant: str, kind: str | None = None) -> list[Lesson] | Missing:
    """The verified lessons of a tenant, the newest first, without their vectors; or why they cannot be read."""
    places, found = Places(keys=keys, tenant=tenant), list[Lesson]()
    kinds = [kind] if kind is not None else [str(one) for one in StepKind]
    replies = answers(connection, *(("ZRANGE", places.lessons(one), 0, -1) for one in kinds))
    if isinstance(replies, Missing):
        return replies
    names = [name.decode("ascii", "replace") for reply in replies for name in reply]
    read = read_lessons(connection, places, names, None, None)
    if isinstance(read, Missing):
        return read
    found = [lesson for lesson in read.values() if lesson.verified is not None]
    return sorted(found, key=lambda lesson: -lesson.at)


def delete_lesson(connection: Connection, keys: Keys, tenant: str, lesson_id: str) -> bool | Missing:
    """Delete a lesson, verified or not; whether there was one, or why nobody knows."""
    replies = answers(connection, delete_command(Places(keys=keys, tenant=tenant), lesson_id))
    return replies if isinstance(replies, Missing) else bool(replies[0])


def lesson_effects(connection: Connection, keys: Keys, tenant: str) -> dict[str, Effect] | Missing:
    """What lessons did at each kind of step where any were at hand."""
    places = Places(keys=keys, tenant=tenant)
    kinds = [str(one) for one in StepKind]
    replies = answers(connection, *(("HGETALL", places.effect(kind)) for kind in kinds))
    if isinstance(replies, Missing):
        return replies
    return {kind: read_effect(reply) for kind, reply in zip(kinds, replies, strict=True) if reply}
