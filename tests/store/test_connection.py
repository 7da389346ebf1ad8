"""A connection answers or says what is missing; it never raises and never waits past its deadline."""

from __future__ import annotations

import asyncio
import gc
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from store_processes import Eventually, servers_in

from steprouter.store import Connection, Missing, connect
from steprouter.store.embedded import EmbeddedServer

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def ping(connection: Connection) -> bool | Missing:
    return bool_or_missing(connection.call(lambda client: client.ping()))


async def aping(connection: Connection) -> bool | Missing:
    async def use(client: redis.asyncio.Redis) -> object:
        return await client.execute_command("PING")  # type: ignore[no-untyped-call] # redis-py leaves it open

    return bool_or_missing(await connection.acall(use))


def bool_or_missing(said: object) -> bool | Missing:
    return said if isinstance(said, Missing) else said in (True, b"PONG")


def pid_of(connection: Connection) -> int:
    server = connection.link().server
    assert server is not None
    return server.facts.pid


BUSY_SECONDS = 3.0
"""A bound that a busy machine keeps and a client without our deadlines does not: one call of redis-py's defaults
on a server that hangs takes a minute, a thousand calls at the deadline each 50 s."""


def seconds_of(connection: Connection, times: int = 1) -> float:
    began_at = time.monotonic()
    for _ in range(times):
        ping(connection)
    return time.monotonic() - began_at


