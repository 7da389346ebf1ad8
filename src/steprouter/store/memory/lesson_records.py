"""A lesson's record in Redis: what keeps, judges and deletes it, and how it is read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha1
from typing import Any

from steprouter.memory.drafts import with_result
from steprouter.memory.effect import Effect, effect_of
from steprouter.memory.labels import Source
from steprouter.memory.lessons import (
    LESSON_TTL_SECONDS,
    RIGHT,
    UNVERIFIED_SECONDS,
    VERIFYING,
    WRONG,
    Lesson,
)
from steprouter.memory.recall import Missing
from steprouter.models.card import Tier

from ..connect import Connection
from ..keys import Keys
from .patient import answers
from .pipeline import Command
from .query import coded
from .records import model_of, newer, pairs, raw, read_tally, text_of
from .rows import CHUNK
from .schema import VERSION, Places, Space

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

FIELDS = ("v", "kind", "node", "model", "tier", "rule", "thread", "user", "at", "task", "approach", "result", "tools",
          "json", "verified")  # fmt: skip


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


def delete_command(places: Places, lesson_id: str) -> Command:
    """What deletes a lesson."""
    return ("EVAL", DELETE, 1, places.lesson_of(lesson_id), lesson_id)
