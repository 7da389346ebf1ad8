"""Keeping the outcomes of a kind below a cap, one process at a time."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest

from steprouter.store import Connection, Keys, Missing, connect
from steprouter.store.embedded import EmbeddedServer
from steprouter.store.memory.compact import BUSY, Compacted, compact, drop, due, prune
from steprouter.store.memory.pipeline import carry_out
from steprouter.store.memory.schema import Places, Space

SPACE = Space(identity="test/16", dimension=16)
KEYS = Keys(secret=b"x" * 32)
PLACES = Places(keys=KEYS, tenant="acme")
LEASE = KEYS.tenant("acme", "compacting-chat")
NOW = 1_000_000_000.0
OLD = NOW - 24 * 3600


def vector(seed: int) -> bytes:
    found = np.random.default_rng(seed).standard_normal(16).astype(np.float32)
    return (found / np.linalg.norm(found)).tobytes()


def put(connection: Connection, name: str, *, changed: float = OLD, places: Places = PLACES, **fields: object) -> None:
    """Writes an outcome as the writer does."""
    kept = {"v": 1, "model": "small", "at": OLD, "score": 1.0, "weight": 0.1, SPACE.field: vector(0)}
    connection.call(lambda client: client.hset(places.outcome_of(name), mapping={**kept, **fields}))
    connection.call(lambda client: client.zadd(places.outcomes("chat"), {name: changed}))


def names(connection: Connection, places: Places = PLACES) -> set[str]:
    found = connection.call(lambda client: client.zrange(places.outcomes("chat"), 0, -1))
    assert not isinstance(found, Missing)
    return {name.decode() for name in found}


def records(connection: Connection) -> int:
    found = connection.call(lambda client: len(client.keys("sr:outcome:*")))
    assert not isinstance(found, Missing)
    return found


def run(connection: Connection, cap: int) -> Compacted | Missing:
    return compact(connection, KEYS, SPACE, "acme", "chat", cap=cap, now=NOW)


@pytest.fixture
def emptied(server: EmbeddedServer) -> Iterator[Connection]:
    """The shared server, emptied."""
    connection = connect(server.url, deadline_seconds=1.0)
    connection.call(lambda client: client.flushall())
    yield connection
    connection.close()


def test_below_the_cap_nothing_is_due_and_nothing_is_done(emptied: Connection) -> None:
    for number in range(10):
        put(emptied, f"{number}")
    assert (due(10, 10), due(11, 10)) == (False, True)
    assert run(emptied, 10) == Compacted(before=10)
    assert len(names(emptied)) == 10


def test_above_the_cap_what_tells_least_goes_with_its_record(emptied: Connection) -> None:
    for number in range(150):
        put(emptied, f"same-{number}", changed=OLD + number)
    for number in range(10):
        put(emptied, f"failed-{number}", score=0.0, weight=1.0, **{SPACE.field: vector(number)})
    assert run(emptied, 100) == Compacted(before=160, dropped=70)
    left = names(emptied)
    assert (len(left), records(emptied)) == (90, 90)
    assert {f"failed-{number}" for number in range(10)} < left
    assert not due(len(left), 100)


def test_another_tenant_and_another_kind_are_left_alone(emptied: Connection) -> None:
    rival = Places(keys=KEYS, tenant="rival")
    for number in range(12):
        put(emptied, f"{number}")
        put(emptied, f"{number}", places=rival)
    emptied.call(lambda client: client.zadd(PLACES.outcomes("plan"), {f"p-{i}": OLD for i in range(20)}))
    run(emptied, 10)
    assert (len(names(emptied)), len(names(emptied, rival))) == (9, 12)
    assert emptied.call(lambda client: client.zcard(PLACES.outcomes("plan"))) == 20


def test_names_without_record_and_broken_records_go_first(emptied: Connection) -> None:
    for number in range(8):
        put(emptied, f"good-{number}")
    put(emptied, "broken", score="x")
    emptied.call(lambda client: client.zadd(PLACES.outcomes("chat"), {"gone": NOW}))
    assert run(emptied, 9) == Compacted(before=10, dropped=1, pruned=1, broken=1)
    assert names(emptied) == {f"good-{number}" for number in range(8)}


def test_records_of_a_newer_version_are_counted_but_never_deleted(emptied: Connection) -> None:
    for number in range(5):
        put(emptied, f"newer-{number}", v=2, changed=OLD - 100)
        put(emptied, f"known-{number}")
    assert run(emptied, 5) == Compacted(before=10, dropped=5, newer=5)
    assert names(emptied) == {f"newer-{number}" for number in range(5)}


def test_outcomes_of_other_spaces_count_and_can_be_dropped(emptied: Connection) -> None:
    for number in range(12):
        key = PLACES.outcome_of(f"{number}")
        emptied.call(partial(carry_out, commands=[("HSET", key, "vector_other", b"x")], replies=[]))
        put(emptied, f"{number}")
        emptied.call(partial(carry_out, commands=[("HDEL", key, SPACE.field)], replies=[]))
    assert run(emptied, 10) == Compacted(before=12, dropped=3)


def test_what_lies_far_beyond_the_cap_goes_by_age(emptied: Connection) -> None:
    for number in range(35):
        put(emptied, f"{number:02}", changed=OLD + number, **{SPACE.field: vector(number)})
    assert run(emptied, 10) == Compacted(before=35, dropped=26)
    assert min(names(emptied)) >= "15"


def test_one_process_compacts_and_others_leave_it_to_that_one(emptied: Connection) -> None:
    for number in range(12):
        put(emptied, f"{number}")
    emptied.call(lambda client: client.set(LEASE, "another's"))
    assert run(emptied, 10) == BUSY
    assert len(names(emptied)) == 12
    assert emptied.call(lambda client: client.get(LEASE)) == b"another's"
    emptied.call(lambda client: client.delete(LEASE))
    assert isinstance(run(emptied, 10), Compacted)
    assert emptied.call(lambda client: client.exists(LEASE)) == 0


def test_an_outcome_labelled_in_the_meantime_is_not_deleted(emptied: Connection) -> None:
    for name in ("a", "b"):
        put(emptied, name, changed=OLD + 0.1)
    put(emptied, "a", changed=NOW + 0.1, score=0.0)
    assert drop(emptied, PLACES, "chat", {"a": OLD + 0.1, "b": OLD + 0.1}) == 1
    assert names(emptied) == {"a"}
    assert records(emptied) == 1


def test_a_record_made_anew_is_not_taken_for_one_that_expired(emptied: Connection) -> None:
    put(emptied, "back")
    emptied.call(lambda client: client.zadd(PLACES.outcomes("chat"), {"gone": NOW}))
    assert prune(emptied, PLACES, "chat", ["back", "gone"]) == 1
    assert names(emptied) == {"back"}


def test_a_store_that_is_away_is_said_to_be_missing() -> None:
    connection = connect("memory")
    assert isinstance(run(connection, 10), Missing)
    connection.close()


def test_what_the_store_refuses_is_missing_with_its_words(emptied: Connection) -> None:
    emptied.call(lambda client: client.set(PLACES.outcomes("chat"), "x"))
    said = run(emptied, 10)
    assert isinstance(said, Missing)
    assert "WRONGTYPE" in said.reason
    assert emptied.call(lambda client: client.exists(LEASE)) == 0
