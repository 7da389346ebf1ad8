"""The store breaks in every way it can: an agent's messages stay the same, and what it learnt is kept later."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from agent_rounds import MODES, complaints, open_router, round_of, steps_kept
from broken_store import FAULTS, BreakableServer, Fault, Wire, wire_to
from store_processes import Eventually

from steprouter.memory.remember import Remembrance
from steprouter.memory.session import Decided, SessionUpdate
from steprouter.step.step import Place, Step, StepKind
from steprouter.store import Keys, Missing, connect
from steprouter.store.embedded import EmbeddedServer
from steprouter.store.embedded.find import ServerProgram, find
from steprouter.store.guard import pause
from steprouter.store.memory.index import Building, Indexes, IndexSpec, outcomes_index
from steprouter.store.memory.remote import WAITING, RedisMemory
from steprouter.store.memory.schema import Places, Space

SPACE = Space(identity="test/2", dimension=2)
KEYS = Keys(secret=b"k" * 32)
NOW = 1_800_000_000.0

HEALED_SECONDS = 2.0
"""How soon after its first PONG the store must be used again."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A place whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="sr-") as name:
        yield Path(name)


@pytest.fixture
def program(server: EmbeddedServer) -> ServerProgram:
    """The server program that was found before."""
    found = find(Path(server.facts.data).parent)
    assert found is not None
    return found


@pytest.fixture
def breakable(program: ServerProgram, folder: Path) -> Iterator[BreakableServer]:
    server = BreakableServer(program, folder)
    server.start()
    server.wait()
    yield server
    server.kill()


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """What keys are named with, so that no file is made."""
    monkeypatch.setenv("STEPROUTER_KEY", "a secret for tests only")


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_an_agent_says_the_same_whatever_happens_to_its_store(
    program: ServerProgram, folder: Path, eventually: Eventually, fault: Fault
) -> None:
    server = BreakableServer(program, folder, search=fault.search)
    server.start()
    server.wait()
    router = open_router(server.url)
    try:
        router.engine.connection.open()
        healthy = round_of(router)
        assert complaints(router) == []
        fault.harm(server)
        assert round_of(router) == healthy
        assert bool(complaints(router)) is fault.told
        fault.heal(server)
        server.wait()
        eventually(lambda: router.engine.connection.degraded is None, seconds=HEALED_SECONDS)
        assert round_of(router) == healthy
        assert complaints(router) == []
        assert steps_kept(router, server) == [2 * fault.kept] * len(MODES)
    finally:
        router.close()
        server.kill()


