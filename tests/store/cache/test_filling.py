"""Of all who ask the same new question at once one gets the answer, and the others are given it."""

from __future__ import annotations

import asyncio
import multiprocessing
import secrets
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.process import BaseProcess

import pytest
from cached_answers import NOW, ask, entry, keep, recollection, tenant
from filling_worker import PATIENT_SECONDS, die, work

from steprouter.caching.orders import Kept, Lookup
from steprouter.store import Connection, connect
from steprouter.store.cache.shelf import pauses
from steprouter.store.embedded import EmbeddedServer
from steprouter.store.memory.recollection import Recollection

PROCESSES = 16
SHORT_SECONDS = 0.2
"""A lease that is soon over."""


@pytest.fixture(scope="module")
def connection(server: EmbeddedServer) -> Iterator[Connection]:
    connection = connect(server.url, deadline_seconds=5.0)
    connection.open()
    yield connection
    connection.call(lambda client: client.flushall())  # others measure how soon an index over few records is ready
    connection.close()


@pytest.fixture(params=["memory", "redis"])
def store(request: pytest.FixtureRequest, connection: Connection) -> Connection:
    """No store but this process, and Redis."""
    return connection if request.param == "redis" else connect("memory")


@pytest.fixture
def memory(store: Connection) -> Iterator[Recollection]:
    """Memory whose leases are soon over."""
    found, _ = recollection(store, lease_seconds=SHORT_SECONDS)
    yield found
    found.close()


# --- processes -------------------------------------------------------------------------------------------------


def told_by_processes(url: str, whose: str, *, one_dies: bool) -> Counter[str | None]:
    """Whose answer each was given; None is one that was told to get it."""
    # Processes of their own that begin with what a process has that has imported the package, which takes seconds.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["steprouter.store.memory.recollection", "steprouter.store.cache.remote", "numpy"])
    all_ready, all_asked = context.Barrier(PROCESSES + one_dies), context.Barrier(PROCESSES)
    may_ask, told = context.Event(), context.Queue()
    workers: list[BaseProcess] = [
        context.Process(target=work, args=(url, whose, number, all_ready, may_ask, all_asked, told))
        for number in range(PROCESSES)
    ]
    if one_dies:
        workers.append(context.Process(target=die, args=(url, whose, all_ready, may_ask)))
    else:
        may_ask.set()
    for worker in workers:
        worker.start()
    said = [told.get(timeout=60.0) for _ in range(PROCESSES)]
    for worker in workers:
        worker.join(60.0)
    assert [worker.exitcode for worker in workers] == [0] * PROCESSES + [1] * one_dies
    fillers = [name for name, given in said if given is None]
    return Counter("the filler's" if [given] == fillers else given for _, given in said)


def test_of_16_processes_that_ask_the_same_at_once_one_gets_the_answer(
    server: EmbeddedServer, connection: Connection
) -> None:
    told = told_by_processes(server.url, secrets.token_hex(4), one_dies=False)
    assert told == {None: 1, "the filler's": PROCESSES - 1}


def test_a_process_that_dies_over_an_answer_is_replaced_by_one_of_16(
    server: EmbeddedServer, connection: Connection
) -> None:
    told = told_by_processes(server.url, secrets.token_hex(4), one_dies=True)
    assert told == {None: 1, "the filler's": PROCESSES - 1}


# --- threads and tasks -----------------------------------------------------------------------------------------


def test_who_waits_is_given_the_answer_once_it_is_kept(memory: Recollection) -> None:
    whose, shelf = tenant(), memory.shelf
    assert shelf is not None
    epoch = ask(memory, whose, "q1", holder="a").epoch
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(shelf.wait_filled, whose, "q1", "b", PATIENT_SECONDS)
        kept = keep(memory, whose, "q1", holder="a", epoch=epoch)
        assert waiting.result() == kept


async def test_tasks_that_wait_are_given_the_answer_and_block_nobody(store: Connection) -> None:
    memory, shelf = recollection(store)
    whose = tenant()
    epoch = ask(memory, whose, "q1", holder="a").epoch
    waiting = [asyncio.create_task(shelf.await_filled(whose, "q1", f"b{n}", PATIENT_SECONDS)) for n in range(8)]
    await asyncio.sleep(0)
    kept = await asyncio.to_thread(keep, memory, whose, "q1", holder="a", epoch=epoch)
    assert await asyncio.gather(*waiting) == [kept] * 8
    await store.aclose()


def test_of_threads_that_wait_for_one_who_gave_up_one_goes_on(memory: Recollection) -> None:
    whose, shelf = tenant(), memory.shelf
    assert shelf is not None
    epoch = ask(memory, whose, "q1", holder="a").epoch

    def wait(name: str) -> str | None:
        found = shelf.wait_filled(whose, "q1", name, PATIENT_SECONDS)
        if found is None:
            shelf.keep([Kept(tenant=whose, entry=entry("q1", epoch, step_id=name), holder=name)], NOW)
        return None if found is None else found.step_id

    with ThreadPoolExecutor(6) as pool:
        waiting = [pool.submit(wait, f"b{n}") for n in range(6)]
        shelf.release(whose, "q1", "a")
        told = [one.result() for one in waiting]
    assert told.count(None) == 1
    assert set(told) == {None, f"b{told.index(None)}"}


def test_whoever_waits_too_long_goes_without(store: Connection) -> None:
    memory, shelf = recollection(store)
    whose = tenant()
    ask(memory, whose, "q1", holder="a")
    assert shelf.wait_filled(whose, "q1", "b", 0.03) is None
    assert ask(memory, whose, "q1", holder="c").filled_by == "a"


async def test_a_task_that_waits_too_long_goes_without(store: Connection) -> None:
    memory, shelf = recollection(store)
    whose = tenant()
    ask(memory, whose, "q1", holder="a")
    assert await shelf.await_filled(whose, "q1", "b", 0.03) is None
    await store.aclose()


def test_nobody_waits_for_a_store_that_is_away() -> None:
    away = connect("redis://127.0.0.1:1")
    memory, shelf = recollection(away)
    lookup = Lookup(exact="q1", holder="b")
    assert shelf.look_again(tenant(), lookup, NOW) is None
    assert shelf.wait_filled(tenant(), "q1", "b", PATIENT_SECONDS) is None
    memory.close()
    away.close()


def test_looks_become_rarer_and_the_last_is_at_the_end() -> None:
    assert list(pauses(0.0)) == []
    assert [round(pause, 4) for _, pause in zip(range(9), pauses(100.0), strict=False)] == [
        *(0.005, 0.0075, 0.0112, 0.0169, 0.0253, 0.038, 0.057, 0.0854, 0.1)
    ]
