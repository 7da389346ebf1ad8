"""What people are told of memory: how much there is, and which steps resemble a text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from kept_records import EMBEDDER, KEYS, NOW, SPACE, keep_all_sorts, keep_step, outcome, vector
from store_processes import Eventually

from steprouter.errors import StoreError
from steprouter.memory.face import Remembering
from steprouter.memory.remember import Remembrance
from steprouter.step.step import StepKind
from steprouter.store import Connection, connect
from steprouter.store.embedded import EmbeddedServer
from steprouter.store.memory.custody import Custody
from steprouter.store.memory.index import Ready, outcomes_index
from steprouter.store.memory.recollection import Recollection
from steprouter.store.memory.schema import Places, Space
from steprouter.store.memory.search import by_index, by_snapshots
from steprouter.store.traces import MemoryTraces, RedisTraces


class Embeds:
    """An embedder of few words."""

    identity, dimension, blocks = EMBEDDER, SPACE.dimension, False

    def embed(self, text: str) -> Any:
        return np.frombuffer(vector(*(1 + text.count(letter) * 5 for letter in "abcd")), dtype="<f4")


def embedded(text: str) -> bytes:
    return bytes(Embeds().embed(text).tobytes())


@pytest.fixture
def connection(server: EmbeddedServer) -> Iterator[Connection]:
    """The shared server, emptied."""
    connection = connect(server.url, deadline_seconds=5.0)
    connection.call(lambda client: client.flushall())
    yield connection
    connection.call(lambda client: client.flushall())
    connection.close()


@pytest.fixture
def custody(connection: Connection) -> Iterator[Custody]:
    recollection = Recollection(connection, lambda: KEYS, Embeds())
    yield Custody(recollection, lambda: RedisTraces(connection, KEYS), lambda: NOW)
    recollection.close()


def fill(connection: Connection, tenant: str = "acme") -> None:
    """A step for each letter, and one far from all."""
    for place, letter in enumerate("abcd"):
        kind = "plan" if letter == "d" else "chat"
        keep_step(connection, tenant, letter, thread="t", user="u", vector=embedded(letter), kind=kind, at=NOW + place)


def test_an_overview_counts_each_sort_and_names_what_is_newer(connection: Connection, custody: Custody) -> None:
    keep_all_sorts(connection, "acme", thread="t", user="u", step="s1")
    keep_step(connection, "acme", "s2", thread="t", user="u", kind="plan", at=NOW + 9, vector=None)
    connection.call(lambda client: client.hset(Places(keys=KEYS, tenant="acme").session("t")[0], "v", "9"))
    keep_step(connection, "rival", "s3", thread="t", user="u")
    told = custody.overview("acme")
    ones = ("budgets", "cache_entries", "journals", "lesson_tallies", "lessons", "pending_labels", "sessions")
    assert told.records == {
        **dict.fromkeys(ones, 1),
        "learned": 1,
        "lists": 8,
        "outcomes": 2,
        "tallies": 4,
        "traces": 3,
    }
    assert (told.outcomes, told.newer) == ({"chat": 1, "plan": 1}, 1)
    assert (told.oldest, told.newest, told.spaces) == (NOW, NOW + 9, {"": 1, SPACE.tag: 1})


def test_an_overview_says_how_each_model_stands(connection: Connection, custody: Custody) -> None:
    keep_step(connection, "acme", "s1", thread="t", user="u", model="größte | model")
    (one,) = custody.overview("acme").standings
    assert (one.kind, one.model, one.labels, one.usd, one.seconds) == ("chat", "größte | model", 1, 0.25, 1.5)
    assert one.success == pytest.approx(1.0)


def test_records_of_another_embedder_are_named_by_their_space(connection: Connection, custody: Custody) -> None:
    fill(connection)
    custody.recollection.space = Space(identity="other/4", dimension=4)
    told = custody.overview("acme")
    assert (told.foreign, told.embedder) == ({SPACE.tag: 4}, "other/4")


def test_an_overview_of_an_empty_or_unknown_tenant_is_empty(connection: Connection, custody: Custody) -> None:
    fill(connection)
    told = custody.overview("*")
    assert (told.records, told.outcomes, told.standings, told.oldest) == ({}, {}, (), None)


def test_broken_records_are_counted_and_stop_nothing(connection: Connection, custody: Custody) -> None:
    places = Places(keys=KEYS, tenant="acme")
    fill(connection)
    connection.call(lambda client: client.set(places.outcome("odd"), "no hash"))
    connection.call(lambda client: client.set(places.counters("code"), "no hash"))
    connection.call(lambda client: client.hset(places.outcome("a"), mapping={"at": "nan", "kind": b"\xff"}))
    told = custody.overview("acme")
    assert (told.records["outcomes"], sum(told.outcomes.values()), told.oldest) == (5, 4, NOW + 1)


def test_a_session_is_given_as_the_store_has_it(connection: Connection, custody: Custody) -> None:
    fill(connection)
    session = custody.session("acme", "t")
    assert (session.steps, [one.step_id for one in session.recent], session.spent_usd) == (4, ["d", "c", "b", "a"], 1.0)
    assert custody.session("acme", "unknown").steps == 0
    connection.call(lambda client: client.hset(Places(keys=KEYS, tenant="acme").session("t")[0], "v", "9"))
    with pytest.raises(StoreError, match="written by a newer steprouter"):
        custody.session("acme", "t")


def found(custody: Custody, text: str, kind: StepKind | None = None, k: int = 5) -> list[tuple[str, float]]:
    names = {KEYS.id_tag("acme", letter): letter for letter in "abcdefgh"}
    return [
        (names.get(one.record, one.record), round(one.similarity, 3)) for one in custody.search("acme", text, kind, k)
    ]


def test_a_search_brings_the_most_similar_steps_first(connection: Connection, custody: Custody) -> None:
    fill(connection)
    fill(connection, "rival")
    near = found(custody, "aab", k=2)
    assert ([name for name, _ in near], near[0][1] > near[1][1]) == (["a", "b"], True)
    assert [name for name, _ in found(custody, "d", StepKind.PLAN)] == ["d"]
    (best,) = custody.search("acme", "c", None, 1)
    assert best == Remembering(
        record=KEYS.id_tag("acme", "c"),
        kind="chat",
        model="small",
        score=1.0,
        weight=0.3,
        source="passed_check",
        at=NOW + 2,
        similarity=best.similarity,
        usd=0.25,
        seconds=1.5,
    )
    assert best.similarity == pytest.approx(1.0, abs=1e-5)


def test_the_index_and_the_neighbourhood_find_the_same(
    connection: Connection, custody: Custody, eventually: Eventually
) -> None:
    fill(connection)
    remote, one = custody.recollection.redis(), Embeds().embed("aaabbc")
    connection.open()
    eventually(lambda: isinstance(remote.indexes.ensure(outcomes_index(SPACE)), Ready), seconds=20.0)
    by_server = by_index(remote, "acme", one, None, 4)
    assert by_server is not None
    here = by_snapshots(remote, "acme", one, None, 4)
    assert list(by_server) == list(here)
    assert list(by_server.values()) == pytest.approx(list(here.values()), abs=1e-5)


def test_expired_broken_and_newer_records_are_not_found(connection: Connection, custody: Custody) -> None:
    fill(connection)
    places = Places(keys=KEYS, tenant="acme")
    connection.call(lambda client: client.delete(places.outcome("a")))
    connection.call(lambda client: client.hset(places.outcome("b"), "v", "9"))
    connection.call(lambda client: client.hset(places.outcome("c"), "at", "never"))
    assert [name for name, _ in found(custody, "a")] == ["d"]


async def test_an_async_search_finds_the_same(connection: Connection, custody: Custody) -> None:
    fill(connection)
    assert await custody.asearch("acme", "ab", None, 3) == custody.search("acme", "ab", None, 3)


def test_this_process_is_searched_where_there_is_no_store() -> None:
    memory = Recollection(connect("memory"), lambda: KEYS, Embeds())
    custody = Custody(memory, MemoryTraces, lambda: NOW)
    for letter in "abcd":
        one = outcome(letter, thread="t", user="u", vector=embedded(letter))
        memory.local.remember(Remembrance(tenant="acme", outcomes=(one,)), NOW)
    assert [one.record for one in custody.search("acme", "aab", None, 2)] == ["a", "b"]
    assert custody.search("rival", "a", None, 2) == []
    told = custody.overview("acme")
    assert (told.records, told.outcomes, told.spaces) == (
        {"outcomes": 4, "tallies": 2},
        {"chat": 4},
        {SPACE.tag: 4},
    )
    memory.close()


def test_a_store_that_is_away_is_said_to_be_away() -> None:
    away = connect("redis://127.0.0.1:1/0", deadline_seconds=0.2)
    custody = Custody(Recollection(away, lambda: KEYS, Embeds()), MemoryTraces, lambda: NOW)
    for ask in (lambda: custody.overview("a"), lambda: custody.forget("a"), lambda: custody.session("a", "t")):
        with pytest.raises(StoreError, match="memory cannot be reached"):
            ask()
    away.close()
