"""Neighbourhoods in process: read in the background, refreshed, never mixed, and used while the store is away."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from store_processes import Eventually

from steprouter.memory.neighbours import Neighbourhood, Row, nearest
from steprouter.store import Connection, Keys, Missing, connect
from steprouter.store.embedded import EmbeddedServer
from steprouter.store.memory.query import coded
from steprouter.store.memory.schema import Places, Space
from steprouter.store.memory.snapshots import LOADING, OWN_SECONDS, WHOLE_SECONDS, Snapshots

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

DIMENSION = 16
SPACE = Space(identity="test/16", dimension=DIMENSION)
KEYS = Keys(secret=b"x" * 32)
NOW = 1_000_000_000.0


class Clock:
    """Seconds that pass when told to."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def direction(seed: int) -> np.ndarray:
    vector = np.random.default_rng(seed).standard_normal(DIMENSION).astype(np.float32)
    return vector / np.linalg.norm(vector)


def put(connection: Connection, name: str, *, tenant: str = "acme", changed: float = NOW, **fields: object) -> None:
    """Writes an outcome as the writer does; a field given as None is left out."""
    places = Places(keys=KEYS, tenant=tenant)
    kept = {"v": 1, "model": "small", "at": NOW, "score": 1.0, "weight": 0.5, SPACE.field: direction(1).tobytes()}
    kept.update(fields)
    record = {field: value for field, value in kept.items() if value is not None}
    connection.call(lambda client: client.hset(places.outcome_of(name), mapping=record))
    connection.call(lambda client: client.zadd(places.outcomes("chat"), {name: changed}))


def row(name: str, *, changed: float = NOW, score: float = 1.0) -> Row:
    return Row(id=name, model="small", at=NOW, changed=changed, score=score, weight=0.5, vector=direction(1))


def ids(found: Neighbourhood | Missing) -> set[str]:
    assert isinstance(found, Neighbourhood), found
    return set(found.ids)


@pytest.fixture
def emptied(server: EmbeddedServer) -> Iterator[Connection]:
    """The shared server, emptied."""
    connection = connect(server.url, deadline_seconds=1.0)
    connection.call(lambda client: client.flushall())
    yield connection
    connection.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def snapshots(emptied: Connection, clock: Clock) -> Iterator[Snapshots]:
    made = Snapshots(emptied, KEYS, SPACE, clock=clock)
    yield made
    made.close()


def test_the_first_look_gives_nothing_yet_and_has_it_loaded(
    emptied: Connection, snapshots: Snapshots, eventually: Eventually
) -> None:
    put(emptied, "a", model=coded("the größte"), thread="t", score=0.25)
    assert snapshots.get("acme", "chat") == LOADING
    eventually(lambda: isinstance(snapshots.get("acme", "chat"), Neighbourhood))
    found = snapshots.get("acme", "chat")
    assert isinstance(found, Neighbourhood)
    assert (found.ids, found.models, found.scores[0], found.weights[0]) == (("a",), ("the größte",), 0.25, 0.5)
    assert nearest(found, direction(1))["the größte"].cosines[0] == pytest.approx(1.0)


def test_a_stale_neighbourhood_is_given_as_it_is_and_refreshed_behind_it(
    emptied: Connection, snapshots: Snapshots, clock: Clock, eventually: Eventually
) -> None:
    put(emptied, "a")
    snapshots.refresh_now("acme", "chat")
    put(emptied, "b", changed=NOW + 1)
    assert ids(snapshots.get("acme", "chat")) == {"a"}
    assert snapshots.thread is None
    clock.seconds = 6.0
    assert ids(snapshots.get("acme", "chat")) == {"a"}
    eventually(lambda: ids(snapshots.get("acme", "chat")) == {"a", "b"})


def test_a_new_label_replaces_the_row_and_an_idle_refresh_changes_nothing(
    emptied: Connection, snapshots: Snapshots
) -> None:
    put(emptied, "a")
    before = snapshots.refresh_now("acme", "chat")
    assert snapshots.refresh_now("acme", "chat") is before
    put(emptied, "a", changed=NOW + 1, score=0.0)
    found = snapshots.refresh_now("acme", "chat")
    assert isinstance(found, Neighbourhood)
    assert (found.ids, list(found.scores)) == (("a",), [0.0])


