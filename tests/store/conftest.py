"""One embedded server per test run for what only needs a server, and helpers to watch processes."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from store_processes import Eventually

from steprouter.store import Connection, connect
from steprouter.store.embedded import EmbeddedServer, acquire
from steprouter.store.embedded.find import find


@pytest.fixture(scope="session", autouse=True)
def runtime_dir() -> Iterator[None]:
    """A short directory for sockets: killed servers leave theirs."""
    with tempfile.TemporaryDirectory(prefix="sr-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", folder)
        yield


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, runtime_dir: None) -> Iterator[EmbeddedServer]:
    """A shared server for tests that do it no harm."""
    held = acquire(tmp_path_factory.mktemp("shared"), grace_seconds=0.0)
    yield held
    held.release()


@pytest.fixture
def data_dir(tmp_path: Path, server: EmbeddedServer) -> Path:
    """A data directory of the test's own, which already knows the server program."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "found.json").write_bytes((Path(server.facts.data).parent / "found.json").read_bytes())
    return data


@pytest.fixture
def own(data_dir: Path) -> Iterator[Connection]:
    """A connection to an embedded server of the test's own."""
    connection = connect("embedded", data_dir=data_dir, grace_seconds=0.0, open_seconds=20.0, environment={})
    yield connection
    connection.close()


@pytest.fixture
def plain(data_dir: Path, runtime_dir: None) -> Iterator[Connection]:
    """A server without the search module."""
    program = find(remember_in=data_dir)
    assert program is not None
    socket = Path(os.environ["XDG_RUNTIME_DIR"]) / "plain"  # short enough for a socket
    words = [program.program, "--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no"]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as running:
        while not socket.exists():
            assert running.poll() is None
        connection = connect(f"unix://{socket}", deadline_seconds=5.0)
        yield connection
        connection.close()
        running.terminate()
    socket.unlink(missing_ok=True)


@pytest.fixture
def eventually() -> Eventually:
    """Waits until a condition holds and fails if it does not within the seconds."""

    def wait(condition: Callable[[], bool], *, seconds: float = 10.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "the condition did not come true"
            time.sleep(0.01)

    return wait
