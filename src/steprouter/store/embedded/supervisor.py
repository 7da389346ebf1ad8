"""The embedded server's parent process: it ends the server when the last user has gone.

Runs on its own as `python -I -S supervisor.py PLAN` (or `python -m`), with the standard library only, so that
it starts in some 30 ms and keeps running whatever happens to the program that started it. PLAN is JSON:
see `Plan`. It answers one line of JSON on standard output (see `report`) and closes it.

The locks, all `flock`, which the kernel drops with the process that holds them:

- `start.lock`, exclusive: somebody starts or stops the server.
- `lease`, shared: one holder per user of the server. Who can lock it exclusively knows that there is none.
- `running`, exclusive: inherited by the server, so it is held exactly as long as a server of ours has the
  directory, also when this process was killed.
- `watched`, exclusive: held by this process alone. A running server that nobody watches is an orphan.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import BinaryIO

Reply = str | int | list["Reply"] | None

TICK_SECONDS = 0.2
"""How often the lease is probed: five wake-ups a second cost less than 0.1 % of a core."""

STOP_SECONDS = 10.0
"""How long a server may take to write its file before it is killed; Redis itself needs milliseconds."""

TRIAL_SECONDS = 5.0
"""The slowest cold start seen took 1.3 s; a server that needs more is not tried further."""

DIRECTORY_SECONDS = 3.0
"""A killed server gives up its directory within milliseconds; who holds it longer is alive."""

CORRUPT = re.compile(
    rb"Bad file format reading the append only file|Error reading the RDB preamble|RDB CRC error"
    rb"|Internal error in RDB|Wrong signature trying to load|Invalid AOF manifest"
    rb"|Unexpected end of file reading the append only file|Short read or OOM loading DB"
)
"""What Redis 7–8 and Valkey 8–9 log before they give up on a file that is damaged in the middle."""

FOREIGN_FORMAT = re.compile(
    rb"Unknown command .{0,80} reading the append only file|Can't handle RDB format version"
    rb"|The RDB file contains .{0,40}module|rdb file contains module data I can't load"
)
"""The same for a sound file that another kind of server wrote: never to be moved aside."""


class ServerSaid(Exception):
    """The server answered with an error; the text is its reply."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the supervisor is to do.

    Attributes:
        command: The server's program and arguments.
        socket: Where the server listens.
        data: The server's directory.
        locks: The directory of the lock files; also of `server.json` and `server.log`.
        grace_seconds: How long the server outlives its last user.
        facts: What the starter knows of the server; written to `server.json` for those who join.
    """

    command: list[str]
    socket: str
    data: str
    locks: str
    grace_seconds: float
    facts: dict[str, object]


def ask(path: str, *words: str, timeout_seconds: float = 1.0) -> Reply:
    """Sends one command to the server on the unix socket `path` and gives its reply.

    Raises:
        ServerSaid: The server answered with an error.
        OSError: It did not answer at all, or not in time.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(timeout_seconds)
        line.connect(path)
        encoded = [word.encode() for word in words]
        line.sendall(b"".join([b"*%d\r\n" % len(encoded), *(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)]))
        with line.makefile("rb") as stream:
            return parse(stream)


def parse(stream: BinaryIO) -> Reply:
    """Reads one RESP2 reply."""
    head = stream.readline()
    if not head.endswith(b"\r\n"):
        raise ConnectionError("the server closed the connection")
    mark, rest = head[:1], head[1:-2]
    if mark == b"-":
        raise ServerSaid(rest.decode(errors="replace"))
    if mark == b":":
        return int(rest)
    if mark == b"$":
        size = int(rest)
        return None if size < 0 else stream.read(size + 2)[:-2].decode(errors="replace")
    if mark == b"*":
        return [parse(stream) for _ in range(int(rest))]
    return rest.decode(errors="replace")


def told(path: str, *words: str) -> Reply:
    """The reply to a command, or `None` if it is an error or does not come."""
    try:
        return ask(path, *words)
    except (OSError, ServerSaid):
        return None


def is_ready(path: str) -> bool:
    """Whether the server answers PONG, as opposed to nothing or `LOADING`."""
    return told(path, "PING") == "PONG"


