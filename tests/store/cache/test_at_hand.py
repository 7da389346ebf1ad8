"""What a process has at hand is given without asking anybody, and only while it is known to hold."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from cached_answers import KEYS, NOW, ask, entry, keep, recollection, tenant

from steprouter.answering.answer import Answer
from steprouter.caching.orders import Observed
from steprouter.memory.recall import Missing
from steprouter.store import Connection, MemoryTraces, connect
from steprouter.store.cache.pocket import ENTRY_BYTES, TRUST_SECONDS, Pocket
from steprouter.store.cache.shelf import Shelf
from steprouter.store.embedded import EmbeddedServer
from steprouter.store.memory.custody import Custody
from steprouter.store.memory.recollection import Recollection
from steprouter.store.memory.schema import Places

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@pytest.fixture(scope="module")
def connection(server: EmbeddedServer) -> Iterator[Connection]:
    connection = connect(server.url, deadline_seconds=5.0)
    connection.open()
    yield connection
    connection.call(lambda client: client.flushall())  # others measure how soon an index over few records is ready
    connection.close()


@pytest.fixture
def shelf(connection: Connection) -> Shelf:
    return recollection(connection)[1]


def memory_of(shelf: Shelf) -> Recollection:
    assert isinstance(shelf.home, Recollection)
    return shelf.home


def other(shelf: Shelf) -> Shelf:
    """Another process's, as far as what it has at hand goes."""
    return recollection(shelf.home.connection)[1]


def test_what_was_brought_once_is_at_hand_for_two_seconds(shelf: Shelf) -> None:
    whose = tenant()
    kept = keep(memory_of(other(shelf)), whose, "q1")
    assert shelf.at_hand(whose, "q1", NOW) is None
    ask(memory_of(shelf), whose, "q1", at=NOW)
    assert shelf.at_hand(whose, "q1", NOW) == kept
    assert shelf.at_hand(whose, "q1", NOW + TRUST_SECONDS) == kept
    assert shelf.at_hand(whose, "q1", NOW + TRUST_SECONDS + 0.01) is None


def test_any_recall_of_the_tenant_makes_it_hold_for_two_seconds_more(shelf: Shelf) -> None:
    whose = tenant()
    kept = keep(memory_of(shelf), whose, "q1")
    ask(memory_of(shelf), whose, "another", at=NOW + 60)
    assert shelf.at_hand(whose, "q1", NOW + 61) == kept


def test_what_this_process_kept_is_at_hand_without_another_look(shelf: Shelf) -> None:
    whose = tenant()
    kept = keep(memory_of(shelf), whose, "q1")
    assert shelf.at_hand(whose, "q1", NOW + 1) == kept


def test_a_clock_that_was_put_back_proves_nothing(shelf: Shelf) -> None:
    whose = tenant()
    keep(memory_of(shelf), whose, "q1")
    assert shelf.at_hand(whose, "q1", NOW - 1) is None


def test_what_has_expired_is_not_at_hand(shelf: Shelf) -> None:
    whose = tenant()
    keep(memory_of(shelf), whose, "q1", expires_at=NOW + 1)
    assert shelf.at_hand(whose, "q1", NOW + 0.5) is not None
    assert shelf.at_hand(whose, "q1", NOW + 1) is None


def erase_tenant(theirs: Shelf, whose: str) -> None:
    Custody(memory_of(theirs), MemoryTraces, lambda: NOW).forget(whose)


def erase_user(theirs: Shelf, whose: str) -> None:
    told = Custody(memory_of(theirs), MemoryTraces, lambda: NOW).forget(whose, user="ann")
    assert told.erased["cache_entries"] == 1


REMOVALS: dict[str, Callable[[Shelf, str], object]] = {
    "all": lambda theirs, whose: theirs.invalidate(whose),
    "a tag": lambda theirs, whose: theirs.invalidate(whose, tag="prices"),
    "a model": lambda theirs, whose: theirs.invalidate(whose, model="small"),
    "a node": lambda theirs, whose: theirs.invalidate(whose, node="agent"),
    "a wrong answer": lambda theirs, whose: theirs.observe([Observed(tenant=whose, entry_id="q1", wrong=0.5)]),
    "a tenant": erase_tenant,
    "a user": erase_user,
}


@pytest.mark.parametrize("how", REMOVALS)
def test_what_another_process_removed_is_not_at_hand_after_two_seconds(shelf: Shelf, how: str) -> None:
    whose, theirs = tenant(), other(shelf)
    keep(memory_of(shelf), whose, "q1", kept={"user": "ann", "thread": "t"})
    assert shelf.at_hand(whose, "q1", NOW + 1) is not None
    REMOVALS[how](theirs, whose)
    assert ask(memory_of(shelf), whose, "q2", at=NOW + 1).exact is None
    assert shelf.at_hand(whose, "q1", NOW + 1) is None
    assert ask(memory_of(shelf), whose, "q1", at=NOW + 1).exact is None


