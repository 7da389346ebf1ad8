"""Programs that tests run beside themselves, and a look at what runs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from steprouter.store.embedded.places import places
from steprouter.store.embedded.supervisor import is_ready

HOLD = """
import sys
from steprouter.store.embedded import acquire
server = acquire(sys.argv[1], grace_seconds=float(sys.argv[2]))
print(server.facts.pid, flush=True)
sys.stdin.read()
"""


class Eventually(Protocol):
    """Waits until a condition holds and fails if it does not within the seconds."""

    def __call__(self, condition: Callable[[], bool], *, seconds: float = 10.0) -> None:
        """Waits."""
        ...


class User:
    """Another process that uses the embedded server until it is told to end."""

    def __init__(self, data_dir: Path, grace_seconds: float = 0.0) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(data_dir), str(grace_seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def server_pid(self) -> int:
        """The process of the server it has got."""
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def end(self) -> None:
        """Lets it end in peace."""
        self.process.communicate()

    def kill(self) -> None:
        """Ends it at once."""
        self.process.kill()
        self.process.communicate()


def servers_in(data_dir: Path) -> list[int]:
    """The server processes that work in the data directory."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if str((entry / "cwd").readlink()).startswith(str(data_dir) + "/"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def supervisor_of(pid: int) -> int:
    """The parent of a server process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def is_answering(data_dir: Path) -> bool:
    """Whether a server answers at the directory's usual socket."""
    return is_ready(str(places(data_dir).socket))
