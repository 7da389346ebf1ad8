"""Lessons in Redis: written and judged in one round trip a batch, looked up in the process, read and deleted by people.

    sr:lesson:{t:…}:<step>       hash  a solved step, redacted; a day until a verdict makes it a lesson, then 90
    sr:{t:…}:lessons-<kind>      zset  ids of a kind's verified lessons, by last change
    sr:{t:…}:effect-<kind>       hash  a tally for each side, and for each lesson that was shown

Each process reads the verified lessons of the tenants and kinds it meets, in the thread that writes, so that a step
only looks at what is there.
"""

from __future__ import annotations

import json
import logging
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha1
from threading import Lock
from typing import Any

from steprouter.memory.drafts import sealed, sealed_result, with_result
from steprouter.memory.labels import Source
from steprouter.memory.lessons import (
    LESSON_TTL_SECONDS,
    RIGHT,
    UNVERIFIED_SECONDS,
    VERIFYING,
    WRONG,
    AtHand,
    Book,
    Effect,
    Lesson,
    Lessons,
    Verdict,
    at_hand,
    book_of,
    effect_of,
    is_superfluous,
    suits,
    superfluous,
)
from steprouter.memory.local import trim
from steprouter.memory.recall import NOT_KEPT, Missing, Vector
from steprouter.memory.remember import Remembrance
from steprouter.models.card import Tier
from steprouter.step.step import Step, StepKind

from ..connect import Connection
from ..keys import Keys
from .patient import answers
from .pipeline import Command
from .query import coded
from .records import model_of, newer, pairs, raw, read_tally, text_of
from .rows import CHUNK, PRUNE, ranked
from .schema import VERSION, Places, Space

log = logging.getLogger("steprouter.store")

VERIFYING_WORDS = "".join(f" {source} " for source in sorted(VERIFYING))

JUDGE = f"""
-- KEYS lesson, outcome, order of its kind; ARGV now, digest, result; then the fields of a new one
local known = redis.call('HMGET', KEYS[1], 'v', 'order', 'verified')
if known[1] and tonumber(known[1]) > {VERSION} then return -1 end
if not known[1] then
  if not ARGV[4] then return 0 end
  redis.call('HSET', KEYS[1], 'order', KEYS[3], unpack(ARGV, 4))
  redis.call('EXPIRE', KEYS[1], {UNVERIFIED_SECONDS})
  known = {{'{VERSION}', KEYS[3], false}}
end
if ARGV[3] ~= '' then redis.call('HSET', KEYS[1], 'result', ARGV[3]) end
local told = redis.call('HMGET', KEYS[2], 'source', 'score')
if not told[1] then return 0 end
local score = tonumber(told[2])
local verifying = string.find('{VERIFYING_WORDS}', ' ' .. told[1] .. ' ', 1, true)
if verifying and score >= {RIGHT} then
  if not known[3] then redis.call('EXPIRE', KEYS[1], {LESSON_TTL_SECONDS}) end
  redis.call('HSET', KEYS[1], 'verified', told[1])
  redis.call('ZADD', known[2], ARGV[1], ARGV[2])
  redis.call('EXPIRE', known[2], {LESSON_TTL_SECONDS})
  return 1
end
if verifying or score < {WRONG} then
  redis.call('UNLINK', KEYS[1])
  redis.call('ZREM', known[2], ARGV[2])
  return 2
end
return 0
"""
"""Keeps a solved step, adds what its tools gave, and lets the verdict on its outcome decide (`lessons.judged`). The
outcome is the one place where labels are weighed, so that a lesson cannot be judged otherwise than its step."""

JUDGE_DIGEST = sha1(JUDGE.encode(), usedforsecurity=False).hexdigest()

DELETE = """
local order, effect = redis.call('HGET', KEYS[1], 'order'), redis.call('HGET', KEYS[1], 'effect')
if order then redis.call('ZREM', order, ARGV[1]) end
if effect then redis.call('HDEL', effect, ARGV[1]) end
return redis.call('DEL', KEYS[1])
"""
"""KEYS the lesson, ARGV its name: deletes it, its place in the order, and what was counted of it."""

REFRESH_SECONDS = 5.0
"""A book older than this is looked at again when it was used; what this process verified is looked at once."""

WHOLE_SECONDS = 60.0
"""How often all of its lessons are read again: finds those whose record alone was deleted."""

STALE_SECONDS = 300.0
"""A book older than this is not used: what people deleted meanwhile must not be shown by a process that slept."""

BOOKS = 64
"""Books that a process holds, those used last; half a megabyte each at most by the usual policy."""

LOADING = Missing(reason="lessons are being loaded", degraded=False)

FIELDS = ("v", "kind", "node", "model", "tier", "rule", "thread", "user", "at", "task", "approach", "result", "tools",
          "json", "verified")  # fmt: skip

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


