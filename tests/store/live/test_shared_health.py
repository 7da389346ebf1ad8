"""Processes agree on the health of deployments through a real server, and go on without it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from typing import Any

import pytest
from health_cases import NOW, answered, calls, failed, made, trip
from health_processes import all_do
from store_processes import Eventually

from steprouter.answering.attempt import Attempt
from steprouter.answering.breaker import State
from steprouter.answering.claims import Granted, Refused
from steprouter.answering.failures import FailureKind
from steprouter.errors import ConfigError, StoreError
from steprouter.memory.recall import Missing
from steprouter.step.step import Place, Step, StepKind
from steprouter.store import Connection, Keys, connect
from steprouter.store.embedded import EmbeddedServer
from steprouter.store.live.health_trips import OUT_SECONDS, command, propose_one
from steprouter.store.live.shared_health import SharedHealth
from steprouter.store.memory.pipeline import carry_out
from steprouter.store.memory.schema import DAY_SECONDS, Places
from steprouter.store.memory.sections import HealthSection, Query, plan, read

KEYS = Keys(secret=b"k" * 32)
DUE = NOW + 600.0
SERIAL = count()


@pytest.fixture(scope="module")
def connection(server: EmbeddedServer) -> Iterator[Connection]:
    connection = connect(server.url, deadline_seconds=20.0)
    yield connection
    connection.close()


@pytest.fixture
def model() -> str:
    """A deployment of the test's own, of any name."""
    return f"model {next(SERIAL)} {{t:x}}\n\ud800"


Sharing = Callable[..., SharedHealth]


@pytest.fixture
def worker(connection: Connection, model: str) -> Sharing:
    """Gives one of several processes, as far as the store can tell."""

    def made_worker(settings: str = "settings", at: Connection = connection) -> SharedHealth:
        return SharedHealth(at, lambda: KEYS, {model: settings})

    return made_worker


def recall(health: SharedHealth, now: float = NOW) -> None:
    """What a step's recall does."""
    step = Step(id="s", kind=StepKind.CHAT, place=Place())
    query = Query(places=Places(keys=KEYS, tenant="any"), step=step, models=tuple(health.settings))
    trip, replies = plan(query, [HealthSection(health.settings)]), list[Any]()
    missing = health.connection.call(lambda client: carry_out(client, trip.commands, replies))
    found = read(trip, replies, missing if isinstance(missing, Missing) else None)
    health.take(found["health"], now)


def state(health: SharedHealth, model: str, now: float = NOW) -> State:
    return health.health(now)[model].breaker.state


def opened(health: SharedHealth, model: str) -> None:
    trip(health, model=model)
    assert health.write(NOW) is None


def test_a_breaker_that_one_opened_is_open_for_the_other_after_its_recall(worker: Sharing, model: str) -> None:
    one, other = worker(), worker()
    opened(one, model)
    assert state(other, model) is State.CLOSED
    recall(other)
    assert other.health(NOW)[model].breaker == one.health(NOW)[model].breaker
    assert state(other, model) is State.OPEN


def test_without_recalls_a_write_brings_what_others_know(worker: Sharing, model: str) -> None:
    one, other = worker(), worker()
    opened(one, model)
    assert other.write(NOW) is None
    assert state(other, model) is State.OPEN


def test_two_who_write_in_turn_count_the_calls_of_both(worker: Sharing, model: str) -> None:
    one, other = worker(), worker()
    for number in range(10):
        for name, health in (("one", one), ("other", other)):
            made(health, answered(model), name=f"{name} {number}")
            assert health.write(NOW) is None
    recall(one)
    assert calls(one.health(NOW)[model].breaker) == 20
    assert one.health(NOW)[model].breaker == other.health(NOW)[model].breaker


def test_a_deployment_with_other_settings_is_another(worker: Sharing, model: str) -> None:
    one, changed = worker("old key"), worker("new key")
    made(one, failed(FailureKind.AUTH, model, status=401), name="a")
    opened(one, model)
    assert one.health(NOW)[model].out == "auth 401"
    recall(changed)
    assert changed.health(NOW)[model].out is None
    assert state(changed, model) is State.CLOSED


def test_who_is_out_for_one_is_out_for_all_until_somebody_readmits_it(worker: Sharing, model: str) -> None:
    one, other, person = worker(), worker(), worker()
    made(one, failed(FailureKind.NOT_FOUND, model, status=404), name="a")
    one.write(NOW)
    recall(other)
    assert other.health(NOW)[model].out == "not_found 404"
    person.readmit(model, NOW - 5.0)  # by a clock that is slow
    for health in (one, other):
        recall(health, NOW + 2)
        assert health.health(NOW + 2)[model].out is None


def test_only_a_deployment_of_the_router_can_be_readmitted(worker: Sharing) -> None:
    with pytest.raises(ConfigError, match=r"model must name one of .* got 'other'"):
        worker().readmit("other", NOW)


def seconds_left(health: SharedHealth, model: str) -> int:
    """How long the store keeps a record that nobody writes."""
    left = health.connection.call(lambda client: client.ttl(health.key(model)))
    assert isinstance(left, int)
    return left


