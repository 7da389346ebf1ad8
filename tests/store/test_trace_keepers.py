"""The promises of a trace keeper, kept by the one in memory and the one in Redis alike."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steprouter.errors import StoreError
from steprouter.memory.traces import StoredTrace, ThreadLine, TraceKeeper
from steprouter.store import (
    Connection,
    Keys,
    MemoryTraces,
    RedisTraces,
    connect,
    open_traces,
)
from steprouter.store.embedded import EmbeddedServer

KEYS = Keys(secret=b"k" * 32)

EXAMPLES = itertools.count()


def trace(number: int, *, tenant: str = "acme", thread: str = "t-1", at: float | None = None) -> StoredTrace:
    return StoredTrace(
        tenant=tenant,
        thread=thread,
        step_id=f"step-{number}",
        started_at=1_700_000_000.0 + (number if at is None else at),
        payload=b'{"step": %d}' % number,
    )


@pytest.fixture(scope="module")
def shared(server: EmbeddedServer) -> Iterator[Connection]:
    connection = connect(server.url)
    yield connection
    connection.close()


@pytest.fixture(params=["memory", "redis"])
def keeper(request: pytest.FixtureRequest, shared: Connection) -> TraceKeeper:
    if request.param == "memory":
        return MemoryTraces(steps_per_thread=5, threads_per_tenant=3)
    shared.call(lambda client: client.flushdb())
    return RedisTraces(shared, KEYS, steps_per_thread=5, threads_per_tenant=3)


def test_what_was_written_is_read_back_oldest_first(keeper: TraceKeeper) -> None:
    assert keeper.write([trace(2), trace(1), trace(3)]) == 3
    assert keeper.steps("acme", "t-1") == [b'{"step": 1}', b'{"step": 2}', b'{"step": 3}']
    assert keeper.steps("acme", "t-1", limit=2) == [b'{"step": 2}', b'{"step": 3}']
    assert keeper.step("acme", "step-2") == b'{"step": 2}'


def test_threads_come_with_the_newest_step_first(keeper: TraceKeeper) -> None:
    keeper.write([trace(1), trace(2), trace(5), trace(3, thread="t-2")])
    assert keeper.threads("acme") == [
        ThreadLine(thread="t-1", steps=3, last_at=1_700_000_005.0),
        ThreadLine(thread="t-2", steps=1, last_at=1_700_000_003.0),
    ]
    assert keeper.threads("acme", limit=1)[0].thread == keeper.latest_thread("acme") == "t-1"


def test_a_tenant_sees_nothing_of_another(keeper: TraceKeeper) -> None:
    keeper.write([trace(1, tenant="acme"), trace(2, tenant="")])
    assert keeper.steps("default", "t-1") == [b'{"step": 2}']
    assert (keeper.step("globex", "step-1"), keeper.step("default", "step-1")) == (None, None)
    assert (keeper.threads("globex"), keeper.latest_thread("globex")) == ([], None)


def test_a_step_written_again_replaces_the_former(keeper: TraceKeeper) -> None:
    keeper.write([trace(1), trace(2)])
    keeper.write([trace(1, at=9)])
    assert keeper.steps("acme", "t-1") == [b'{"step": 2}', b'{"step": 1}']
    assert keeper.threads("acme")[0].steps == 2


def test_the_oldest_steps_of_a_thread_go_first(keeper: TraceKeeper) -> None:
    keeper.write([trace(number) for number in range(4)])
    keeper.write([trace(number) for number in range(4, 9)])
    assert keeper.steps("acme", "t-1") == [b'{"step": %d}' % number for number in range(4, 9)]
    assert keeper.step("acme", "step-3") is None


def test_the_longest_silent_threads_go_first(keeper: TraceKeeper) -> None:
    keeper.write([trace(number, thread=f"t-{number}") for number in range(4)])
    assert [line.thread for line in keeper.threads("acme")] == ["t-3", "t-2", "t-1"]
    assert (keeper.steps("acme", "t-0"), keeper.step("acme", "step-0")) == ([], None)


def test_asking_for_nothing_gives_nothing(keeper: TraceKeeper) -> None:
    keeper.write([trace(1)])
    assert keeper.write([]) == 0
    assert (keeper.steps("acme", "t-1", limit=0), keeper.threads("acme", limit=0)) == ([], [])


def test_more_than_one_batch_is_written_whole(keeper: TraceKeeper) -> None:
    assert keeper.write([trace(number) for number in range(200)]) == 200
    assert keeper.steps("acme", "t-1") == [b'{"step": %d}' % number for number in range(195, 200)]


def test_threads_that_write_at_once_lose_nothing(keeper: TraceKeeper) -> None:
    writers = [
        threading.Thread(target=keeper.write, args=([trace(number, thread=f"t-{number % 3}")],)) for number in range(12)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [line.steps for line in keeper.threads("acme")] == [4, 4, 4]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    tenant=st.text(st.characters()),
    thread=st.one_of(st.text(st.characters()), st.just("é" * 10_000)),
    step_id=st.one_of(st.text(st.characters()), st.sampled_from(["*", "{d}", "\ud800", "a\r\nDEL b"])),
    payload=st.binary(),
)
def test_hostile_ids_and_payloads_come_back_unchanged(
    keeper: TraceKeeper, tenant: str, thread: str, step_id: str, payload: bytes
) -> None:
    tenant = f"{tenant}{next(EXAMPLES)}"  # each example starts with an empty tenant
    written = StoredTrace(tenant=tenant, thread=thread, step_id=step_id, started_at=1.0, payload=payload)
    assert keeper.write([written]) == 1
    assert keeper.step(tenant, step_id) == payload
    assert keeper.steps(tenant, thread) == [payload]
    assert keeper.latest_thread(tenant) == thread


def test_every_key_in_redis_expires_and_names_nobody(shared: Connection) -> None:
    shared.call(lambda client: client.flushdb())
    RedisTraces(shared, KEYS).write([trace(1, tenant="acme-corporation", thread="thread-of-jane")])
    keys: Any = shared.call(lambda client: client.keys("*"))
    lives: Any = shared.call(lambda client: [client.ttl(key) for key in keys])
    assert len(keys) == 4
    assert all(7 * 24 * 3600 - 60 < life <= 7 * 24 * 3600 for life in lives)
    assert not any(word in key for key in keys for word in (b"acme", b"jane", b"step-1"))


def test_trimming_deletes_the_keys_of_what_went(shared: Connection) -> None:
    shared.call(lambda client: client.flushdb())
    small = RedisTraces(shared, KEYS, steps_per_thread=2, threads_per_tenant=2)
    for number in range(12):
        small.write([trace(number, thread=f"t-{number // 3}")])
    assert shared.call(lambda client: client.dbsize()) == 1 + 2 * (1 + 1 + 2)


def test_without_a_server_writing_gives_zero_and_reading_says_why() -> None:
    connection = connect("redis://127.0.0.1:1")
    keeper = RedisTraces(connection, KEYS)
    assert keeper.write([trace(1)]) == 0
    with pytest.raises(StoreError, match=r"traces cannot be read: store degraded: .*refused"):
        keeper.threads("acme")
    connection.close()


def test_traces_of_a_store_in_memory_are_kept_in_memory(shared: Connection) -> None:
    assert isinstance(open_traces(connect("memory"), KEYS), MemoryTraces)
    assert isinstance(open_traces(shared, KEYS), RedisTraces)


def test_memory_forgets_the_tenant_that_wrote_longest_ago() -> None:
    keeper = MemoryTraces(tenants=2)
    for number, tenant in enumerate(["a", "b", "a", "c"]):
        keeper.write([trace(number, tenant=tenant)])
    assert [bool(keeper.threads(tenant)) for tenant in ("a", "b", "c")] == [True, False, True]
