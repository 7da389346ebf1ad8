"""How answers lie in Redis, and what becomes of them when something is wrong there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from cached_answers import (
    KEYS,
    MEMORY,
    NOW,
    SCOPE,
    Directions,
    ask,
    entry,
    keep,
    make_index,
    recollection,
    step,
    tenant,
)

from steprouter.answering.answer import Answer
from steprouter.caching.orders import Counted, Kept, Lookup, Observed
from steprouter.errors import StoreError
from steprouter.memory.recall import NOT_KEPT, Missing
from steprouter.store import Connection, connect
from steprouter.store.cache.records import LARGEST_BYTES, fields_of, read_entry, read_pools
from steprouter.store.cache.scripts import PER_TENANT
from steprouter.store.embedded import EmbeddedServer
from steprouter.store.live.journal_cipher import Cipher
from steprouter.store.memory.recollection import Recollection, bytes_of
from steprouter.store.memory.schema import VERSION, Places


@pytest.fixture(scope="module")
def connection(server: EmbeddedServer) -> Iterator[Connection]:
    connection = connect(server.url, deadline_seconds=5.0)
    connection.open()
    yield connection
    connection.call(lambda client: client.flushall())  # others measure how soon an index over few records is ready
    connection.close()


@pytest.fixture
def memory(connection: Connection) -> Recollection:
    found, _ = recollection(connection)
    make_index(found)
    return found


@pytest.fixture
def client(server: EmbeddedServer) -> Iterator[Any]:
    found = redis.Redis.from_url(server.url)
    yield found
    found.close()


def places(whose: str) -> Places:
    return Places(keys=KEYS, tenant=whose)


# --- keys ------------------------------------------------------------------------------------------------------


def test_every_key_of_the_cache_has_an_end(memory: Recollection, client: Any) -> None:
    whose = tenant()
    keep(memory, whose, "q1", towards=10)
    ask(memory, whose, "q2", holder="a")
    assert memory.shelf is not None
    memory.shelf.observe([Observed(tenant=whose, entry_id="q1", pool="p", right=1.0, wrong=1.0)])
    memory.shelf.observe([Observed(tenant=whose, entry_id="never", right=1.0)])
    memory.shelf.count([Counted(tenant=whose, misses=1)], NOW)
    memory.shelf.invalidate(whose, tag="other")
    found = {key.decode(): client.ttl(key) for key in client.keys(f"sr:*{KEYS.tenant_tag(whose)}*")}
    assert {key.partition("}:")[2].partition(":")[0] for key in found} == {
        *("q1", "cached-state", "cached-ids", "cached-pools", "cached-counts", "cached-floor", "filling"),
    }
    assert [key for key, seconds in found.items() if seconds <= 0] == []
    assert 3500 < found[places(whose).answer("q1")] <= 3600


def test_what_the_user_calls_things_stands_in_no_key_and_no_field_that_is_searched(
    memory: Recollection, client: Any
) -> None:
    whose = tenant()
    keep(memory, whose, "q1", node="secret node", tags={"secret tag"}, kept={"user": "ann", "thread": "secret thread"})
    fields = client.hgetall(places(whose).answer("q1"))
    del fields[b"metadata"]
    assert not any(b"secret" in value or value == b"ann" for value in fields.values())


@pytest.mark.parametrize("exact", ["", "a:b", "*", "q 1", "ä", "a}"])
def test_only_a_digest_can_name_an_answer(exact: str) -> None:
    with pytest.raises(ValueError, match="digest"):
        places("acme").answer(exact)


def test_a_tenants_answers_are_bounded(memory: Recollection, client: Any) -> None:
    whose = tenant()
    keep(memory, whose, "q1", expires_at=NOW + 60)
    client.zadd(places(whose).cached("ids"), {f"n{number}": NOW + 100 + number for number in range(PER_TENANT)})
    keep(memory, whose, "q2")
    assert client.zcard(places(whose).cached("ids")) == PER_TENANT
    assert ask(memory, whose, "q1").exact is None
    assert ask(memory, whose, "q2").exact is not None


def test_an_answer_too_large_is_not_kept(memory: Recollection) -> None:
    whose = tenant()
    keep(memory, whose, "q1", answer=Answer(text="x" * LARGEST_BYTES))
    assert ask(memory, whose, "q1").exact is None


# --- records that are not what they should be ------------------------------------------------------------------

BROKEN: dict[str, list[str | bytes | None]] = {
    "prompt": [None, b"\xff"],
    "response": [None, b"\xff"],
    "metadata": [None, "", "[]", "{}", "null", "1", "[" * 5000, '{"v":"1"}'],
}


@pytest.mark.parametrize("value", ["x", "1", "0 x", "nan 1", "1 2 3"])
def test_an_answer_of_which_it_cannot_be_read_what_is_known_is_given_to_its_very_question_only(
    memory: Recollection, client: Any, value: str
) -> None:
    whose = tenant()
    keep(memory, whose, "q1", towards=10)
    client.hset(places(whose).answer("q1"), "tally", value)
    assert ask(memory, whose, "q2", towards=10).near == ()
    assert ask(memory, whose, "q1").exact is not None


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in BROKEN.items() for value in values])
def test_a_record_that_is_broken_is_not_there(
    memory: Recollection, client: Any, field: str, value: str | bytes | None
) -> None:
    whose = tenant()
    keep(memory, whose, "q1", towards=10)
    key = places(whose).answer("q1")
    client.hdel(key, field) if value is None else client.hset(key, field, value)
    assert memory.shelf is not None
    memory.shelf.pocket.forget(whose)
    told = ask(memory, whose, "q1", towards=10)
    assert (told.exact, told.near) == (None, ())
    assert memory.shelf.at_hand(whose, "q1", NOW) is None


UNFIT: dict[str, list[str | None]] = {
    "v": [None, str(VERSION + 1)],
    "epoch": [None, "1", "x"],
    "expires_at": [None, "nan", "x", repr(NOW)],
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in UNFIT.items() for value in values])
def test_a_record_that_does_not_say_that_it_holds_is_not_the_answer(
    memory: Recollection, client: Any, field: str, value: str | None
) -> None:
    whose = tenant()
    keep(memory, whose, "q1")
    key = places(whose).answer("q1")
    client.hdel(key, field) if value is None else client.hset(key, field, value)
    assert ask(memory, whose, "q1").exact is None


WRONG_METADATA: dict[str, list[Any]] = {
    "v": [None, VERSION + 1, "1"],
    "scope": [None],
    "epoch": [None, "1"],
    "created_at": [None, "x"],
    "expires_at": [None, True],
    "model": [None, 3],
    "kind": [None],
    "node": [3],
    "step": [[]],
    "tags": [None, [3]],
    "usage": [None, [], [1, 2], [-1, 0, 0, 0, 0, 0], [1.5, 0, 0, 0, 0, 0], [True, 0, 0, 0, 0, 0]],
    "usd": ["1", True],
    "seconds": [None, "x"],
    "facets": [3],
    "finish": [3],
    "calls": [None, [[]], [["c", "n", 3, "r"]], [["c", None, {}, "r"]], [["c", "n", {}, "r", "more"]]],
    "answer_usage": [[1]],
    "details": [None, 3],
}


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in WRONG_METADATA.items() for value in values]
)
def test_metadata_of_another_form_makes_no_answer(field: str, value: Any) -> None:
    kept = Kept(tenant="acme", entry=entry("q1", 1), holder="me")
    memory, _ = recollection(connect("memory"))
    flat = fields_of(places("acme"), memory.space, kept, None)
    fields: dict[str, Any] = {
        str(name): one.encode() if isinstance(one, str) else one
        for name, one in zip(flat[::2], flat[1::2], strict=True)
    }
    assert read_entry(fields, "q1", places("acme"), None) == kept.entry
    told = json.loads(fields["metadata"]) | {field: value}
    assert read_entry(fields | {"metadata": json.dumps(told).encode()}, "q1", places("acme"), None) is None


def test_facets_of_another_version_agree_with_nothing(memory: Recollection) -> None:
    told = {"prompt": b"p", "response": b"r"}
    kept = Kept(tenant="acme", entry=entry("q1", 1), holder="me")
    flat = fields_of(places("acme"), memory.space, kept, None)
    metadata = json.loads(flat[flat.index("metadata") + 1]) | {"facets": '[99,"en"]'}
    found = read_entry(told | {"metadata": json.dumps(metadata).encode()}, "q1", places("acme"), None)
    assert found is not None
    assert found.facets is None


def test_a_record_that_a_newer_version_wrote_is_not_overwritten(memory: Recollection, client: Any) -> None:
    whose = tenant()
    key = places(whose).answer("q1")
    client.hset(key, mapping={"v": VERSION + 1, "new": "x"})
    keep(memory, whose, "q1")
    assert client.hgetall(key) == {b"v": str(VERSION + 1).encode(), b"new": b"x"}


def test_a_record_that_pretends_to_be_another_tenants_is_not_given(memory: Recollection, client: Any) -> None:
    mine, theirs = tenant(), tenant()
    keep(memory, theirs, "q1", towards=10)
    client.hset(places(theirs).answer("q1"), "tenant", KEYS.tenant_tag(mine))
    assert ask(memory, mine, "q2", towards=10).near == ()


def test_tallies_that_cannot_be_read_count_against_the_pool() -> None:
    told = read_pools([b"r:p", b"5", b"w:p", b"x", b"r:q", b"nan", b"x", b"1", b"w:s", b"-1"])
    assert {name: (one.right, one.wrong) for name, one in told.items()} == {
        "p": (5.0, 1.0),
        "q": (0.0, 1.0),
        "s": (0.0, 0.0),
    }


def test_a_tally_that_is_broken_counts_as_wrong_when_more_is_found_out(memory: Recollection, client: Any) -> None:
    whose = tenant()
    keep(memory, whose, "q1")
    client.hset(places(whose).answer("q1"), "tally", "broken")
    assert memory.shelf is not None
    memory.shelf.observe([Observed(tenant=whose, entry_id="q1", pool="p", right=2.0)])
    assert client.hget(places(whose).answer("q1"), "tally") == b"2 1"


def test_the_script_is_sent_anew_to_a_server_that_has_forgotten_it(memory: Recollection, client: Any) -> None:
    whose = tenant()
    keep(memory, whose, "q1")
    ask(memory, whose, "q1")
    client.script_flush()
    lookup = Lookup(exact="q1", holder="me")
    assert isinstance(memory.recall(step(whose), MEMORY, lookup).section("cache"), Missing)
    assert ask(memory, whose, "q1").exact is not None


# --- encryption ------------------------------------------------------------------------------------------------


def test_with_a_key_set_neither_question_nor_answer_can_be_read(connection: Connection, client: Any) -> None:
    whose = tenant()
    memory, _ = recollection(connection, cipher=Cipher("a key of some length"))
    make_index(memory)
    kept = keep(memory, whose, "q1", towards=10)
    fields = client.hgetall(places(whose).answer("q1"))
    assert not any(word in value for value in fields.values() for word in (b"members", "27 ☂".encode(), b"prices"))
    assert ask(memory, whose, "q1").exact == kept
    assert [one.entry for one in ask(memory, whose, "q2", towards=10).near] == [kept]
    for other in (None, Cipher("another key of some length")):
        told = ask(recollection(connection, cipher=other)[0], whose, "q1")
        assert told.exact is None


def test_a_sealed_answer_is_good_in_its_place_only(connection: Connection, client: Any) -> None:
    whose = tenant()
    memory, _ = recollection(connection, cipher=Cipher("a key of some length"))
    keep(memory, whose, "q1")
    client.hset(places(whose).answer("q2"), mapping=client.hgetall(places(whose).answer("q1")))
    assert ask(memory, whose, "q2").exact is None


def test_an_open_answer_is_not_given_once_a_key_is_set(memory: Recollection) -> None:
    whose = tenant()
    keep(memory, whose, "q1")
    sealed, _ = recollection(memory.connection, cipher=Cipher("a key of some length"))
    assert ask(sealed, whose, "q1").exact is None


# --- a store that is not well ----------------------------------------------------------------------------------


def test_a_flushed_server_gives_nothing_and_is_filled_again(own: Connection) -> None:
    memory, shelf = recollection(own)
    own.open()
    make_index(memory)
    whose = tenant()
    old = keep(memory, whose, "q1", towards=10)
    own.call(lambda client: client.flushall(), deadline_seconds=5.0)
    told = ask(memory, whose, "q1", towards=10, at=NOW + 1)
    assert (told.exact, told.near, told.filled_by) == (None, (), None)
    assert told.epoch > old.epoch
    assert shelf.at_hand(whose, "q1", NOW + 1) is None
    keep(memory, whose, "q1", towards=10, epoch=told.epoch, at=NOW + 2)  # looks after the index after 5 s
    for seconds in range(3, 20):
        shelf.count([Counted(tenant=whose, misses=1)], NOW + seconds)
    told = ask(memory, whose, "q2", towards=10, at=NOW + 20)
    assert [one.entry.id for one in told.near] == ["q1"]
    memory.close()


def test_a_server_without_search_gives_answers_to_the_very_question(plain: Connection) -> None:
    memory, shelf = recollection(plain)
    whose = tenant()
    kept = keep(memory, whose, "q1", towards=10)
    shelf.count([Counted(tenant=whose, misses=1)], NOW + 10)
    told = ask(memory, whose, "q1", towards=10)
    assert (told.exact, told.near) == (kept, ())
    assert shelf.invalidate(whose, tag="prices") == 1
    memory.close()


def test_a_server_that_has_no_memory_left_gives_what_it_has(own: Connection) -> None:
    memory, _ = recollection(own)
    own.open()
    whose = tenant()
    kept = keep(memory, whose, "q1")

    def fill(client: Any) -> Any:
        return client.config_set("maxmemory-policy", "noeviction") and client.config_set("maxmemory", 1)

    assert own.call(fill) is True
    told = ask(memory, whose, "q1")
    assert told.exact == kept
    told = ask(memory, whose, "q2", holder="a")
    assert (told.exact, told.filled_by) == (None, None)
    keep(memory, whose, "q2", epoch=told.epoch)
    assert memory.shelf is not None
    memory.shelf.observe([Observed(tenant=whose, entry_id="q1", wrong=1.0)])
    assert ask(memory, whose, "q2", holder="b").exact is None
    own.call(lambda client: client.config_set("maxmemory", 0))
    memory.shelf.observe([])
    assert ask(memory, whose, "q1").exact is None
    memory.close()


@pytest.mark.parametrize("what", ["answer", "state", "lease", "pools"])
def test_something_else_at_a_key_is_said_and_raises_nothing(memory: Recollection, client: Any, what: str) -> None:
    whose = tenant()
    mine = places(whose)
    key = {"answer": mine.answer("q1"), "lease": mine.filling("q1")}.get(what) or mine.cached(what)
    client.rpush(key, "a list")
    lookup = Lookup(exact="q1", holder="me")
    found = memory.recall(step(whose), MEMORY, lookup)
    assert isinstance(found.section("cache"), Missing)
    assert found.section("session") != found.section("cache")
    assert memory.shelf is not None
    memory.shelf.keep([Kept(tenant=whose, entry=entry("q1", 1), holder="me")], NOW)
    memory.shelf.observe([Observed(tenant=whose, entry_id="q1", pool="p", wrong=1.0)])
    memory.shelf.release(whose, "q1", "me")
    client.delete(key)


def test_a_store_that_is_away_costs_a_step_nothing_but_the_answer() -> None:
    away = connect("redis://127.0.0.1:1")
    memory, shelf = recollection(away)
    lookup = Lookup(exact="q1", semantic=SCOPE, holder="me")
    found = memory.recall(step("acme"), Directions().embed("east 1"), lookup)
    assert found.section("cache") == NOT_KEPT
    assert isinstance(found.section("store"), Missing)
    shelf.keep([Kept(tenant="acme", entry=entry("q1", 1), holder="me")], NOW)
    shelf.release("acme", "q1", "me")
    shelf.observe([Observed(tenant="acme", entry_id="q1", pool="p", right=1.0)])
    shelf.count([Counted(tenant="acme", misses=1)], NOW)
    assert shelf.at_hand("acme", "q1", NOW) is None
    with pytest.raises(StoreError):
        shelf.invalidate("acme")
    with pytest.raises(StoreError):
        shelf.stats("acme")
    memory.close()
    away.close()


def test_that_an_answer_was_wrong_is_told_to_a_store_that_comes_back(connection: Connection) -> None:
    whose, away = tenant(), connect("redis://127.0.0.1:1")
    memory, shelf = recollection(connection)
    keep(memory, whose, "q1", towards=10)
    remote = shelf.redis()
    remote.connection = away
    shelf.observe(
        [
            Observed(tenant=whose, entry_id="q1", pool="p", right=1.0),
            Observed(tenant=whose, entry_id="q1", pool="p", wrong=1.0),
        ]
    )
    remote.connection = connection
    shelf.observe([])
    told = ask(memory, whose, "q1")
    assert told.exact is not None
    assert (told.pools["p"].right, told.pools["p"].wrong) == (0.0, 1.0)
    away.close()


async def test_an_async_recall_brings_the_same(memory: Recollection) -> None:
    whose = tenant()
    keep(memory, whose, "q1", towards=10)
    vector = Directions().embed("east 20")
    lookup = Lookup(exact="q1", semantic=SCOPE, vector=vector, holder="me")
    found = await memory.arecall(step(whose), vector, lookup)
    assert found.section("cache") == memory.recall(step(whose), vector, lookup).section("cache")
    assert found.section("cache").exact is not None
    await memory.connection.aclose()


def test_a_vector_of_another_space_is_not_compared(memory: Recollection) -> None:
    whose = tenant()

    class Others(Directions):
        identity = "others/2"

    keep(memory, whose, "q1", towards=10)
    others = Recollection(memory.connection, lambda: KEYS, Others(), answers=True)
    make_index(others)
    assert ask(others, whose, "q2", towards=10).near == ()
    assert ask(others, whose, "q1").exact is not None
    assert bytes_of(Others().embed("east 1")) is not None
