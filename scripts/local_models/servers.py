"""Servers as child processes: started together, awaited, stopped together, never left behind."""

from __future__ import annotations

import importlib.util
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from .catalogue import WEIGHTS_DIR, LocalModelsError, choose

# For a cold gigabyte on a slow disk; from the page cache the two smaller models took three seconds together.
READY_SECONDS = 120.0
# A child ends at once when asked, except while it loads: then it notices only afterwards, and is killed.
STOP_SECONDS = 5.0


@contextmanager
def serving(
    names: Sequence[str], weights_dir: Path = WEIGHTS_DIR, *, ports: Sequence[int] = ()
) -> Iterator[Mapping[str, str]]:
    """Base URLs by model name, all of them healthy; the servers stop at the end of the block.

        with serving(["small", "large"]) as urls:
            ChatOpenAI(base_url=urls["small"], model="small", api_key="none")

    Args:
        names: Models of the catalogue.
        weights_dir: Where `get` has put their weights.
        ports: One for each model; none, or 0, means any free one.

    Raises:
        LocalModelsError: The weights or the extra `local` are missing, or a server did not start.
    """
    with running(names, weights_dir, ports) as servers:
        yield {server.name: server.url() for server in servers}


@contextmanager
def running(names: Sequence[str], weights_dir: Path, ports: Sequence[int]) -> Iterator[list[Server]]:
    """Servers that were started but may not be ready yet; all are stopped at the end of the block.

    Raises:
        LocalModelsError: Before anything starts, if a model is unknown or absent, or the extra is.
    """
    if len(set(names)) != len(names) or len(ports) not in (0, len(names)):
        raise LocalModelsError(f"each model must be given once, with one port or none; got {names!r}, {ports!r}")
    files = [present(name, weights_dir) for name in names]
    if importlib.util.find_spec("xllamacpp") is None:
        raise LocalModelsError("serving needs the extra `local`, which is absent: pip install 'steprouter[local]'")
    with ExitStack() as stack:
        servers = []
        for name, file, port in zip(names, files, ports or [0] * len(names), strict=True):
            servers.append(Server.start(name, file, port))
            stack.callback(servers[-1].stop)
        yield servers


def present(name: str, weights_dir: Path) -> Path:
    """The file that `get` has put there; only its size is checked, since `get` has checked its hash."""
    weights = choose(name)
    path = weights_dir / weights.file
    if not path.exists() or path.stat().st_size != weights.size_bytes:
        raise LocalModelsError(
            f"{str(path)!r} must hold {weights.title}, but is missing or cut short; "
            f"run `python scripts/local_models get {name} --into {weights_dir}`"
        )
    return path


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A child process that serves one model, and where its log goes."""

    name: str
    process: subprocess.Popen[str]
    log: Path

    @classmethod
    def start(cls, name: str, file: Path, port: int) -> Server:
        """A child with a session of its own, so that Ctrl-C reaches only us and we stop it."""
        log = file.parent / f"{name}.log"
        log.write_bytes(b"")
        with log.open("ab") as sink:  # appending, so that a second server of this model overwrites nothing
            process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("host.py")), name, str(file), str(port)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=sink,
                text=True,
                start_new_session=True,
            )
        return cls(name=name, process=process, log=log)

    def url(self) -> str:
        """The base URL of its OpenAI-compatible API; waits until the server is healthy. Ask once.

        Raises:
            LocalModelsError: The server ended, or is not ready after `READY_SECONDS`.
        """
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], READY_SECONDS)
        if not ready:
            raise LocalModelsError(
                f"the server of {self.name!r} must be ready within {READY_SECONDS:.0f} s, but is not; its "
                f"log is {str(self.log)!r}"
            )
        url = self.process.stdout.readline().strip()
        if not url:
            raise self.ended()
        return url

    def ended(self) -> LocalModelsError:
        """The error of a server that stopped by itself, with the end of its log."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return LocalModelsError(
            f"the server of {self.name!r} must run until it is stopped, but ended with code "
            f"{self.process.wait(STOP_SECONDS)}; the end of {str(self.log)!r}:\n" + "\n".join(lines[-12:])
        )

    def stop(self) -> None:
        """Closes the child's standard input, which ends it, and kills a child that does not end."""
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