def lock(path: str, *, seconds: float = 0.0) -> int | None:
    """A descriptor that holds `path` exclusively, or `None` if it stays taken for `seconds`."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(descriptor)
                return None
        time.sleep(0.005)


def unlock(descriptor: int) -> None:
    """Gives up a lock of `lock`, also when a process forked meanwhile has inherited the descriptor."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def die_with_parent(parent: int) -> None:
    """Has the kernel kill this process when the *thread* that forked it ends (Linux; elsewhere nothing).

    That the thread counts, not the process, is why a server is never started by a thread of the user's
    program but by the main thread of this one.
    """
    if sys.platform != "linux":
        return
    set_death_signal = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>
    ctypes.CDLL(None).prctl(set_death_signal, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # it died before the call
        os._exit(1)


def spawn(command: list[str], *, log: int, keep: int | None = None) -> int:
    """Starts the server as a child that dies with this process and inherits `keep`; gives its process id."""
    parent = os.getpid()
    child = os.fork()
    if child:
        return child
    try:
        die_with_parent(parent)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        if keep is not None:
            os.set_inheritable(keep, True)
        os.execv(command[0], command)  # noqa: S606 - the program was chosen by find.py
    finally:
        os._exit(127)


def has_ended(child: int) -> bool:
    """Whether the child has ended; reaps it."""
    try:
        return os.waitpid(child, os.WNOHANG)[0] == child
    except ChildProcessError:
        return True


def stop(child: int) -> None:
    """Ends the server, in peace if it answers in time."""
    os.kill(child, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while not has_ended(child):
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)  # also ends a stopped process, which SIGTERM does not
            os.waitpid(child, 0)
            return
        time.sleep(0.005)


def report(**said: object) -> None:
    """Tells the starter how it went, in one line, and closes the line; the starter may be gone."""
    with suppress(OSError):
        os.write(1, json.dumps(said).encode() + b"\n")
    with open(os.devnull, "wb") as nothing:  # noqa: PTH123 - the descriptor is wanted
        os.dup2(nothing.fileno(), 1)


class Supervisor:
    """Starts one server and watches it until nobody needs it any more."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.locks = Path(plan.locks)
        self.is_told_to_stop = False
        self.moved_aside: str | None = None

    def run(self) -> None:
        """Starts, reports, watches, stops."""
        signal.signal(signal.SIGTERM, self.remember_to_stop)
        signal.signal(signal.SIGINT, self.remember_to_stop)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        running = lock(str(self.locks / "running"), seconds=DIRECTORY_SECONDS)
        watched = lock(str(self.locks / "watched"), seconds=DIRECTORY_SECONDS)
        if running is None or watched is None:
            report(reason=f"another server, which cannot be reached from here, has {self.plan.data!r}")
            return
        child = self.start(running)
        if child is not None:
            os.close(running)  # the server's copy holds the lock from here on
            self.watch(child)

    def remember_to_stop(self, signum: int, frame: FrameType | None) -> None:
        """Signal handler: the loop stops the server at its next turn."""
        self.is_told_to_stop = True

    def start(self, running: int) -> int | None:
        """The started server's process id, or `None` after the reason was reported."""
        log = os.open(self.locks / "server.log", os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        try:
            child = self.spawn_until_ready(log, running)
            if child is None and self.is_corrupt():
                self.move_aside()
                child = self.spawn_until_ready(log, running)
            if child is None:
                report(reason=f"the server ended while starting: {self.last_words()}")
            else:
                report(pid=child, moved_aside=self.moved_aside)
            return child
        except OSError as error:
            report(reason=f"the server could not be started: {error}")
            return None
        finally:
            os.close(log)

    def spawn_until_ready(self, log: int, running: int) -> int | None:
        """Starts the server and waits for PONG, however long it loads; `None` if it ended instead."""
        self.make_socket_folder()
        child = spawn(self.plan.command, log=log, keep=running)
        self.write_facts(child)  # before it is ready: who arrives meanwhile sees it load and waits
        while not is_ready(self.plan.socket):
            if self.is_told_to_stop:
                stop(child)
                return None
            if has_ended(child):
                return None
            time.sleep(0.005)
        return child

    def make_socket_folder(self) -> None:
        """Makes the socket's directory anew if a supervisor that was just ending has removed it.

        Raises:
            PermissionError: Somebody else was faster.
        """
        folder = Path(self.plan.socket).parent
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.lstat().st_uid != os.getuid():
            raise PermissionError(f"{str(folder)!r} belongs to somebody else")

    def is_corrupt(self) -> bool:
        """Whether the server ended because its file is damaged, by what it logged."""
        said = (self.locks / "server.log").read_bytes()
        return bool(CORRUPT.search(said)) and not FOREIGN_FORMAT.search(said)

    def move_aside(self) -> None:
        """Keeps the damaged directory under another name and makes an empty one."""
        aside = f"{self.plan.data}.broken-{time.time_ns()}"
        Path(self.plan.data).rename(aside)
        Path(self.plan.data).mkdir(mode=0o700)
        self.moved_aside = aside

    def last_words(self) -> str:
        """The last lines of the server's log."""
        lines = (self.locks / "server.log").read_text(errors="replace").strip().splitlines()
        return " / ".join(line.strip() for line in lines[-3:]) or "it said nothing"

    def write_facts(self, child: int) -> None:
        """Leaves what a joining process must know, complete or not at all."""
        note = self.locks / "server.json"
        fresh = self.locks / "server.json.new"
        fresh.write_text(json.dumps({**self.plan.facts, "pid": child, "socket": self.plan.socket}))
        fresh.replace(note)

    def watch(self, child: int) -> None:
        """Waits until the server has ended, is told to stop, or has had no user for the grace period."""
        lease = os.open(self.locks / "lease", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        unused_since: float | None = None
        while not has_ended(child):
            if self.is_told_to_stop or not self.is_reachable(lease):
                stop(child)
                self.clean_up()
                return
            if is_held(lease):
                unused_since = None
            elif unused_since is None:
                unused_since = time.monotonic()
            elif time.monotonic() - unused_since >= self.plan.grace_seconds and self.stop_unused(child, lease):
                return
            time.sleep(TICK_SECONDS)

    def is_reachable(self, lease: int) -> bool:
        """Whether newcomers still find the server: a cleaned temporary directory must not leave an orphan."""
        try:
            return (self.locks / "lease").stat().st_ino == os.fstat(lease).st_ino and Path(self.plan.socket).exists()
        except OSError:
            return False

    def clean_up(self) -> None:
        """Removes what the server leaves in temporary places. Whoever starts the next one makes them anew."""
        (self.locks / "server.json").unlink(missing_ok=True)
        shutil.rmtree(Path(self.plan.socket).parent, ignore_errors=True)

    def stop_unused(self, child: int, lease: int) -> bool:
        """Stops the server unless somebody is just arriving; nobody can arrive meanwhile."""
        starting = lock(str(self.locks / "start.lock"))
        if starting is None:
            return False
        try:
            if is_held(lease):
                return False
            stop(child)
            self.clean_up()
            return True
        finally:
            unlock(starting)


def is_held(lease: int) -> bool:
    """Whether any process holds the lease."""
    try:
        fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(lease, fcntl.LOCK_UN)
    return False


def try_server(program: str, modules: list[str]) -> dict[str, object]:
    """Starts the server for a moment in an empty directory and says what it can do."""
    place = tempfile.mkdtemp(prefix="steprouter-try-")
    path = str(Path(place) / "s")
    loaded = [word for module in modules for word in ("--loadmodule", module)]
    command = [program, "--port", "0", "--unixsocket", path, "--dir", place, "--save", "", *loaded]
    log = os.open(Path(place) / "log", os.O_RDWR | os.O_CREAT, 0o600)
    child = spawn(command, log=log)
    try:
        deadline = time.monotonic() + TRIAL_SECONDS
        while not is_ready(path):
            if has_ended(child) or time.monotonic() > deadline:
                return {"reason": Path(place, "log").read_text(errors="replace").strip()[-300:] or "no answer"}
            time.sleep(0.005)
        return {"info": told(path, "INFO", "server"), "has_search": told(path, "FT._LIST") is not None}
    finally:
        os.close(log)
        if not has_ended(child):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        shutil.rmtree(place, ignore_errors=True)


def main(arguments: list[str]) -> None:
    """`run PLAN` starts and watches a server in the background; `try PROGRAM MODULE…` tries one out."""
    os.umask(0o077)
    if arguments[0] == "try":
        report(**try_server(arguments[1], arguments[2:]))
        return
    if os.fork():
        os._exit(0)  # the starter reaps this one at once, and is left without a child of its own
    Supervisor(Plan(**json.loads(arguments[1]))).run()


if __name__ == "__main__":
    main(sys.argv[1:])