def test_tenants_and_kinds_never_see_each_others_outcomes(emptied: Connection, snapshots: Snapshots) -> None:
    put(emptied, "a", tenant="acme")
    put(emptied, "b", tenant="rival")
    assert ids(snapshots.refresh_now("acme", "chat")) == {"a"}
    assert ids(snapshots.refresh_now("rival", "chat")) == {"b"}
    assert ids(snapshots.refresh_now("acme", "plan")) == set()
    snapshots.add("rival", "chat", row("c"))
    assert ids(snapshots.get("acme", "chat")) == {"a"}


def test_no_tenant_is_the_tenant_default(emptied: Connection, snapshots: Snapshots) -> None:
    put(emptied, "a", tenant="default")
    assert ids(snapshots.refresh_now(None, "chat")) == ids(snapshots.refresh_now("", "chat")) == {"a"}
    assert len(snapshots.held) == 1


def test_records_of_newer_versions_and_other_spaces_are_left_out(
    emptied: Connection, snapshots: Snapshots, caplog: pytest.LogCaptureFixture
) -> None:
    put(emptied, "newer", v=2, model=None)
    put(emptied, "other", **{SPACE.field: None, "vector_0123456789": b"\0" * 8})
    put(emptied, "good")
    assert ids(snapshots.refresh_now("acme", "chat")) == {"good"}
    assert (snapshots.newer, snapshots.broken) == (1, 0)
    assert "newer steprouter are not used: 1" in caplog.text


BROKEN = {
    "short": {SPACE.field: b"\0" * 7},
    "too short": {SPACE.field: direction(1)[:8].tobytes()},
    "nan": {SPACE.field: np.full(DIMENSION, np.nan, dtype=np.float32).tobytes()},
    "long": {SPACE.field: (2 * direction(1)).tobytes()},
    "score": {"score": "nan"},
    "weight": {"weight": 7},
    "at": {"at": "yesterday"},
    "version": {"v": "x"},
    "nameless": {"model": None},
    "bytes": {"model": b"\xff\xfe"},
}


@pytest.mark.parametrize("fields", BROKEN.values(), ids=list(BROKEN))
def test_a_broken_record_is_skipped_and_counted(
    emptied: Connection, snapshots: Snapshots, fields: dict[str, object]
) -> None:
    put(emptied, "good")
    put(emptied, "broken", **fields)
    assert ids(snapshots.refresh_now("acme", "chat")) == {"good"}
    assert snapshots.broken == 1


def test_a_record_of_another_type_is_broken_and_spoils_no_other(emptied: Connection, snapshots: Snapshots) -> None:
    put(emptied, "good")
    places = Places(keys=KEYS, tenant="acme")
    emptied.call(lambda client: client.set(places.outcome_of("odd"), "x"))
    emptied.call(lambda client: client.zadd(places.outcomes("chat"), {"odd": NOW}))
    assert ids(snapshots.refresh_now("acme", "chat")) == {"good"}
    assert snapshots.broken == 1


def test_a_row_that_becomes_broken_is_no_longer_used(emptied: Connection, snapshots: Snapshots) -> None:
    put(emptied, "a")
    snapshots.refresh_now("acme", "chat")
    put(emptied, "a", changed=NOW + 1, score="x")
    assert ids(snapshots.refresh_now("acme", "chat")) == set()


def test_names_of_expired_records_are_taken_out_of_the_store(emptied: Connection, snapshots: Snapshots) -> None:
    places = Places(keys=KEYS, tenant="acme")
    put(emptied, "good")
    emptied.call(lambda client: client.zadd(places.outcomes("chat"), {f"gone-{i}": NOW for i in range(150)}))
    assert ids(snapshots.refresh_now("acme", "chat")) == {"good"}
    assert emptied.call(lambda client: client.zrange(places.outcomes("chat"), 0, -1)) == [b"good"]
    put(emptied, "b", changed=NOW - 3600)
    assert ids(snapshots.refresh_now("acme", "chat")) == {"good", "b"}


