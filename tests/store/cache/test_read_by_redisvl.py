"""redisvl's `SemanticCache` reads the index of answers: by an index it does not manage, which ours is to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from cached_answers import KEYS, NOW, Directions, keep, make_index, recollection, tenant
from redisvl.extensions.cache.llm import SemanticCache  # type: ignore[import-untyped]
from redisvl.query.filter import Num, Tag  # type: ignore[import-untyped]
from redisvl.utils.vectorize import CustomVectorizer  # type: ignore[import-untyped]

from steprouter.store import Connection, connect
from steprouter.store.embedded import EmbeddedServer
from steprouter.store.live.journal_cipher import Cipher
from steprouter.store.memory.index import cache_index
from steprouter.store.memory.recollection import Recollection


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


def numbers(degrees: float) -> list[float]:
    return [float(number) for number in Directions().embed(f"east {degrees}")]


@pytest.fixture
def cache(server: EmbeddedServer, memory: Recollection) -> Iterator[Any]:
    """What a user of redisvl makes; no index is made or looked at, and no entry's time is changed."""
    found = SemanticCache(
        name=cache_index(memory.space).alias,
        vectorizer=CustomVectorizer(embed=lambda text, **_: numbers(0)),
        redis_url=server.url,
        create_index=False,
    )
    yield found
    found.disconnect()


def of(whose: str, scope: str = "scope1") -> Any:
    """The filter that a reader must give: nothing else keeps tenants and scopes apart for it."""
    return (Tag("tenant") == KEYS.tenant_tag(whose)) & (Tag("scope") == scope)


def test_it_finds_the_answer_to_a_question_like_it(memory: Recollection, cache: Any) -> None:
    whose = tenant()
    kept = keep(memory, whose, "q1", towards=10)
    keep(memory, whose, "q2", towards=60)
    (hit,) = cache.check(vector=numbers(12), filter_expression=of(whose), num_results=5)
    assert (hit["entry_id"], hit["prompt"], hit["response"]) == ("q1", kept.text, kept.answer.text)
    assert hit["vector_distance"] == pytest.approx(1 - 0.99939, abs=1e-4)
    assert (hit["inserted_at"], hit["metadata"]["model"], hit["metadata"]["usd"]) == (NOW, "small", 0.25)


def test_it_finds_none_of_another_tenant_or_scope(memory: Recollection, cache: Any) -> None:
    whose = tenant()
    keep(memory, whose, "q1", towards=10)
    assert cache.check(vector=numbers(10), filter_expression=of(tenant())) == []
    assert cache.check(vector=numbers(10), filter_expression=of(whose, "scope2")) == []


def test_it_can_leave_out_what_has_expired_and_choose_a_model(memory: Recollection, cache: Any) -> None:
    whose = tenant()
    keep(memory, whose, "q1", towards=10, expires_at=NOW + 60)
    keep(memory, whose, "q2", towards=10, model="gpt-4.1")
    alive = of(whose) & (Num("expires_at") > NOW + 60)
    found = cache.check(vector=numbers(10), filter_expression=alive, num_results=5)
    assert [hit["entry_id"] for hit in found] == ["q2"]
    found = cache.check(vector=numbers(10), filter_expression=of(whose) & (Tag("model") == "gpt-4.1"), num_results=5)
    assert [hit["entry_id"] for hit in found] == ["q2"]


async def test_its_async_side_finds_the_same(memory: Recollection, cache: Any) -> None:
    whose = tenant()
    keep(memory, whose, "q1", towards=10)
    found = await cache.acheck(vector=numbers(12), filter_expression=of(whose))
    assert [hit["entry_id"] for hit in found] == ["q1"]
    await cache.adisconnect()


def test_it_passes_over_answers_that_are_encrypted(memory: Recollection, cache: Any) -> None:
    whose = tenant()
    sealed, _ = recollection(memory.connection, cipher=Cipher("a key of some length"))
    keep(sealed, whose, "q1", towards=10)
    assert cache.check(vector=numbers(10), filter_expression=of(whose)) == []


def test_clearing_it_removes_none_of_our_answers(memory: Recollection, cache: Any) -> None:
    whose = tenant()
    keep(memory, whose, "q1", towards=10)
    cache.clear()
    assert cache.check(vector=numbers(10), filter_expression=of(whose)) != []