def test_a_record_is_forgotten_after_a_day_and_who_is_out_after_thirty(worker: Sharing, model: str) -> None:
    health = worker()
    opened(health, model)
    assert DAY_SECONDS - 60 < seconds_left(health, model) <= DAY_SECONDS
    made(health, failed(FailureKind.AUTH, model), name="a")
    health.write(NOW)
    assert OUT_SECONDS - 60 < seconds_left(health, model) <= OUT_SECONDS


def test_the_store_holds_no_name_of_a_model_in_its_keys(worker: Sharing, model: str) -> None:
    assert worker().key(model).startswith("sr:{d}:health:")
    assert worker().key(model).replace("sr:{d}:health:", "").replace(":", "").isalnum()


@pytest.fixture
def models(model: str) -> list[str]:
    """Several, whose names can be given to another process."""
    return [f"{number} {model.encode('ascii', 'ignore').decode()}" for number in range(5)]


def router(connection: Connection, models: list[str]) -> SharedHealth:
    return SharedHealth(connection, lambda: KEYS, dict.fromkeys(models, "settings"))


def test_of_eight_processes_at_one_moment_one_probes_each_deployment(
    connection: Connection, server: EmbeddedServer, models: list[str]
) -> None:
    health = router(connection, models)
    for one in models:
        trip(health, model=one, name=one)
    assert health.write(NOW) is None
    told = all_do("admit", server.url, models, now=DUE)
    for one in models:
        assert sorted(answer[one] for answer in told) == ["Granted", *["Refused"] * 7]


def test_eight_processes_that_write_at_once_lose_no_call(
    connection: Connection, server: EmbeddedServer, models: list[str]
) -> None:
    assert all_do("call", server.url, models, now=NOW) == [0] * 8
    health = router(connection, models)
    recall(health)
    assert [calls(health.health(NOW)[one].breaker) for one in models] == [80] * 5


def test_a_lease_is_refused_to_whom_another_was_ahead_of_since_the_recall(worker: Sharing, model: str) -> None:
    one, other = worker(), worker()
    opened(one, model)
    recall(other)
    assert one.admit(model, "one", DUE) == Granted(is_probe=True)
    assert one.admit(model, "one", DUE) == Granted(is_probe=True)
    told = other.admit(model, "other", DUE)
    assert isinstance(told, Refused)
    assert (told.by, told.until) == ("breaker", DUE + 30.0)


async def test_async_steps_lease_as_sync_ones_do(worker: Sharing, model: str, server: EmbeddedServer) -> None:
    one, other = worker(), worker()
    opened(one, model)
    recall(other)
    told = await asyncio.gather(one.aadmit(model, "one", DUE), other.aadmit(model, "other", DUE))
    assert sorted(type(grant).__name__ for grant in told) == ["Granted", "Refused"]
    await one.connection.aclose()


async def test_a_lease_that_nobody_waits_for_any_more_is_given_back(worker: Sharing, model: str) -> None:
    health = worker()
    opened(health, model)
    asking = asyncio.create_task(health.aadmit(model, "gone", DUE))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert health.write(DUE) is None
    assert health.admit(model, "next", DUE) == Granted(is_probe=True)
    await health.connection.aclose()


def test_a_granted_probe_that_is_not_made_is_given_back(worker: Sharing, model: str) -> None:
    one, other = worker(), worker()
    opened(one, model)
    assert one.admit(model, "one", DUE) == Granted(is_probe=True)
    one.ended("one", Attempt(model=model), DUE)
    one.write(DUE)
    recall(other)
    assert other.admit(model, "other", DUE) == Granted(is_probe=True)


def test_a_lease_that_the_store_took_without_a_reply_is_taken_once(worker: Sharing, model: str) -> None:
    one, other = worker(), worker()
    opened(one, model)
    asking = one.admission(model, "one", DUE)
    asked = next(asking)
    assert propose_one(one.connection, asked) is True
    with pytest.raises(StopIteration) as end:
        asking.send(None)  # the reply is lost
    assert end.value.value == Granted(is_probe=True)
    recall(other)
    assert isinstance(other.admit(model, "other", DUE), Refused)
    made(one, answered(model), DUE, name="one")
    assert one.write(DUE) is None
    assert one.health(DUE)[model].breaker.probed == 1


def test_who_is_outrun_each_time_gives_up_and_holds_nothing(worker: Sharing, model: str) -> None:
    one, other = worker(), worker()
    opened(one, model)
    recall(other)

    def asked_after_others() -> Refused | Granted:
        asking, reply = one.admission(model, "one", DUE), None
        for number in count():
            asked = asking.send(reply)
            limited = failed(FailureKind.RATE_LIMITED, model, retry_after_seconds=10.0 + number)
            made(other, limited, name=f"{number}")
            other.write(NOW)
            reply = propose_one(one.connection, asked)
        raise AssertionError("nothing counts so far")

    with pytest.raises(StopIteration) as end:
        asked_after_others()
    assert end.value.value == Refused(by="breaker", name=model, why=f"{model} is just being written by others")
    recall(other)
    assert other.admit(model, "other", DUE) == Granted(is_probe=True)