def test_an_embedded_server_that_is_killed_is_started_anew_and_loses_no_step(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    monkeypatch.setenv("STEPROUTER_DATA", str(data_dir))
    monkeypatch.delenv("REDIS_URL", raising=False)
    router = open_router("embedded")
    connection = router.engine.connection
    try:
        connection.open()
        healthy = round_of(router)
        connection.call(lambda client: os.kill(client.info("server")["process_id"], signal.SIGKILL))
        assert round_of(router) == healthy
        eventually(lambda: connection.degraded is None)
        assert round_of(router) == healthy
        assert router.engine.memory is not None
        remote = RedisMemory(connection, router.engine.memory.keys or KEYS, router.engine.memory.space)
        assert [remote.recall(step(mode.__name__), None)["session"].steps for mode in MODES] == [6] * len(MODES)
    finally:
        router.close()


def test_a_store_that_was_away_for_long_is_still_noticed_in_time() -> None:
    a_probe = 0.05
    assert max(pause(10.0**power) for power in range(-3, 9)) + a_probe < HEALED_SECONDS


async def test_a_frozen_store_is_bypassed_although_the_loop_is_held_up_too(
    breakable: BreakableServer, wired: RedisMemory
) -> None:
    await wired.arecall(step(), None)
    breakable.signal(signal.SIGSTOP)
    try:
        for _ in range(3):
            call = asyncio.create_task(wired.arecall(step(), None))
            await asyncio.sleep(0)
            time.sleep(0.15)  # another task that computes
            await call
        assert wired.connection.degraded is not None
    finally:
        breakable.signal(signal.SIGCONT)
    await wired.connection.aclose()


def test_an_agent_says_the_same_while_the_index_is_half_built(breakable: BreakableServer) -> None:
    router = open_router(breakable.url)
    try:
        healthy = round_of(router)
        assert router.engine.memory is not None
        spec = outcomes_index(router.engine.memory.space)
        fill(breakable, spec)
        indexes = Indexes(router.engine.connection)
        assert isinstance(indexes.ensure(spec), Building)
        assert round_of(router) == healthy
        assert complaints(router) == []
    finally:
        router.close()


def fill(server: BreakableServer, spec: IndexSpec) -> None:
    """Writes many outcomes that an index takes a while to take in."""
    server.client.eval(
        "for i = 1, ARGV[1] do redis.call('HSET', KEYS[1] .. i, 'tenant', 'other', ARGV[2], ARGV[3]) end",
        1,
        spec.prefix,
        20_000,
        spec.vector,
        b"\0\0\x80\x3f" * spec.dimension,
    )


@pytest.fixture
def wire(breakable: BreakableServer, folder: Path) -> Iterator[Wire]:
    with wire_to(breakable.socket, folder / "w") as wire:
        yield wire


@pytest.fixture
def wired(wire: Wire) -> Iterator[RedisMemory]:
    """Memory at the other end of the wire."""
    connection = connect(wire.url)
    connection.open()
    memory = RedisMemory(connection, KEYS, SPACE, models=("small",))
    yield memory
    memory.close()
    connection.close()


def step(thread: str = "t") -> Step:
    return Step(id="s", kind=StepKind.CHAT, place=Place(thread=thread))


def remembrance(number: int, thread: str = "t") -> Remembrance:
    decided = Decided(step_id=f"step-{number}", at=NOW + number, kind="chat", model="small", usd=0.5)
    return Remembrance(tenant="default", thread=thread, session=SessionUpdate(decided=decided))


def steps_of(memory: RedisMemory) -> int:
    """How many steps another process finds."""
    fresh = RedisMemory(memory.connection, KEYS, SPACE)
    return int(fresh.recall(step(), None)["session"].steps)


def test_a_thousand_recalls_of_a_frozen_store_ask_it_only_once(
    breakable: BreakableServer, wire: Wire, wired: RedisMemory
) -> None:
    wired.recall(step(), None)
    breakable.signal(signal.SIGSTOP)
    try:
        before = wire.asked
        degraded = [wired.recall(step(), None)["store"].reason for _ in range(1000)]
        assert degraded[0] == degraded[-1]
        assert wire.asked - before < 50  # the first, and probes four times a second
    finally:
        breakable.signal(signal.SIGCONT)


async def test_a_thousand_recalls_of_a_frozen_store_hold_up_no_loop(
    breakable: BreakableServer, wire: Wire, wired: RedisMemory
) -> None:
    await wired.arecall(step(), None)
    breakable.signal(signal.SIGSTOP)
    try:
        before = wire.asked
        found = [await wired.arecall(step(), None) for _ in range(1000)]
        assert all(isinstance(one["store"], Missing) for one in found)
        assert wire.asked - before < 50
    finally:
        breakable.signal(signal.SIGCONT)
    await wired.connection.aclose()


def test_what_came_before_a_reply_was_cut_is_used(wire: Wire, wired: RedisMemory) -> None:
    wired.write([remembrance(1)], NOW)
    wired.recall(step(), None)
    wire.pass_on = 1 << 20
    RedisMemory(wired.connection, KEYS, SPACE).recall(step(), None)
    whole = (1 << 20) - wire.pass_on
    wire.pass_on = whole - 1  # what was learnt, which comes last, is cut in the middle
    found = RedisMemory(wired.connection, KEYS, SPACE).recall(step(), None)
    assert (found["session"].steps, "counters" in found, "learned" in found) == (1, True, False)
    assert found["store"].degraded


async def test_what_came_before_an_async_reply_was_cut_is_used(wire: Wire, wired: RedisMemory) -> None:
    wired.write([remembrance(1)], NOW)
    fresh = RedisMemory(wired.connection, KEYS, SPACE)
    await fresh.arecall(step(), None)
    wire.pass_on = 1 << 20
    await fresh.arecall(step(), None)
    wire.pass_on = (1 << 20) - wire.pass_on - 1
    found = await RedisMemory(wired.connection, KEYS, SPACE).arecall(step(), None)
    assert (found["session"].steps, "counters" in found, "learned" in found) == (1, True, False)
    assert found["store"].degraded
    await wired.connection.aclose()


@pytest.mark.parametrize("size", [0, 1, 7, 40])
def test_a_reply_that_is_cut_anywhere_is_a_miss_and_leaves_nothing_behind(
    wire: Wire, wired: RedisMemory, eventually: Eventually, size: int
) -> None:
    wired.write([remembrance(1)], NOW)
    fresh = RedisMemory(wired.connection, KEYS, SPACE)
    wire.pass_on = size
    assert isinstance(fresh.recall(step(), None)["store"], Missing)
    wire.pass_on = None
    eventually(lambda: wired.connection.degraded is None, seconds=HEALED_SECONDS)
    assert steps_of(wired) == 1


def test_writes_whose_reply_is_lost_are_tried_again_and_count_once(
    wire: Wire, wired: RedisMemory, eventually: Eventually
) -> None:
    batch = [remembrance(number) for number in range(40)]
    for one in batch:
        wired.remember(one)
    wire.pass_on = 0
    assert isinstance(wired.write(batch, NOW), Missing)
    assert wired.recall(step(), None)["session"].steps == 40  # known here meanwhile
    wire.pass_on = None
    eventually(lambda: wired.connection.degraded is None, seconds=HEALED_SECONDS)
    assert wired.write([remembrance(40)], NOW) is None
    assert steps_of(wired) == 41
    assert wired.waiting == []


def test_a_server_that_has_forgotten_the_scripts_loses_no_write(breakable: BreakableServer, wired: RedisMemory) -> None:
    for number in range(3):
        breakable.client.script_flush()
        assert wired.write([remembrance(number)], NOW) is None
    assert steps_of(wired) == 3


def test_a_record_that_can_never_be_written_holds_up_no_other(
    breakable: BreakableServer, wired: RedisMemory, caplog: pytest.LogCaptureFixture
) -> None:
    places = Places(keys=KEYS, tenant="default")
    breakable.client.set(places.session("odd")[0], "not a session")
    with caplog.at_level(logging.WARNING):
        assert wired.write([remembrance(1, "odd"), remembrance(2)], NOW) is None
    assert "not remembered" in caplog.text
    assert steps_of(wired) == 1
    assert wired.waiting == []


def test_what_waits_is_bounded_and_the_newest_stay(breakable: BreakableServer, wired: RedisMemory) -> None:
    breakable.kill()
    batch = [remembrance(number, f"t{number}") for number in range(WAITING + 5)]
    for one in batch:
        wired.remember(one)
    wired.write(batch, NOW)
    assert wired.waiting == batch[5:]
    assert wired.lost == 5
    assert len(wired.unseen) == WAITING


def test_what_waits_is_written_when_memory_is_closed(
    breakable: BreakableServer, wired: RedisMemory, eventually: Eventually
) -> None:
    breakable.kill()
    assert isinstance(wired.write([remembrance(1)], NOW), Missing)
    breakable.start()
    breakable.wait()
    eventually(lambda: wired.connection.degraded is None, seconds=HEALED_SECONDS)
    wired.close()
    assert steps_of(wired) == 1


BROKEN = {
    "a session without its count": (0, {"v": "1"}),
    "a session of no numbers": (0, {"v": "1", "steps": "many"}),
    "a prefix of nothing": (0, {"v": "1", "steps": "1", "warm:small": "x"}),
    "names that are no text": (0, {"v": "1", "steps": "1", "incumbent": b"\xff"}),
}


@pytest.mark.parametrize("fields", [fields for _, fields in BROKEN.values()], ids=list(BROKEN))
def test_a_broken_session_is_missing_and_nothing_more(
    breakable: BreakableServer, wired: RedisMemory, fields: Any
) -> None:
    places = Places(keys=KEYS, tenant="default")
    breakable.client.hset(places.session("t")[0], mapping=fields)
    found = wired.recall(step(), None)
    assert isinstance(found["session"], Missing)
    assert "counters" in found


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "3", "{}", '{"step_id": 1, "at": 1, "kind": "chat"}', "[" * 100_000]
    + [json.dumps({"step_id": "s", "kind": "chat", "at": at, "until": 0}) for at in ("soon", None, [1], True, {})]
    + [json.dumps({"step_id": "s", "kind": "chat", "at": 1, "until": "x", "calls": 3})],
)
def test_a_broken_step_of_a_session_is_left_out(breakable: BreakableServer, wired: RedisMemory, text: str) -> None:
    places = Places(keys=KEYS, tenant="default")
    wired.write([remembrance(1), remembrance(2)], NOW)
    wired.remember(remembrance(3))
    breakable.client.zadd(places.session("t")[1], {text: NOW + 9})
    session = wired.recall(step(), None)["session"]
    assert [one.step_id for one in session.recent if one.step_id != "s"] == ["step-3", "step-2", "step-1"]


