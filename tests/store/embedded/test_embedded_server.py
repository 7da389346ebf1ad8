"""The shared server: one per directory, for all who need it, and not a moment longer."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from store_processes import Eventually, User, is_answering, servers_in, supervisor_of

from steprouter.errors import StoreError
from steprouter.store.embedded import EmbeddedServer, acquire
from steprouter.store.embedded.find import find
from steprouter.store.embedded.places import places
from steprouter.store.embedded.supervisor import ask, is_ready


def write(server: EmbeddedServer, key: str) -> None:
    assert ask(server.facts.socket, "SET", key, "kept") == "OK"


def test_many_processes_started_at_once_share_one_server(data_dir: Path) -> None:
    users = [User(data_dir) for _ in range(5)]
    pids = {user.server_pid() for user in users}
    assert len(pids) == 1
    assert servers_in(data_dir) == list(pids)
    for user in users:
        user.end()


def test_the_last_user_out_stops_the_server_and_its_supervisor(data_dir: Path, eventually: Eventually) -> None:
    first, second = acquire(data_dir, grace_seconds=0.0), acquire(data_dir)
    supervisor = supervisor_of(first.facts.pid)
    first.release()
    assert is_answering(data_dir)
    second.release()
    eventually(lambda: not servers_in(data_dir) and not Path(f"/proc/{supervisor}/cwd").exists())
    assert not places(data_dir).socket.parent.exists()


def test_within_the_grace_period_the_next_user_finds_the_same_server(data_dir: Path, eventually: Eventually) -> None:
    first = acquire(data_dir, grace_seconds=5.0)
    first.release()
    second = acquire(data_dir)
    assert second.facts == first.facts
    os.kill(supervisor_of(first.facts.pid), signal.SIGTERM)
    eventually(lambda: not servers_in(data_dir))
    second.release()


def test_what_was_written_is_there_after_a_stop_and_a_start(data_dir: Path, eventually: Eventually) -> None:
    first = acquire(data_dir, grace_seconds=0.0)
    write(first, "word")
    first.release()
    eventually(lambda: not servers_in(data_dir))
    second = acquire(data_dir, grace_seconds=0.0)
    assert ask(second.facts.socket, "GET", "word") == "kept"
    second.release()


def test_killed_users_leave_no_server_behind(data_dir: Path, eventually: Eventually) -> None:
    users = [User(data_dir) for _ in range(2)]
    assert users[0].server_pid() == users[1].server_pid()
    for user in users:
        user.kill()
    eventually(lambda: not servers_in(data_dir))


def test_a_killed_supervisor_takes_the_server_along_and_the_next_user_starts_one(
    data_dir: Path, eventually: Eventually
) -> None:
    first = acquire(data_dir, grace_seconds=0.0)
    write(first, "word")
    os.kill(supervisor_of(first.facts.pid), signal.SIGKILL)
    eventually(lambda: not servers_in(data_dir))  # it may answer once more while the kernel takes it along
    second = acquire(data_dir, grace_seconds=0.0)
    assert second.facts.pid != first.facts.pid
    assert servers_in(data_dir) == [second.facts.pid]
    assert ask(second.facts.socket, "GET", "word") == "kept"
    first.release()
    second.release()
    eventually(lambda: not servers_in(data_dir))


def test_a_forked_child_keeps_the_server_after_its_parent_let_go(data_dir: Path, eventually: Eventually) -> None:
    held = acquire(data_dir, grace_seconds=0.0)
    go_on, told = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(go_on, 1)
        os._exit(0 if is_ready(held.facts.socket) else 1)
    held.release()
    with pytest.raises(AssertionError, match="did not come true"):
        eventually(lambda: not servers_in(data_dir), seconds=1.0)
    os.write(told, b".")
    assert os.waitpid(child, 0)[1] == 0
    eventually(lambda: not servers_in(data_dir))


def test_a_server_started_by_a_short_lived_thread_survives_it(data_dir: Path) -> None:
    held: list[EmbeddedServer] = []
    thread = threading.Thread(target=lambda: held.append(acquire(data_dir, grace_seconds=0.0)))
    thread.start()
    thread.join()
    again = acquire(data_dir)
    assert again.facts.pid == held[0].facts.pid
    assert is_ready(again.facts.socket)
    held[0].release()
    again.release()


def test_a_file_damaged_in_the_middle_is_moved_aside_and_said(
    data_dir: Path, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    first = acquire(data_dir, grace_seconds=0.0)
    for number in range(50):
        write(first, f"word-{number}")
    first.release()
    eventually(lambda: not servers_in(data_dir))
    file = next((data_dir / "redis" / "appendonlydir").glob("*.incr.aof"))
    sound = file.read_bytes()
    file.write_bytes(sound[:500] + b"#damage#" + sound[508:])
    second = acquire(data_dir, grace_seconds=0.0)
    assert ask(second.facts.socket, "DBSIZE") == 0
    assert [path.name for path in data_dir.glob("redis.broken-*/*")] == ["appendonlydir"]
    assert "damaged" in caplog.text
    second.release()


def test_data_written_with_search_is_not_moved_aside_by_a_server_without(
    data_dir: Path, eventually: Eventually
) -> None:
    first = acquire(data_dir, grace_seconds=0.0)
    ask(first.facts.socket, "FT.CREATE", "books", "SCHEMA", "title", "TEXT")
    first.release()
    eventually(lambda: not servers_in(data_dir))
    note = data_dir / "found.json"
    known = find(data_dir)
    assert known is not None
    note.write_text(note.read_text().replace('"modules": [', '"modules": [], "x": ['))
    note.write_text(note.read_text().replace('"modules": [], "x": ["' + known.modules[0], '"modules": ["/nowhere.so'))
    with pytest.raises(StoreError, match="ended while starting"):
        acquire(data_dir)
    assert not list(data_dir.glob("redis.broken-*"))


def test_a_server_of_somebody_else_on_the_directory_is_refused_by_name(data_dir: Path) -> None:
    program = find(data_dir)
    assert program is not None
    folder = data_dir / "redis"
    folder.mkdir()
    other = [program.program, "--port", "0", "--dir", str(folder), "--unixsocket", str(folder / "s")]
    with subprocess.Popen(other, stdout=subprocess.DEVNULL) as stranger:
        while not is_ready(str(folder / "s")):
            assert stranger.poll() is None
        with pytest.raises(StoreError, match=f"only our server may work in .* process {stranger.pid}"):
            acquire(data_dir)
        stranger.kill()


def test_a_server_that_lost_its_supervisor_is_replaced(data_dir: Path) -> None:
    first = acquire(data_dir, grace_seconds=0.0)
    places(data_dir)
    (data_dir / "embedded" / "watched").unlink()  # as if the lock were free
    second = acquire(data_dir, grace_seconds=0.0)
    assert second.facts.pid != first.facts.pid
    assert servers_in(data_dir) == [second.facts.pid]
    first.release()
    second.release()


def test_a_directory_in_which_nothing_can_be_written_is_a_named_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot use its directory"):
        acquire(tmp_path / "file" / "data")


def test_socket_and_directories_are_closed_to_other_users(server: EmbeddedServer) -> None:
    socket = Path(server.facts.socket)
    assert len(os.fsencode(socket)) <= 107
    assert (socket.stat().st_mode & 0o777, socket.parent.stat().st_mode & 0o777) == (0o700, 0o700)


def test_a_socket_directory_open_to_others_is_refused(data_dir: Path) -> None:
    folder = places(data_dir).socket.parent
    folder.mkdir()
    folder.chmod(0o755)
    with pytest.raises(StoreError, match="must be private"):
        acquire(data_dir)
    folder.rmdir()


def test_a_long_runtime_directory_gives_way_to_a_short_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 120)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    assert len(os.fsencode(places(tmp_path).socket)) <= 107