def test_what_another_process_erased_goes_with_the_next_refresh(emptied: Connection, snapshots: Snapshots) -> None:
    places = Places(keys=KEYS, tenant="acme")
    for number in range(3):
        put(emptied, f"{number}", changed=NOW + 100 * number)
    snapshots.refresh_now("acme", "chat")
    emptied.call(lambda client: client.unlink(places.outcome_of("0")))
    emptied.call(lambda client: client.zrem(places.outcomes("chat"), "0"))
    assert ids(snapshots.refresh_now("acme", "chat")) == {"1", "2"}
    emptied.call(lambda client: client.flushall())
    assert ids(snapshots.refresh_now("acme", "chat")) == set()


def test_a_label_dated_by_a_slow_clock_is_found_when_all_names_are_compared(
    emptied: Connection, snapshots: Snapshots, clock: Clock
) -> None:
    put(emptied, "a", changed=NOW - 50)
    put(emptied, "b")
    snapshots.refresh_now("acme", "chat")
    put(emptied, "a", changed=NOW - 40, score=0.0)
    clock.seconds = WHOLE_SECONDS
    found = snapshots.refresh_now("acme", "chat")
    assert isinstance(found, Neighbourhood)
    assert sorted(zip(found.ids, found.scores, strict=True)) == [("a", 0.0), ("b", 1.0)]


def test_a_row_of_this_process_is_there_at_once_and_until_the_store_has_it(
    emptied: Connection, snapshots: Snapshots
) -> None:
    put(emptied, "a")
    snapshots.refresh_now("acme", "chat")
    snapshots.add("acme", "chat", row("own", changed=NOW + 1, score=0.0))
    assert ids(snapshots.get("acme", "chat")) == {"a", "own"}
    assert ids(snapshots.refresh_now("acme", "chat")) == {"a", "own"}
    put(emptied, "own", changed=NOW + 1, score=0.5)
    found = snapshots.refresh_now("acme", "chat")
    assert isinstance(found, Neighbourhood)
    assert dict(zip(found.ids, found.scores, strict=True)) == {"a": 1.0, "own": 0.5}


def test_a_label_of_this_process_is_not_undone_by_an_older_one_in_the_store(
    emptied: Connection, snapshots: Snapshots
) -> None:
    put(emptied, "a")
    snapshots.add("acme", "chat", row("a", changed=NOW + 5, score=0.0))
    found = snapshots.refresh_now("acme", "chat")
    assert isinstance(found, Neighbourhood)
    assert list(found.scores) == [0.0]
    put(emptied, "a", changed=NOW + 6, score=0.25)
    found = snapshots.refresh_now("acme", "chat")
    assert isinstance(found, Neighbourhood)
    assert list(found.scores) == [0.25]


def test_a_row_that_the_store_has_newer_is_not_added(emptied: Connection, snapshots: Snapshots) -> None:
    put(emptied, "a")
    snapshots.refresh_now("acme", "chat")
    snapshots.add("acme", "chat", row("a", changed=NOW - 5, score=0.75))
    found = snapshots.get("acme", "chat")
    assert isinstance(found, Neighbourhood)
    assert list(found.scores) == [1.0]


def test_what_never_arrives_in_the_store_gives_way_to_what_is_there(
    emptied: Connection, snapshots: Snapshots, clock: Clock
) -> None:
    put(emptied, "a")
    snapshots.refresh_now("acme", "chat")
    snapshots.add("acme", "chat", row("lost"), row("a", changed=NOW + 5, score=0.0))
    clock.seconds = OWN_SECONDS
    assert "lost" not in ids(snapshots.refresh_now("acme", "chat"))
    clock.seconds = WHOLE_SECONDS
    found = snapshots.refresh_now("acme", "chat")
    assert isinstance(found, Neighbourhood)
    assert (found.ids, list(found.scores)) == (("a",), [1.0])


def test_forgetting_a_tenant_drops_it_at_once_and_no_other(emptied: Connection, snapshots: Snapshots) -> None:
    put(emptied, "a")
    put(emptied, "b", tenant="rival")
    snapshots.refresh_now("acme", "chat")
    snapshots.refresh_now("rival", "chat")
    snapshots.forget("acme")
    assert snapshots.get("acme", "chat") == LOADING
    assert ids(snapshots.get("rival", "chat")) == {"b"}


def test_what_is_being_read_while_its_tenant_is_forgotten_does_not_come_back(
    emptied: Connection, snapshots: Snapshots
) -> None:
    put(emptied, "a")
    name = snapshots.named("acme", "chat")
    before = snapshots.current(name)
    snapshots.keep(name, before)
    snapshots.forget("acme")
    snapshots.refresh(name, before)
    assert snapshots.held == {}
    assert snapshots.nbytes == 0