TALLY = "1 2 3 4 5 6 7 8 9 10"


@pytest.mark.parametrize(
    "text", ["", "x", "1", "1 1 1 inf 1 1 1 1 1 1", "1 1 1 1 1 nan 1 1 1 1", "9 1 1 1 1 1 1 1 1 1"]
)
def test_a_broken_tally_counts_as_none(breakable: BreakableServer, wired: RedisMemory, text: str) -> None:
    places = Places(keys=KEYS, tenant="default")
    breakable.client.hset(places.counters("chat"), mapping={"small": text, "large": TALLY, b"\xff": TALLY})
    assert set(wired.recall(step(), None)["counters"].kind) == {"large"}


def test_nothing_is_left_of_a_router_whose_store_broke(breakable: BreakableServer, eventually: Eventually) -> None:
    def use() -> None:
        router = open_router(breakable.url)
        round_of(router)
        breakable.signal(signal.SIGSTOP)
        round_of(router)
        breakable.signal(signal.SIGCONT)
        eventually(lambda: router.engine.connection.degraded is None)
        round_of(router)
        router.close()

    use()
    before = descriptors()
    use()
    eventually(lambda: not [one.name for one in threading.enumerate() if one.name.startswith("steprouter")])
    eventually(lambda: descriptors() <= before)


def descriptors() -> int:
    """How many files and sockets this process has open."""
    gc.collect()
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