@pytest.mark.parametrize("how", REMOVALS)
def test_what_this_process_removed_is_not_at_hand_at_once(shelf: Shelf, how: str) -> None:
    whose = tenant()
    keep(memory_of(shelf), whose, "q1", kept={"user": "ann", "thread": "t"})
    REMOVALS[how](shelf, whose)
    assert shelf.at_hand(whose, "q1", NOW) is None


def test_a_removal_that_leaves_an_answer_leaves_it_at_hand_after_one_look(shelf: Shelf) -> None:
    whose = tenant()
    kept = keep(memory_of(shelf), whose, "q1")
    other(shelf).invalidate(whose, tag="another")
    assert ask(memory_of(shelf), whose, "q1", at=NOW + 1).exact == kept
    assert shelf.at_hand(whose, "q1", NOW + 2) == kept


def test_what_another_process_learnt_since_does_not_undo_what_is_newer_at_hand() -> None:
    pocket = Pocket()
    pocket.saw("acme", 1, 5, NOW)
    pocket.put("acme", entry("q1", 1), revision=6)
    assert pocket.at_hand("acme", "q1", NOW) is None
    pocket.saw("acme", 1, 4, NOW - 1)
    pocket.saw("acme", 1, 6, NOW)
    assert pocket.at_hand("acme", "q1", NOW) is not None


def test_the_answers_used_last_stay_when_there_are_too_many() -> None:
    pocket = Pocket(largest_entries=2)
    pocket.saw("acme", 1, 0, NOW)
    for exact in ("q1", "q2"):
        pocket.put("acme", entry(exact, 1), 0)
    pocket.at_hand("acme", "q1", NOW)
    pocket.put("acme", entry("q3", 1), 0)
    assert [pocket.at_hand("acme", exact, NOW) is not None for exact in ("q1", "q2", "q3")] == [True, False, True]


def test_the_answers_take_no_more_than_they_may() -> None:
    pocket = Pocket(largest_bytes=10 * ENTRY_BYTES)
    for number in range(100):
        pocket.put("acme", entry(f"q{number % 60}", 1, answer=Answer(text="x" * 10 * number)), 0)
        assert pocket.size_bytes <= 10 * ENTRY_BYTES
    pocket.put("acme", entry("large", 1, answer=Answer(text="x" * 20 * ENTRY_BYTES)), 0)
    assert (pocket.size_bytes, len(pocket.held)) == (0, 0)


def test_threads_that_put_and_take_at_once_lose_no_count() -> None:
    pocket = Pocket(largest_entries=16)
    pocket.saw("acme", 1, 0, NOW)

    def use(start: int) -> None:
        for number in range(start, start + 500):
            pocket.put("acme", entry(f"q{number % 40}", 1), 0)
            pocket.at_hand("acme", f"q{(number * 7) % 40}", NOW)
            pocket.drop("acme", f"q{(number * 3) % 40}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(use, range(8)))
    assert len(pocket.held) <= 16
    assert pocket.size_bytes == sum(one.size_bytes for one in pocket.held.values())


def test_a_forked_child_is_not_held_up_by_a_lock_of_its_parent() -> None:
    pocket = Pocket()
    pocket.saw("acme", 1, 0, NOW)
    pocket.put("acme", entry("q1", 1), 0)
    is_held, may_go = threading.Event(), threading.Event()

    def hold() -> None:
        with pocket.turn.lock:
            is_held.set()
            may_go.wait(60.0)

    holder = threading.Thread(target=hold)
    holder.start()
    is_held.wait(60.0)
    context = multiprocessing.get_context("fork")
    child = context.Process(target=lambda: pocket.at_hand("acme", "q1", NOW) or exit(3))
    child.start()
    child.join(60.0)
    may_go.set()
    holder.join()
    assert child.exitcode == 0


def test_nothing_is_given_of_a_store_that_went_away(shelf: Shelf) -> None:
    whose, away = tenant(), recollection(connect("redis://127.0.0.1:1"))[0]
    kept = keep(memory_of(shelf), whose, "q1")
    assert away.shelf is not None
    away.shelf.pocket.saw(whose, kept.epoch, 0, NOW)
    away.shelf.pocket.put(whose, kept, 0)
    assert away.shelf.at_hand(whose, "q1", NOW + 2) is not None
    assert away.shelf.at_hand(whose, "q1", NOW + 3) is None
    away.close()
    away.connection.close()


def test_a_tenants_state_that_was_lost_makes_all_it_had_be_not_there(shelf: Shelf) -> None:
    """As when a full server has evicted it: what was kept cannot be told from what was removed."""
    whose = tenant()
    keep(memory_of(shelf), whose, "q1")
    state = Places(keys=KEYS, tenant=whose).cached("state")
    assert not isinstance(shelf.home.connection.call(lambda client: client.delete(state)), Missing)
    assert ask(memory_of(shelf), whose, "q1", at=NOW + 1).exact is None
    assert shelf.at_hand(whose, "q1", NOW + 1) is None
    keep(memory_of(shelf), whose, "q1", at=NOW + 1)
    assert ask(memory_of(shelf), whose, "q1", at=NOW + 1).exact is not None
