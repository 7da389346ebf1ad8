"""The search indexes on a real server: made once, searched only when complete, grown without a gap."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from store_processes import Eventually

from steprouter.errors import StoreError
from steprouter.memory.recall import Missing
from steprouter.store import Connection, connect
from steprouter.store.embedded import EmbeddedServer
from steprouter.store.memory.index import (
    Building,
    Indexes,
    IndexSpec,
    Ready,
    cache_index,
    ensure,
    grow,
    lessons_index,
    outcomes_index,
)
from steprouter.store.memory.probe import IndexFacts, has_svs, look, read_facts
from steprouter.store.memory.query import knn, names_no_index, parse
from steprouter.store.memory.schema import Space

SPACE = Space(identity="test/64", dimension=64)
SPEC = outcomes_index(SPACE)
SMALL = replace(SPEC, grow_above=2000)

ENSURE = """
import sys
from steprouter.store import connect
from steprouter.store.memory.index import Indexes, outcomes_index
from steprouter.store.memory.schema import Space
indexes = Indexes(connect(sys.argv[1]))
print("loaded", flush=True)
sys.stdin.readline()
print(indexes.ensure(outcomes_index(Space(identity="test/64", dimension=64))))
"""


def vectors(count: int) -> np.ndarray:
    drawn = np.random.default_rng(7).standard_normal((count, SPACE.dimension)).astype("<f4")
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)  # type: ignore[no-any-return]


def write(connection: Connection, count: int, *, spec: IndexSpec = SPEC) -> np.ndarray:
    """Records of one tenant and their vectors."""
    drawn = vectors(count)

    def use(client):  # type: ignore[no-untyped-def]
        pipeline = client.pipeline(transaction=False)
        for number, vector in enumerate(drawn):
            fields = {"tenant": "acme", "at": number, spec.vector: vector.tobytes()}
            pipeline.hset(f"{spec.prefix}{number}", mapping=fields)
        return len(pipeline.execute())

    assert connection.call(use, deadline_seconds=30.0) == count
    return drawn


def send(connection: Connection, *words: object) -> object:
    """What a command gives; an error it is answered with, as a value."""

    def use(client):  # type: ignore[no-untyped-def]
        pipeline = client.pipeline(transaction=False)
        pipeline.execute_command(*words)
        return pipeline.execute(raise_on_error=False)[0]

    return connection.call(use, deadline_seconds=5.0)


def names(connection: Connection) -> list[str]:
    return sorted(name.decode() for name in send(connection, "FT._LIST"))  # type: ignore[attr-defined]


def nearest(connection: Connection, vector: np.ndarray, k: int = 10, spec: IndexSpec = SPEC) -> list[int]:
    reply = send(connection, *knn(spec, vector.tobytes(), k=k, where={"tenant": "acme"}))
    return [int(hit.key.removeprefix(spec.prefix)) for hit in parse(reply).hits]


def facts_of(connection: Connection, name: str) -> IndexFacts:
    facts = connection.call(lambda client: look(client, name))
    assert isinstance(facts, IndexFacts)
    return facts


def settled(state: Callable[[], object]) -> object:
    """The state once it is no longer being built."""
    found = state()
    while isinstance(found, Building):
        found = state()
    return found


@pytest.mark.parametrize("spec", [outcomes_index(SPACE), lessons_index(SPACE), cache_index(SPACE)])
def test_an_index_is_made_as_its_spec_says_and_can_be_asked_at_once(own: Connection, spec: IndexSpec) -> None:
    indexes = Indexes(own)
    assert not indexes.ready(spec.alias)
    assert indexes.ensure(spec) == Ready(algorithm="flat", documents=0)
    assert indexes.ready(spec.alias)
    assert indexes.ensure(spec) == Ready(algorithm="flat", documents=0)
    drawn = write(own, 30, spec=spec)
    assert nearest(own, drawn[17], spec=spec)[0] == 17


def test_eight_threads_that_make_an_index_at_once_make_one(own: Connection) -> None:
    with ThreadPoolExecutor(8) as pool:
        states = list(pool.map(lambda _: ensure(own, SPEC), range(8)))
    assert states == [Ready(algorithm="flat", documents=0)] * 8
    assert names(own) == [SPEC.name("flat")]


def test_processes_that_make_an_index_at_once_make_one(server: EmbeddedServer) -> None:
    words = [sys.executable, "-c", ENSURE, server.url]
    processes = [subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "loaded\n"
    said = {process.communicate("go\n")[0] for process in processes}
    assert said == {"Ready(algorithm='flat', documents=0)\n"}


def test_an_index_over_many_records_is_not_ready_before_all_are_in(own: Connection) -> None:
    indexes = Indexes(own)
    write(own, 20_000)
    first = indexes.ensure(SPEC)
    assert isinstance(first, Building)
    assert 0.0 <= first.share < 1.0
    assert not indexes.ready(SPEC.alias)
    assert settled(lambda: indexes.ensure(SPEC)) == Ready(algorithm="flat", documents=20_000)
    assert indexes.ready(SPEC.alias)


def test_after_a_flush_the_next_search_says_so_and_the_index_is_made_anew(own: Connection) -> None:
    indexes = Indexes(own)
    indexes.ensure(SPEC)
    own.call(lambda client: client.flushall())
    reply = send(own, *knn(SPEC, vectors(1)[0].tobytes(), k=1, where={"tenant": "acme"}))
    assert names_no_index(reply)
    indexes.lost(SPEC.alias)
    assert not indexes.ready(SPEC.alias)
    assert indexes.ensure(SPEC) == Ready(algorithm="flat", documents=0)
    assert indexes.ready(SPEC.alias)


def test_an_index_without_its_alias_gets_it_back(own: Connection) -> None:
    ensure(own, SPEC)
    send(own, "FT.ALIASDEL", SPEC.alias)
    assert ensure(own, SPEC) == Ready(algorithm="flat", documents=0)
    assert names(own) == [SPEC.name("flat")]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (replace(SPEC, dimension=32), "dim of vector_.* must be '64', got '32'"),
        (replace(SPEC, prefix="sr:else:"), r"the prefixes .* must be \('sr:outcome:',\), got \('sr:else:',\)"),
        (replace(SPEC, tags=("tenant",)), "the type of kind .* must be 'TAG', got None"),
        (replace(SPEC, numbers=("at", "score", "weight"), tags=(*SPEC.tags, "labelled_at")), "must be 'NUMERIC'"),
    ],
)
def test_an_index_of_another_form_under_the_same_name_is_refused(own: Connection, other: IndexSpec, said: str) -> None:
    ensure(own, other)
    indexes = Indexes(own)
    with pytest.raises(StoreError, match=said):
        indexes.ensure(SPEC)
    assert not indexes.ready(SPEC.alias)
    with pytest.raises(StoreError, match=f"FT.DROPINDEX '{SPEC.name('flat')}'"):
        indexes.grow(SPEC)


def test_an_index_that_ignores_case_is_refused(own: Connection) -> None:
    vector = ("VECTOR", "FLAT", 6, "TYPE", "FLOAT32", "DIM", 64, "DISTANCE_METRIC", "COSINE")
    fields = [word for name in SPEC.tags for word in (name, "TAG")]
    fields += [word for name in SPEC.numbers for word in (name, "NUMERIC")]
    schema = (*fields, SPEC.vector, *vector)
    send(own, "FT.CREATE", SPEC.name("flat"), "PREFIX", 1, SPEC.prefix, "SCHEMA", *schema)
    with pytest.raises(StoreError, match="case sensitivity of tenant"):
        ensure(own, SPEC)
    assert names_no_index(send(own, "FT.INFO", SPEC.alias))


def test_an_index_that_is_called_as_the_alias_is_refused(own: Connection) -> None:
    send(own, "FT.CREATE", SPEC.alias, "SCHEMA", "tenant", "TAG")
    with pytest.raises(StoreError, match=f"the name .* must be '{SPEC.name('flat')}', got '{SPEC.alias}'"):
        ensure(own, SPEC)


def test_a_newer_space_gets_its_own_index_beside_the_old_one(own: Connection) -> None:
    newer = outcomes_index(Space(identity="test-2/64", dimension=64))
    ensure(own, SPEC)
    drawn = write(own, 20)
    assert settled(lambda: ensure(own, newer)) == Ready(algorithm="flat", documents=20)
    assert nearest(own, drawn[3])[0] == 3
    assert nearest(own, drawn[3], spec=newer) == []


def test_a_server_without_search_misses_the_index_and_is_not_degraded(plain: Connection) -> None:
    indexes = Indexes(plain)
    missing = Missing(reason="the server has no search", degraded=False)
    assert indexes.ensure(SPEC) == missing
    assert indexes.grow(SPEC) == missing
    assert not indexes.ready(SPEC.alias)
    assert plain.degraded is None


def test_a_server_that_is_away_is_missing_and_no_longer_ready(own: Connection) -> None:
    indexes = Indexes(own)
    indexes.ensure(SPEC)
    indexes.connection = connect("unix:///nowhere/s")
    state = indexes.ensure(SPEC)
    assert isinstance(state, Missing)
    assert state.degraded
    assert not indexes.ready(SPEC.alias)
    indexes.connection.close()


def test_redisvl_reads_our_index_and_finds_a_record_with_it(own: Connection) -> None:
    import redis
    from redisvl.index import SearchIndex  # type: ignore[import-untyped]
    from redisvl.query import VectorQuery  # type: ignore[import-untyped]
    from redisvl.query.filter import Tag  # type: ignore[import-untyped]

    ensure(own, SPEC)
    drawn = write(own, 20)
    with redis.Redis(unix_socket_path=socket_of(own)) as client:
        read = SearchIndex.from_existing(SPEC.alias, redis_client=client)
        stated = SearchIndex(SPEC.schema(), redis_client=client)
        assert set(read.schema.field_names) == set(stated.schema.field_names)
        query = VectorQuery(drawn[4].tobytes(), SPEC.vector, filter_expression=Tag("tenant") == "acme")
        assert [index.query(query)[0]["id"] for index in (read, stated)] == ["sr:outcome:4"] * 2


def socket_of(connection: Connection) -> str:
    """Where its embedded server listens; redisvl wants a client that does not insist on RESP3."""
    return str(connection.call(lambda client: client.config_get("unixsocket"))["unixsocket"])  # type: ignore[index]


def test_this_server_says_that_it_has_no_svs_and_keeps_no_trace(own: Connection) -> None:
    assert own.call(has_svs) is False
    assert names(own) == []


def test_a_small_index_stays_flat_and_there_is_none_to_grow_before(own: Connection) -> None:
    assert grow(own, SMALL, holder="a") == Missing(reason="there is no index yet", degraded=False)
    ensure(own, SMALL)
    assert grow(own, SMALL, holder="a") == Ready(algorithm="flat", documents=0)
    assert names(own) == [SMALL.name("flat")]


def test_searches_see_every_record_at_every_moment_of_growth(own: Connection) -> None:
    indexes = Indexes(own)
    indexes.ensure(SMALL)
    drawn = write(own, 4000)
    states, found = [indexes.grow(SMALL)], []
    while isinstance(states[-1], Building):
        found += [nearest(own, drawn[number], k=1) == [number] for number in range(0, 4000, 400)]
        assert len(nearest(own, drawn[0], k=1000)) == 1000
        states.append(indexes.grow(SMALL))
    assert states[-1] == Ready(algorithm="hnsw", documents=4000)
    assert len(states) > 2
    assert all(found)


def test_a_grown_index_keeps_its_records_and_finds_the_nearest(own: Connection) -> None:
    ensure(own, SMALL)
    drawn = write(own, 3000)
    settled(lambda: grow(own, SMALL, holder="a"))
    assert names(own) == [SMALL.name("hnsw")]
    assert own.call(lambda client: client.exists(*(f"{SMALL.prefix}{number}" for number in range(3000)))) == 3000
    exact = [set(np.argsort(-(drawn @ vector))[:10].tolist()) for vector in drawn[:50]]
    hits = [len(exact[number] & set(nearest(own, drawn[number]))) for number in range(50)]
    assert sum(hits) >= 0.95 * 500
    assert ensure(own, SMALL) == grow(own, SMALL, holder="b") == Ready(algorithm="hnsw", documents=3000)


def test_what_is_written_while_it_grows_is_in_the_grown_index(own: Connection) -> None:
    ensure(own, SMALL)
    write(own, 3000)
    assert isinstance(grow(own, SMALL, holder="a"), Building)
    drawn = write(own, 3500)
    assert settled(lambda: grow(own, SMALL, holder="a")) == Ready(algorithm="hnsw", documents=3500)
    assert nearest(own, drawn[3499], k=1) == [3499]


def test_only_one_process_grows_an_index_and_another_takes_over_when_it_falls_silent(own: Connection) -> None:
    ensure(own, SMALL)
    write(own, 3000)
    grow(own, SMALL, holder="a")
    settled(lambda: Building(share=0.0) if not facts_of(own, SMALL.name("hnsw")).is_complete else None)
    assert grow(own, SMALL, holder="b") == Building(share=1.0)
    assert names(own) == [SMALL.name("flat"), SMALL.name("hnsw")]
    send(own, "DEL", f"sr:{{d}}:index-growth:{SMALL.alias}")
    assert grow(own, SMALL, holder="b") == Ready(algorithm="hnsw", documents=3000)
    assert names(own) == [SMALL.name("hnsw")]


def test_an_index_left_behind_by_a_process_that_died_is_cleared_away(own: Connection) -> None:
    ensure(own, SMALL)
    write(own, 3000)
    settled(lambda: grow(own, SMALL, holder="a"))
    ensure(own, replace(SMALL, alias=f"{SMALL.alias}x"))
    send(own, "FT.CREATE", SMALL.name("flat"), "PREFIX", 1, SMALL.prefix, "SCHEMA", "tenant", "TAG")
    assert grow(own, SMALL, holder="a") == Ready(algorithm="hnsw", documents=3000)
    assert names(own) == [SMALL.name("hnsw"), f"{SMALL.alias}x:flat"]


def test_an_index_that_lost_most_records_becomes_flat_again_but_not_earlier(own: Connection) -> None:
    ensure(own, SMALL)
    drawn = write(own, 2100)
    settled(lambda: grow(own, SMALL, holder="a"))
    for first, left in ((1100, 1100), (900, 900)):
        own.call(partial(delete, first=first), deadline_seconds=5.0)
        state = settled(lambda: grow(own, SMALL, holder="a"))
        assert state == Ready(algorithm="hnsw" if left == 1100 else "flat", documents=left)
    assert names(own) == [SMALL.name("flat")]
    assert nearest(own, drawn[5], k=1) == [5]


def delete(client, first: int) -> object:  # type: ignore[no-untyped-def]
    return client.delete(*(f"{SMALL.prefix}{number}" for number in range(first, 2100)))


def test_an_index_is_described_alike_in_both_protocols(server: EmbeddedServer, eventually: Eventually) -> None:
    import redis

    clients = [redis.Redis.from_url(server.url, protocol=protocol) for protocol in (2, 3)]
    connection = connect(server.url, deadline_seconds=5.0)
    eventually(lambda: isinstance(ensure(connection, SPEC), Ready))
    older, newer = (client.execute_command("FT.INFO", SPEC.alias) for client in clients)
    assert isinstance(older, list)
    assert read_facts(older) == read_facts(newer)
    assert set(read_facts(newer).fields) == {*SPEC.tags, *SPEC.numbers, SPEC.vector}
    for closing in (*clients, connection):
        closing.close()
