"""A server that a test may break in any way, a wire that breaks, and the ways in which they do."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from steprouter.store.embedded.find import ServerProgram


class BreakableServer:
    """A server of the test's own on a unix socket.

    Args:
        program: What to start.
        folder: Where socket and data lie; short.
        search: Whether the search module is loaded.
    """

    def __init__(self, program: ServerProgram, folder: Path, *, search: bool = True) -> None:
        self.program = program
        self.data = folder / "data"
        self.socket = folder / "s"
        self.modules = program.modules if search else ()
        self.process: subprocess.Popen[bytes] | None = None
        self.client = redis.Redis(
            unix_socket_path=str(self.socket), socket_timeout=5.0, protocol=3, retry=Retry(NoBackoff(), 0)
        )

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self, *settings: str) -> None:
        """Starts it on what data there is, and does not wait."""
        self.data.mkdir(exist_ok=True)
        words = [self.program.program, "--port", "0", "--unixsocket", str(self.socket), "--dir", str(self.data)]
        words += ["--appendonly", "yes", "--save", "", "--enable-debug-command", "yes", *settings]
        for module in self.modules:
            words += ["--loadmodule", module]
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def wait(self, seconds: float = 20.0) -> float:
        """Waits for the first PONG; when it came, monotonic."""
        ends_at = time.monotonic() + seconds
        while True:
            with suppress(redis.RedisError):
                if self.client.ping():
                    return time.monotonic()
            assert time.monotonic() < ends_at, "the server does not answer"
            time.sleep(0.005)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        """Ends it at once, if it runs."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        self.client.connection_pool.disconnect()

    def empty(self) -> None:
        """Removes its data."""
        shutil.rmtree(self.data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way to break a store.

    Attributes:
        name: For the test's report.
        harm: Breaks it.
        heal: Makes it whole again.
        told: Whether a trace must say so meanwhile.
        kept: How many of three rounds (before, during, after) must be in the store at the end.
        search: Whether the server has search.
    """

    name: str
    harm: Callable[[BreakableServer], object] = lambda server: None
    heal: Callable[[BreakableServer], object] = lambda server: None
    told: bool = True
    kept: int = 3
    search: bool = True


def load_slowly(server: BreakableServer) -> None:
    """Starts anew and takes a while over the data; answers LOADING meanwhile."""
    server.client.eval("for i = 1, 3000 do redis.call('SET', 'filler:' .. i, string.rep('x', 2000)) end", 0)
    server.client.bgrewriteaof()  # it answers while it loads the result, and not while it loads commands
    while server.client.info("persistence")["aof_rewrite_in_progress"]:
        time.sleep(0.01)
    server.kill()
    server.start("--key-load-delay", "300", "--loading-process-events-interval-bytes", "1024")
    ends_at = time.monotonic() + 20.0
    while time.monotonic() < ends_at:
        try:
            server.client.ping()
        except redis.exceptions.BusyLoadingError:
            return
        except redis.ConnectionError:
            time.sleep(0.002)
    raise AssertionError("the server was never seen loading")


def start_empty(server: BreakableServer) -> None:
    server.empty()
    server.start()


def lock_out(server: BreakableServer) -> None:
    """Wants a password that the router does not have."""
    server.client.config_set("requirepass", "another")
    server.client.execute_command("AUTH", "another")
    server.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def in_background(server: BreakableServer, *words: object) -> None:
    """Sends a command that answers late, and waits until it has begun."""

    def send() -> None:
        with suppress(redis.RedisError), redis.Redis(unix_socket_path=str(server.socket), socket_timeout=30) as client:
            client.execute_command(*words)

    threading.Thread(target=send, daemon=True).start()
    time.sleep(0.1)  # nothing can be asked of a server that is busy


def run_endless_script(server: BreakableServer) -> None:
    server.client.config_set("busy-reply-threshold", 1)
    in_background(server, "EVAL", "while true do end", 0)


def end_script(server: BreakableServer) -> None:
    server.client.execute_command("SCRIPT", "KILL")


def memory_keys(server: BreakableServer) -> list[bytes]:
    """All keys but those of traces and other tests."""
    return [key for key in server.client.scan_iter("sr:*") if server.client.type(key) in (b"hash", b"zset")]


def confuse_types(server: BreakableServer) -> None:
    for key in memory_keys(server):
        server.client.set(key, "not what it should be")


def clear_confusion(server: BreakableServer) -> None:
    for key in server.client.scan_iter("sr:*"):
        if server.client.type(key) == b"string":
            server.client.delete(key)


def set_version(server: BreakableServer, version: int) -> None:
    for key in memory_keys(server):
        if server.client.type(key) == b"hash" and server.client.hexists(key, "v"):
            server.client.hset(key, "v", version)


FAULTS = (
    Fault(name="killed", harm=BreakableServer.kill, heal=BreakableServer.start),
    Fault(
        name="stopped",
        harm=lambda server: server.signal(signal.SIGSTOP),
        heal=lambda server: server.signal(signal.SIGCONT),
    ),
    Fault(name="flushed", harm=lambda server: server.client.flushall(), told=False, kept=2),
    Fault(name="restarted_empty", harm=BreakableServer.kill, heal=start_empty, kept=2),
    Fault(
        name="out_of_memory",
        harm=lambda server: server.client.config_set("maxmemory", 1),
        heal=lambda server: server.client.config_set("maxmemory", 0),
    ),
    Fault(name="without_search", told=False, search=False),
    Fault(name="loading", harm=load_slowly),
    Fault(
        name="read_only",
        harm=lambda server: server.client.replicaof("127.0.0.1", "1"),
        heal=lambda server: server.client.replicaof("NO", "ONE"),
    ),
    Fault(name="locked_out", harm=lock_out, heal=lambda server: server.client.config_set("requirepass", "")),
    Fault(name="slow", harm=lambda server: in_background(server, "DEBUG", "SLEEP", "1.5")),
    Fault(name="busy", harm=run_endless_script, heal=end_script),
    Fault(name="of_wrong_types", harm=confuse_types, heal=clear_confusion, kept=1),
    Fault(
        name="of_newer_schema",
        harm=lambda server: set_version(server, 99),
        heal=lambda server: set_version(server, 1),
        kept=2,
    ),
)


@dataclass(slots=True)
class Wire:
    """A loopback between client and server that counts, and breaks as told.

    Attributes:
        here: The socket it listens at.
        there: The server's.
        pass_on: How many bytes of replies still go through before every connection is cut; None for all.
        asked: How often a client has sent something.
        accepted: How many connections there were.
    """

    here: Path
    there: Path
    pass_on: int | None = None
    asked: int = 0
    accepted: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"unix://{self.here}"

    def serve(self, listening: socket.socket) -> None:
        """Takes connections until the listening socket is closed."""
        with suppress(OSError):
            while True:
                client, _ = listening.accept()
                self.accepted += 1
                server = socket.socket(socket.AF_UNIX)
                try:
                    server.connect(str(self.there))
                except OSError:
                    close(client, server)
                    continue
                for work in (self.forward, self.back):
                    threading.Thread(target=work, args=(client, server), daemon=True).start()

    def forward(self, client: socket.socket, server: socket.socket) -> None:
        """Passes on what the client asks."""
        with suppress(OSError):
            while data := client.recv(1 << 20):
                self.asked += 1
                server.sendall(data)
        close(client, server)

    def back(self, client: socket.socket, server: socket.socket) -> None:
        """Passes on what the server answers, as far as it may."""
        with suppress(OSError):
            while data := server.recv(1 << 20):
                with self.lock:
                    allowed = len(data) if self.pass_on is None else min(len(data), self.pass_on)
                    if self.pass_on is not None:
                        self.pass_on -= allowed
                client.sendall(data[:allowed])
                if allowed < len(data):
                    break
        close(client, server)


def close(*sockets: socket.socket) -> None:
    """Ends connections for both sides."""
    for one in sockets:
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()


@contextmanager
def wire_to(there: Path, here: Path) -> Iterator[Wire]:
    """A wire to the server's socket."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(here))
        listening.listen(64)
        wire = Wire(here=here, there=there)
        thread = threading.Thread(target=wire.serve, args=(listening,), daemon=True)
        thread.start()
        yield wire
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        thread.join(5.0)