@pytest.fixture
def trickling() -> Iterator[str]:
    """The URL of a server that accepts a command and answers a byte every 30 ms."""
    listening = socket.create_server(("127.0.0.1", 0))

    def trickle(line: socket.socket) -> None:
        with line:
            line.recv(4096)
            for _ in range(60):
                try:
                    line.sendall(b"$")
                except OSError:
                    return
                time.sleep(0.03)

    def serve() -> None:
        while True:
            try:
                line, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=trickle, args=(line,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield f"redis://127.0.0.1:{listening.getsockname()[1]}"
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()


def test_a_healthy_store_answers_sync_and_async_and_says_what_it_is(
    own: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "steprouter.store")
    assert own.facts is None
    assert ping(own) is True
    assert asyncio.run(aping(own)) is True
    assert own.degraded is None
    assert own.facts is not None
    assert own.facts.has_search is True
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "with search, embedded in" in caplog.text
    assert "licence: server RSALv2" in caplog.text


def test_a_given_server_says_its_version_and_search(server: EmbeddedServer) -> None:
    connection = connect(server.url)
    ping(connection)
    facts = connection.facts
    assert facts is not None
    assert (facts.place, facts.family, facts.version, facts.has_search) == ("server", "redis", "8.2.3", True)
    connection.close()


def test_an_error_of_one_command_is_missing_and_leaves_the_store_in_use(own: Connection) -> None:
    own.call(lambda client: client.set("word", "x"))
    said = own.call(lambda client: client.lpush("word", "y"))
    assert isinstance(said, Missing)
    assert "WRONGTYPE" in said.reason
    assert (ping(own), own.degraded) == (True, None)


def test_a_mistake_of_the_caller_is_not_hidden(own: Connection) -> None:
    with pytest.raises(ZeroDivisionError):
        own.call(lambda client: 1 // 0)
    assert ping(own) is True


def test_an_unreachable_url_costs_its_deadline_once_and_then_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening:  # accepts and never answers
        connection = connect(f"redis://u:sesame@127.0.0.1:{listening.getsockname()[1]}")
        connection.link()  # loads the client library
        first = seconds_of(connection)
        assert first < BUSY_SECONDS
        assert seconds_of(connection, 1000) < BUSY_SECONDS
        assert isinstance(connection.open(wait_seconds=5.0), Missing)
    assert (connection.degraded or "").startswith("store degraded: ")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "sesame" not in caplog.text + repr(connection) + str(connection.degraded)
    connection.close()


def test_a_name_that_cannot_be_resolved_is_a_named_degradation() -> None:
    connection = connect("redis://nowhere.invalid:6379")
    connection.open(wait_seconds=10.0)
    said = ping(connection)
    assert isinstance(said, Missing)
    assert said.reason.startswith("store degraded: ")
    connection.close()


def test_a_trickling_server_costs_the_deadline_and_not_a_multiple_of_it(trickling: str) -> None:
    connection = connect(trickling)
    connection.link()
    assert seconds_of(connection) < BUSY_SECONDS
    assert isinstance(connection.open(wait_seconds=1.0), Missing)
    connection.close()


def test_a_stopped_server_is_bypassed_and_used_again_when_it_goes_on(own: Connection, eventually: Eventually) -> None:
    ping(own)
    os.kill(pid_of(own), signal.SIGSTOP)
    try:
        assert seconds_of(own) < BUSY_SECONDS
        assert seconds_of(own, 1000) < BUSY_SECONDS
        assert own.degraded == "store degraded: Timeout reading from socket"
    finally:
        os.kill(pid_of(own), signal.SIGCONT)
    eventually(lambda: own.degraded is None, seconds=5.0)
    assert ping(own) is True


def test_threads_in_flight_pay_the_deadline_once_each(own: Connection) -> None:
    ping(own)
    costs: list[float] = []
    threads = [threading.Thread(target=lambda: costs.append(seconds_of(own, 3))) for _ in range(8)]
    os.kill(pid_of(own), signal.SIGSTOP)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        os.kill(pid_of(own), signal.SIGCONT)
    assert max(costs) < BUSY_SECONDS


async def test_a_stopped_server_holds_up_no_event_loop(own: Connection, eventually: Eventually) -> None:
    assert await aping(own) is True
    os.kill(pid_of(own), signal.SIGSTOP)
    try:
        began_at = time.monotonic()
        assert [isinstance(said, Missing) for said in await asyncio.gather(*(aping(own) for _ in range(5)))] == [
            True
        ] * 5
        assert time.monotonic() - began_at < BUSY_SECONDS
    finally:
        os.kill(pid_of(own), signal.SIGCONT)
    eventually(lambda: own.degraded is None, seconds=5.0)
    assert await aping(own) is True
    await own.aclose()


async def test_an_event_loop_that_was_held_up_does_not_blame_the_store(own: Connection) -> None:
    await aping(own)

    async def use(client: redis.asyncio.Redis) -> object:
        time.sleep(0.2)  # another task that computes
        return await client.execute_command("PING")  # type: ignore[no-untyped-call] # redis-py leaves it open

    said = await own.acall(use)
    assert isinstance(said, Missing)
    assert "event loop was held up" in said.reason
    assert own.degraded is None
    assert await aping(own) is True
    await own.aclose()


async def test_a_cancelled_call_leaves_no_answer_for_the_next(own: Connection) -> None:
    await aping(own)

    async def slow(client: redis.asyncio.Redis) -> object:
        return await client.execute_command("EVAL", "for i = 1, 2e6 do end return 'late'", 0)  # type: ignore[no-untyped-call] # redis-py leaves it open

    call = asyncio.create_task(own.acall(slow, deadline_seconds=5.0))
    await asyncio.sleep(0.005)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await own.acall(lambda client: client.execute_command("ECHO", "mine")) == b"mine"  # type: ignore[no-untyped-call] # redis-py leaves it open
    await own.aclose()


def test_event_loops_one_after_another_and_at_once_each_have_their_client(own: Connection) -> None:
    async def several() -> list[bool | Missing]:
        return [await aping(own) for _ in range(3)]

    answers: list[list[bool | Missing]] = []
    threads = [threading.Thread(target=lambda: answers.append(asyncio.run(several()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [*answers, asyncio.run(several())] == [[True] * 3] * 5
    clients = own.link().clients
    assert clients is not None
    assert all(loop.is_closed() for loop in clients.by_loop)


def test_a_killed_server_is_restarted_with_its_data(own: Connection, eventually: Eventually) -> None:
    own.call(lambda client: client.set("word", "kept"))
    killed = pid_of(own)
    os.kill(killed, signal.SIGKILL)
    assert isinstance(ping(own), Missing)
    eventually(lambda: own.degraded is None)
    assert pid_of(own) != killed
    assert own.call(lambda client: client.get("word")) == b"kept"


def test_a_forked_child_goes_on_even_while_its_parent_is_degraded(own: Connection) -> None:
    ping(own)
    own.link().health.fall("as if", began_at=time.monotonic())
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=lambda: answers.put(ping(own)))
    child.start()
    assert answers.get(timeout=10.0) is True
    child.join()


def test_closing_lets_the_server_go_and_the_next_use_opens_it_anew(
    own: Connection, data_dir: Path, eventually: Eventually
) -> None:
    assert ping(own) is True
    own.close()
    eventually(lambda: not servers_in(data_dir))
    assert ping(own) is True


def test_without_any_server_the_store_is_memory_and_says_why_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if "site-packages" not in entry])
    connection = connect("embedded", data_dir=tmp_path / "data", environment={})
    said = [ping(connection) for _ in range(3)]  # the second and third must add no line to the log
    assert isinstance(said[0], Missing)
    assert "no redis-server or valkey-server" in said[0].reason
    assert connection.facts is not None
    assert connection.facts.place == "memory"
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_directory_that_cannot_be_written_makes_the_store_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    connection = connect("embedded", data_dir=tmp_path / "file", environment={})
    said = ping(connection)
    assert isinstance(said, Missing)
    assert "cannot use its directory" in said.reason


def test_chosen_memory_is_no_degradation(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "steprouter.store")
    connection = connect("memory")
    assert ping(connection) == Missing(reason="the store is memory, as asked for", degraded=False)
    assert connection.degraded is None
    assert [record.levelname for record in caplog.records] == ["INFO"]


def probes() -> int:
    return sum(thread.name == "steprouter-probe" for thread in threading.enumerate())


def test_a_thread_probes_while_the_store_is_away_and_at_no_other_time(own: Connection, eventually: Eventually) -> None:
    eventually(lambda: probes() == 0)
    assert (ping(own), probes()) == (True, 0)
    lost = connect("redis://127.0.0.1:1")
    assert (isinstance(ping(lost), Missing), probes()) == (True, 1)
    lost.close()
    eventually(lambda: probes() == 0)


def test_the_probing_ends_with_a_connection_that_nobody_closed(eventually: Eventually) -> None:
    eventually(lambda: probes() == 0)
    lost = connect("redis://127.0.0.1:1")
    ping(lost)
    del lost
    gc.collect()
    eventually(lambda: probes() == 0)


def test_a_server_behind_a_password_is_reached_and_a_wrong_one_is_not_told(
    own: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    own.call(lambda client: client.config_set("requirepass", "right-sesame"))
    server = own.link().server
    assert server is not None
    right = connect(server.url.replace("unix://", "unix://:right-sesame@"))
    wrong = connect(server.url.replace("unix://", "unix://:wrong-sesame@"))
    assert (ping(right), isinstance(ping(wrong), Missing)) == (True, True)
    assert "invalid username-password pair" in str(wrong.degraded)
    assert "sesame" not in caplog.text + str(wrong.degraded) + repr(right)
    right.close()
    wrong.close()
