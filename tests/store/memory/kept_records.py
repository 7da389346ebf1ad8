"""One record of each sort that the store keeps, and a look at all of it that uses none of the code under test."""

from __future__ import annotations

from typing import Any

import numpy as np

from steprouter.memory.labels import Source, label
from steprouter.memory.outcomes import Remembered
from steprouter.memory.remember import Remembrance
from steprouter.memory.session import Decided, SessionUpdate
from steprouter.memory.traces import StoredTrace
from steprouter.models.cost import Usage
from steprouter.step.text import TEXT_VERSION
from steprouter.store import Connection, Keys
from steprouter.store.memory.schema import Places, Space
from steprouter.store.memory.write import write, write_labels
from steprouter.store.traces import RedisTraces
from steprouter.tracing.archive import store_trace
from steprouter.tracing.record import Trace

KEYS = Keys(secret=b"k" * 32)
EMBEDDER = "kept/4"
SPACE = Space(identity=f"{EMBEDDER}/text-{TEXT_VERSION}", dimension=4)
"""As a router with this embedder names it."""
NOW = 1_800_000_000.0


def vector(*numbers: float) -> bytes:
    """A vector of unit length."""
    one = np.array(numbers, dtype="<f4")
    return bytes((one / np.linalg.norm(one)).tobytes())


def outcome(step: str, *, thread: str | None, user: str | None, at: float = NOW, **other: Any) -> Remembered:
    fields: dict[str, Any] = {"kind": "chat", "node": "agent", "model": "small", "vector": vector(1, 2, 3, 4)}
    fields |= {"usage": Usage(input_tokens=7, output_tokens=5), "usd": 0.25, "seconds": 1.5, "first_token_seconds": 0.5}
    verdict = label(step, Source.PASSED_CHECK, 1.0, at)
    return Remembered(id=step, at=at, label=verdict, thread=thread, user=user, **{**fields, **other})


def trace(tenant: str, step: str, thread: str | None, at: float = NOW) -> StoredTrace:
    told: dict[str, Any] = {"kind": "chat", "outcome": "sufficient", "model": "small"}
    return store_trace(Trace(step_id=step, started_at=at, tenant=tenant, thread=thread, **told))


def keep_step(
    connection: Connection, tenant: str, step: str, *, thread: str | None, user: str | None, **other: Any
) -> None:
    """Writes what one ended step leaves: session, outcome, tallies and trace."""
    one = outcome(step, thread=thread, user=user, **other)
    update = SessionUpdate(decided=Decided(step_id=step, at=one.at, kind=one.kind, model=one.model, usd=one.usd))
    left = Remembrance(tenant=tenant, thread=thread, user=user, outcomes=(one,), session=update if thread else None)
    assert write(connection, KEYS, SPACE, [left], NOW) is None
    assert RedisTraces(connection, KEYS).write([trace(tenant, step, thread, one.at)]) == 1


def keep_all_sorts(connection: Connection, tenant: str, *, thread: str, user: str, step: str) -> None:
    """Writes one of each sort that bears the thread's and the user's name."""
    keep_step(connection, tenant, step, thread=thread, user=user)
    places = Places(keys=KEYS, tenant=tenant)
    early = label(f"{step}-failed", Source.TOOL, 1.0, NOW)
    assert RedisTraces(connection, KEYS).write([trace(tenant, f"{step}-failed", thread)]) == 1
    assert write_labels(connection, KEYS, tenant, [early], NOW) == [2]
    owner = {"v": "1", "thread": KEYS.id_tag(tenant, thread), "user": KEYS.id_tag(tenant, user)}
    digest = KEYS.id_tag(tenant, step)

    def put(client: Any) -> None:
        client.hset(places.lesson(step), mapping={**owner, "task": "how to", "order": places.lessons("chat")})
        client.zadd(places.lessons("chat"), {digest: NOW})
        client.hset(places.effect("chat"), mapping={digest: "1 1 0 1 1 1 0 0 0 0", "with": "1 1 0 1 1 1 0 0 0 0"})
        client.hset(KEYS.record(tenant, "cache", step), mapping={**owner, "answer": "yes"})
        client.hset(places.journal(step), mapping={**owner, "text": "half a sentence"})
        client.hset(places.budget(), mapping={"usd": "1"})

    done = connection.call(put, deadline_seconds=1.0)
    assert done is None


def everything(connection: Connection) -> dict[bytes, bytes]:
    """All keys with all that is in them, read by plain commands."""

    def look(client: Any) -> dict[bytes, bytes]:
        asked = {b"hash": "HGETALL", b"string": "GET", b"zset": "ZRANGE", b"set": "SMEMBERS"}
        found = {}
        for key in client.keys("*"):
            command = asked[client.type(key)]
            rest = (0, -1) if command == "ZRANGE" else ()
            found[bytes(key)] = repr(client.execute_command(command, key, *rest)).encode()
        return found

    found = connection.call(look, deadline_seconds=10.0)
    assert isinstance(found, dict), found
    return found


def mentions(connection: Connection, *words: str) -> list[bytes]:
    """Keys that hold one of the words, in their name or in what is in them."""
    sought = [word.encode("utf-8", "surrogatepass") for word in words]
    return [key for key, said in everything(connection).items() if any(word in key + said for word in sought)]
