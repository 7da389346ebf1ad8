"""A real Redis server shared by all processes of a user that name the same data directory."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from steprouter.errors import StoreError

from . import supervisor
from .find import NO_SERVER, ServerProgram, find
from .places import Places, make_private, places
from .supervisor import ServerSaid, ask, lock, unlock

log = logging.getLogger("steprouter.store")

GRACE_SECONDS = 10.0
"""Long enough that a script run again and again finds its server warm, short enough to be gone after work."""

MAXMEMORY = "512mb"
"""Room for 100 000 vectors of 384 float32 in a FLAT index (400 MB measured) and the rest."""

START_SECONDS = 20.0
"""A file with 10 000 HNSW vectors took 16 s to load; more than that is waited for in the background."""

ANSWER_SECONDS = 1.0
"""A sound server answers a PING on its socket in microseconds; one that needs a second is hung."""


class NotReady(StoreError):
    """A server is there or on its way, but does not answer yet; another attempt may succeed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """What is known of a running embedded server.

    Attributes:
        pid: Its process.
        socket: Where it listens.
        data: Its directory.
        family: `"redis"` or `"valkey"`.
        version: As it says itself.
        has_search: Whether it answers the `FT.` commands.
        origin: Where its program comes from.
        licence: The published licences of server and modules.
    """

    pid: int
    socket: str
    data: str
    family: str
    version: str
    has_search: bool
    origin: str
    licence: str


class EmbeddedServer:
    """One user's hold on the shared server; the last one to let go stops it after the grace period.

    The hold ends with `release()`, with this object, or with the process, however that ends. A forked child
    inherits it.
    """

    def __init__(self, facts: ServerFacts, lease: int) -> None:
        self.facts = facts
        # Closing is enough and unlocking would be wrong: a forked child shares the lock and may go on.
        self.release_once = weakref.finalize(self, os.close, lease)

    def __repr__(self) -> str:
        return f"EmbeddedServer({self.facts!r})"

    @property
    def url(self) -> str:
        """What a Redis client takes, `unix://…`."""
        return "unix://" + quote(self.facts.socket)

    @property
    def family(self) -> str:
        """`"redis"` or `"valkey"`."""
        return self.facts.family

    @property
    def has_search(self) -> bool:
        """Whether the server answers the `FT.` commands."""
        return self.facts.has_search

    @property
    def origin(self) -> str:
        """Where the server's program comes from."""
        return self.facts.origin

    @property
    def licence(self) -> str:
        """The published licences of the server and its modules."""
        return self.facts.licence

    def release(self) -> None:
        """Lets go of the server; safe to call again."""
        self.release_once()


def acquire(
    data_dir: str | os.PathLike[str] | None = None,
    *,
    grace_seconds: float = GRACE_SECONDS,
    maxmemory: str = MAXMEMORY,
    wait_seconds: float = START_SECONDS,
) -> EmbeddedServer:
    """Joins the server of the data directory, or starts it; works from any thread and after a fork.

    Joining an existing server keeps the `grace_seconds` and `maxmemory` it was started with.

    Args:
        data_dir: Where the data is kept; default `$STEPROUTER_DATA`, else the XDG data home.
        grace_seconds: How long the server outlives its last user.
        maxmemory: As Redis takes it, with the index counted; beyond it keys with a TTL are evicted.
        wait_seconds: How long a server may load its data before this gives up (it goes on loading).

    Raises:
        NotReady: There is one, but it does not answer in time.
        StoreError: There is no server to be had; the message says why.
    """
    deadline = time.monotonic() + wait_seconds
    try:
        where = places(data_dir)
        with starting(where, deadline):
            lease = take_lease(where)
            try:
                facts = join(where, deadline) or start(where, grace_seconds, maxmemory, deadline)
            except BaseException:
                os.close(lease)
                raise
    except OSError as error:
        raise StoreError(f"the embedded server cannot use its directory: {error}") from error
    return EmbeddedServer(facts, lease)


@contextmanager
def starting(where: Places, deadline: float) -> Iterator[None]:
    """Keeps other processes from starting or stopping the server meanwhile."""
    held = lock(where.lock("start.lock"), seconds=deadline - time.monotonic())
    if held is None:
        raise NotReady("another process is still starting the embedded server")
    try:
        yield
    finally:
        unlock(held)