def test_the_longest_unused_goes_when_memory_is_full(emptied: Connection, clock: Clock) -> None:
    snapshots = Snapshots(emptied, KEYS, SPACE, max_bytes=4000, clock=clock)
    for tenant in ("one", "two", "three"):
        put(emptied, "a", tenant=tenant)
    snapshots.refresh_now("one", "chat")
    snapshots.refresh_now("two", "chat")
    assert ids(snapshots.get("one", "chat")) == {"a"}
    snapshots.refresh_now("three", "chat")
    assert [tenant for tenant, _ in snapshots.held] == ["one", "three"]
    assert snapshots.nbytes == sum(held.nbytes for held in snapshots.held.values())


def test_while_the_server_is_away_what_is_there_is_used_and_then_caught_up(
    own: Connection, eventually: Eventually
) -> None:
    own.open()
    put(own, "a")
    snapshots = Snapshots(own, KEYS, SPACE, refresh_seconds=0.0)
    assert ids(snapshots.refresh_now("acme", "chat")) == {"a"}
    server = own.link().server
    assert server is not None
    os.kill(server.facts.pid, signal.SIGKILL)
    assert ids(snapshots.refresh_now("acme", "chat")) == {"a"}
    unknown = snapshots.refresh_now("acme", "plan")
    assert isinstance(unknown, Missing)
    assert unknown.degraded
    eventually(lambda: own.degraded is None)
    put(own, "b")
    eventually(lambda: ids(snapshots.get("acme", "chat")) == {"a", "b"})
    snapshots.close()


def test_without_any_server_this_process_remembers_what_it_added() -> None:
    connection = connect("memory")
    snapshots = Snapshots(connection, KEYS, SPACE)
    said = snapshots.refresh_now("acme", "chat")
    assert isinstance(said, Missing)
    assert not said.degraded
    snapshots.add("acme", "chat", row("a"))
    assert ids(snapshots.refresh_now("acme", "chat")) == {"a"}
    connection.close()


def test_a_forked_child_goes_on_from_what_is_held_and_reads_for_itself(
    emptied: Connection, snapshots: Snapshots, clock: Clock, eventually: Eventually
) -> None:
    put(emptied, "a")
    snapshots.get("acme", "chat")
    eventually(lambda: isinstance(snapshots.get("acme", "chat"), Neighbourhood))
    put(emptied, "b")
    clock.seconds = 6.0

    def child() -> None:
        assert ids(snapshots.get("acme", "chat")) == {"a"}
        eventually(lambda: ids(snapshots.get("acme", "chat")) == {"a", "b"})

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(20)
    assert process.exitcode == 0
    eventually(lambda: ids(snapshots.get("acme", "chat")) == {"a", "b"})


def test_many_threads_may_look_add_and_refresh_at_once(emptied: Connection, snapshots: Snapshots) -> None:
    for number in range(100):
        put(emptied, f"{number}", changed=NOW + number)

    def work(number: int) -> None:
        for turn in range(20):
            snapshots.get("acme", "chat")
            snapshots.add("acme", "chat", row(f"own-{number}-{turn}"))
            snapshots.refresh_now("acme", "chat")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    own = {f"own-{number}-{turn}" for number in range(4) for turn in range(20)}
    assert ids(snapshots.get("acme", "chat")) == own | {f"{number}" for number in range(100)}


def test_the_thread_ends_with_the_object_that_nobody_closed(emptied: Connection, eventually: Eventually) -> None:
    snapshots = Snapshots(emptied, KEYS, SPACE)
    snapshots.get("acme", "chat")
    thread = snapshots.thread
    assert thread is not None
    del snapshots
    gc.collect()
    eventually(lambda: not thread.is_alive())


def test_what_was_closed_starts_again_when_it_is_used(
    emptied: Connection, snapshots: Snapshots, eventually: Eventually
) -> None:
    snapshots.get("acme", "chat")
    snapshots.close()
    assert snapshots.thread is None
    put(emptied, "a", tenant="rival")
    snapshots.get("rival", "chat")
    eventually(lambda: isinstance(snapshots.get("rival", "chat"), Neighbourhood))