def tagged(keys: Keys, tenant: str, lesson: Lesson) -> Lesson:
    """A lesson of this process under the names that the store has for its node, thread, user and step."""

    def tag(one: str | None) -> str | None:
        return None if one is None else keys.id_tag(tenant, one)

    return replace(
        lesson,
        id=keys.id_tag(tenant, lesson.id),
        node=tag(lesson.node),
        thread=tag(lesson.thread),
        user=tag(lesson.user),
    )


def judge_command(
    places: Places,
    step_id: str,
    now: float,
    *,
    lesson: Lesson | None = None,
    space: Space | None = None,
    result: str = "",
) -> Command:
    """What keeps a lesson, where one is given, and lets the verdict on its step decide."""
    key, outcome = places.lesson(step_id), places.outcome(step_id)
    order = key if lesson is None else places.lessons(lesson.kind)
    fields = [] if lesson is None or space is None else fields_of(places, lesson, space)
    return ("EVALSHA", JUDGE_DIGEST, 3, key, outcome, order, repr(now), key.rpartition(":")[2], raw(result), *fields)


def fields_of(places: Places, lesson: Lesson, space: Space) -> list[str | bytes]:
    """The fields of a lesson's hash, flat."""
    told = tagged(places.keys, places.tenant, lesson)
    fields: dict[str, str | bytes | None] = {
        "v": str(VERSION),
        "tenant": places.keys.tenant_tag(places.tenant),
        "kind": told.kind,
        "node": told.node,
        "model": coded(told.model),
        "tier": str(told.tier),
        "rule": None if told.rule is None else raw(told.rule),
        "thread": told.thread,
        "user": told.user,
        "at": repr(told.at),
        "task": raw(told.task),
        "approach": raw(told.approach),
        "result": raw(told.result),
        "tools": json.dumps(told.tools),
        "json": str(int(told.json)),
        "effect": places.effect(told.kind),
        "space": space.tag,
        space.field: told.vector,
    }
    return [part for name, value in fields.items() if value is not None for part in (name, value)]


def read_effect(reply: Any) -> Effect:
    """The effect at a kind of step, from its hash; a broken tally counts as none."""
    told = {name.decode("ascii", "replace"): read_tally(text) for name, text in pairs(reply).items()}
    return effect_of({name: tally for name, tally in told.items() if tally is not None})


def read_lessons(
    connection: Connection, places: Places, names: Sequence[str], space: Space | None, tokens: int | None
) -> dict[str, Lesson] | Missing:
    """The lessons of these names, those left out that are gone, broken or written by a newer version.

    Args:
        connection: The store.
        places: The tenant's keys.
        names: Which.
        space: Whose vectors are wanted; None leaves them.
        tokens: How long an example may be; None cuts nothing.
    """
    fields = (*FIELDS, *([] if space is None else [space.field]))
    found: dict[str, Lesson] = {}
    for first in range(0, len(names), CHUNK):
        chunk = names[first : first + CHUNK]
        replies = answers(
            connection, *(("HMGET", places.lesson_of(name), *fields) for name in chunk), besides="WRONGTYPE"
        )
        if isinstance(replies, Missing):
            return replies
        for name, values in zip(chunk, replies, strict=True):
            lesson = (
                None if isinstance(values, Exception) else read_lesson(name, dict(zip(fields, values, strict=True)))
            )
            if lesson is not None:
                vector = values[-1] if space is not None and values[-1] is not None else b""
                found[name] = replace(with_result(lesson, lesson.result, tokens or 1_000_000), vector=vector)
    return found


def read_lesson(name: str, kept: Mapping[str, bytes | None]) -> Lesson | None:
    """A lesson from its fields; None where it is gone, broken, or a newer version wrote it."""
    if kept["v"] is None or newer(kept["v"]) is not None:
        return None
    text = {field: text_of(value) for field, value in kept.items() if field in FIELDS}
    try:
        return Lesson(
            id=name,
            kind=text["kind"] or "",
            node=text["node"],
            task=text["task"] or "",
            approach=text["approach"] or "",
            result=text["result"] or "",
            tools=tuple(json.loads(text["tools"] or "[]")),
            json=text["json"] == "1",
            model=model_of(kept["model"] or b""),
            tier=Tier(text["tier"] or ""),
            rule=text["rule"],
            at=float(text["at"] or "nan"),
            thread=text["thread"],
            user=text["user"],
            verified=None if text["verified"] is None else Source(text["verified"]),
        )
    except (ValueError, TypeError):
        return None


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


def delete_command(places: Places, lesson_id: str) -> Command:
    """What deletes a lesson."""
    return ("EVAL", DELETE, 1, places.lesson_of(lesson_id), lesson_id)


def lesson_effects(connection: Connection, keys: Keys, tenant: str) -> dict[str, Effect] | Missing:
    """What lessons did at each kind of step where any were at hand."""
    places = Places(keys=keys, tenant=tenant)
    kinds = [str(one) for one in StepKind]
    replies = answers(connection, *(("HGETALL", places.effect(kind)) for kind in kinds))
    if isinstance(replies, Missing):
        return replies
    return {kind: read_effect(reply) for kind, reply in zip(kinds, replies, strict=True) if reply}