def take_lease(where: Places) -> int:
    """A descriptor that says somebody uses the server."""
    lease = os.open(where.lock("lease"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lease, fcntl.LOCK_SH)  # waits at most for the supervisor's probe, microseconds
    return lease


def join(where: Places, deadline: float) -> ServerFacts | None:
    """The running server's facts once it is ready, or `None` if there is none.

    Raises:
        StoreError: Something runs, but it is not a sound server of ours.
    """
    facts = read_facts(where)
    if facts is None or not wait_for_pong(facts.socket, deadline):
        return None
    try:
        info = ask(facts.socket, "INFO", "server", timeout_seconds=ANSWER_SECONDS)
    except ConnectionError:
        return None  # it was just dying
    if f"process_id:{facts.pid}\r" not in str(info):
        raise StoreError(f"a server that steprouter did not start listens on {facts.socket!r}; stop it")
    refuse_strangers(Path(facts.data), facts.pid)
    if is_orphan(where):
        stop_orphan(where, facts)
        return None
    return facts


def read_facts(where: Places) -> ServerFacts | None:
    """What the supervisor left about the server it started last."""
    try:
        return ServerFacts(**json.loads((where.locks / "server.json").read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def wait_for_pong(socket: str, deadline: float) -> bool:
    """Whether a server is ready on the socket; waits while it loads.

    Raises:
        NotReady: It does not answer, or not before the deadline.
        StoreError: It answers something else.
    """
    while True:
        try:
            if ask(socket, "PING", timeout_seconds=ANSWER_SECONDS) == "PONG":
                return True
        except (ConnectionError, FileNotFoundError):
            return False
        except TimeoutError:
            raise NotReady(f"the embedded server at {socket!r} hangs: no answer in {ANSWER_SECONDS:g} s") from None
        except ServerSaid as error:
            if not str(error).startswith("LOADING"):
                raise StoreError(f"the embedded server at {socket!r} answered {error}") from None
        if time.monotonic() > deadline:
            raise NotReady("the embedded server is still loading its data")
        time.sleep(0.01)


def is_orphan(where: Places) -> bool:
    """Whether the running server has lost its supervisor (possible only where the kernel cannot tie them)."""
    watched = lock(where.lock("watched"))
    if watched is None:
        return False
    unlock(watched)
    return True


def stop_orphan(where: Places, facts: ServerFacts) -> None:
    """Ends a server that nobody watches and waits until it has given up its directory."""
    log.warning("the embedded server (process %d) had lost its supervisor; it is started anew", facts.pid)
    with suppress(OSError, ServerSaid):  # a server that shuts down closes the connection without an answer
        ask(facts.socket, "SHUTDOWN", timeout_seconds=supervisor.STOP_SECONDS)
    running = lock(where.lock("running"), seconds=supervisor.STOP_SECONDS)
    if running is None:
        raise StoreError(f"the embedded server (process {facts.pid}) does not stop; end it")
    unlock(running)


def refuse_strangers(folder: Path, ours: int | None) -> None:
    """Refuses a directory in which a server of somebody else works: both would write one file.

    Redis takes no lock on its directory but works in it, which Linux shows; elsewhere nothing is seen.

    Raises:
        StoreError: There is one.
    """
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            is_inside = (entry / "cwd").readlink() == folder and int(entry.name) != ours
            name = (entry / "comm").read_text() if is_inside else ""
            parent = (entry / "stat").read_text().rpartition(")")[2].split()[1] if name else ""
        except OSError:
            continue  # it ended meanwhile, or is not ours to look at
        if name.startswith(("redis", "valkey", "keydb")) and parent != str(ours):  # not our server's own child
            raise StoreError(
                f"only our server may work in {str(folder)!r}, process {entry.name} ({name.strip()}) does; "
                "stop it or set STEPROUTER_DATA to another directory"
            )


def start(where: Places, grace_seconds: float, maxmemory: str, deadline: float) -> ServerFacts:
    """Starts server and supervisor and waits until the server is ready.

    Raises:
        StoreError: It did not start.
    """
    program = find(where.data)
    if program is None:
        raise StoreError(NO_SERVER)
    folder = where.family(program.family)
    folder.mkdir(mode=0o700, exist_ok=True)
    make_private(where.socket.parent)
    wait_for_directory(where)
    refuse_strangers(folder, None)
    facts: dict[str, object] = {
        "data": str(folder),
        "family": program.family,
        "version": program.version,
        "has_search": program.has_search,
        "origin": program.origin,
        "licence": program.licence,
    }
    plan = {
        "command": command(program, where.socket, folder, maxmemory),
        "socket": str(where.socket),
        "data": str(folder),
        "locks": str(where.locks),
        "grace_seconds": grace_seconds,
        "facts": facts,
    }
    said = launch(json.dumps(plan), deadline)
    if "pid" not in said:
        raise StoreError(str(said.get("reason", "the embedded server's supervisor ended without a word")))
    if said.get("moved_aside"):
        log.warning("the store's file was damaged; it is kept as %r and the store starts empty", said["moved_aside"])
    found = read_facts(where)
    if found is None:
        raise StoreError("the embedded server ended right after its start")
    return found


def wait_for_directory(where: Places) -> None:
    """Waits until a server that was just killed is gone.

    Raises:
        StoreError: A server of ours lives on, in a place that cannot be reached from here.
    """
    running = lock(where.lock("running"), seconds=supervisor.DIRECTORY_SECONDS)
    if running is None:
        raise StoreError(
            f"only one server may use {str(where.data)!r}, one that cannot be reached from here does "
            "(in another container?); stop it or set STEPROUTER_DATA to another directory"
        )
    unlock(running)


def command(program: ServerProgram, socket: Path, folder: Path, maxmemory: str) -> list[str]:
    """The server's command line.

    `everysec` lost nothing of 16 473 acknowledged writes when the process was killed, at a fifteenth of the
    cost of `always`; `volatile-lru` evicts the caches, which have a TTL, and keeps state, which has none.
    """
    settings = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory": maxmemory,
        "maxmemory-policy": "volatile-lru",
    }
    words = [word for name, value in settings.items() for word in (f"--{name}", value)]
    modules = [word for module in program.modules for word in ("--loadmodule", module)]
    return [program.program, *words, *modules]


def launch(plan: str, deadline: float) -> dict[str, object]:
    """Starts the supervisor in a session of its own and gives its report.

    By file name, not with `-m`: that would import the package and with it half a second of libraries, and
    would need our import path.

    Raises:
        NotReady: The server is still loading at the deadline.
    """
    words = [sys.executable, "-I", "-S", supervisor.__file__, "run", plan]
    with subprocess.Popen(  # noqa: S603 - our own file
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            heard, _ = process.communicate(timeout=max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            raise NotReady("the embedded server is still loading its data") from None
    return dict(json.loads(heard or b"{}"))