@pytest.mark.parametrize("kind", ["hash", "text"])
def test_what_else_lies_at_the_key_is_written_over(worker: Sharing, model: str, kind: str) -> None:
    one, other = worker(), worker()
    key = one.key(model)
    one.connection.call(lambda client: client.hset(key, "v", "1") if kind == "hash" else client.set(key, b"\xff no"))
    recall(one)
    opened(one, model)
    recall(other)
    assert state(other, model) is State.OPEN


def test_a_flushed_store_learns_again_what_was_known(worker: Sharing, model: str) -> None:
    one, other = worker(), worker()
    opened(one, model)
    one.connection.call(lambda client: client.delete(one.key(model)))
    recall(one)
    assert state(one, model) is State.OPEN
    assert one.admit(model, "one", DUE) == Granted(is_probe=True)
    recall(other)
    assert state(other, model) is State.HALF_OPEN


def test_a_store_that_refuses_is_told_again_when_it_is_well(own: Connection, worker: Sharing, model: str) -> None:
    health = worker(at=own)
    assert health.write(NOW) is None
    own.call(lambda client: client.config_set("maxmemory", 1), deadline_seconds=5.0)
    trip(health, model=model)
    assert health.write(NOW) == Missing(reason="the store refused the health of models")
    assert health.admit(model, "mine", DUE) == Granted(is_probe=True)
    own.call(lambda client: client.config_set("maxmemory", 0), deadline_seconds=5.0)
    assert health.write(DUE) is None
    other = worker(at=own)
    other.write(DUE)
    assert state(other, model) is State.HALF_OPEN


def test_a_killed_store_stops_nothing_and_is_told_when_it_is_back(
    own: Connection, worker: Sharing, model: str, eventually: Eventually
) -> None:
    health, other = worker(at=own), worker(at=own)
    opened(health, model)
    assert own.facts is not None
    os.kill(server_pid(own), signal.SIGKILL)
    eventually(lambda: health.refresh(health.board, NOW) is not None)
    made(health, failed(FailureKind.AUTH, model), name="a")
    assert health.health(NOW)[model].out == "auth"
    assert health.admit(model, "mine", DUE) == Granted(is_probe=True)
    made(health, answered(model), DUE, name="mine")
    eventually(lambda: health.write(DUE) is None)
    other.write(DUE)
    assert other.health(DUE)[model].out == "auth"
    assert other.health(DUE)[model].breaker.probed == 1


def server_pid(connection: Connection) -> int:
    """The process of its embedded server."""
    server = connection.link().server
    assert server is not None
    return server.facts.pid


def test_without_a_store_a_process_decides_for_itself(worker: Sharing, model: str) -> None:
    health = worker(at=connect("memory"))
    for number in range(3):
        trip(health, NOW + 1000 * number, model=model, name=f"{number}")
        assert health.write(NOW + 1000 * number) is None
    assert health.admit(model, "mine", DUE + 9000) == Granted(is_probe=True)
    assert isinstance(health.admit(model, "another", DUE + 9000), Refused)
    made(health, failed(FailureKind.AUTH, model), DUE + 9000, name="mine")
    health.readmit(model, DUE + 9000)
    assert health.health(DUE + 9000)[model].out is None


async def test_without_a_store_async_steps_decide_too(worker: Sharing, model: str) -> None:
    health = worker(at=connect("memory"))
    trip(health, model=model)
    assert await health.aadmit(model, "mine", DUE) == Granted(is_probe=True)


def test_without_the_deployments_secret_a_process_is_alone(connection: Connection) -> None:
    def no_keys() -> Keys:
        raise ConfigError("a key for ids is needed")

    health = SharedHealth(connection, no_keys, {"small": "settings"})
    trip(health)
    assert health.write(NOW) is None
    assert state(health, "small") is State.OPEN


def test_whom_the_store_is_away_for_cannot_readmit_for_all(worker: Sharing, model: str) -> None:
    with closing(connect("unix:///nowhere/at/all")) as away:
        health = worker(at=away)
        made(health, failed(FailureKind.AUTH, model), name="a")
        with pytest.raises(StoreError, match="is not admitted again everywhere"):
            health.readmit(model, NOW)
        assert health.health(NOW)[model].out is None


def test_a_forked_child_begins_without_its_parents_calls(worker: Sharing, model: str) -> None:
    health = worker()
    health.began(model, "a", NOW)
    health.boards[os.getpid() + 1] = health.boards.pop(os.getpid())
    assert health.health(NOW)[model].in_flight == 0


def test_a_proposal_names_its_script_in_full_so_that_a_flushed_server_knows_it(worker: Sharing, model: str) -> None:
    health = worker()
    trip(health, model=model)
    [proposal] = health.board.proposals(NOW)
    health.connection.call(lambda client: client.script_flush())
    assert propose_one(health.connection, command(health.key(model), proposal)) is True
