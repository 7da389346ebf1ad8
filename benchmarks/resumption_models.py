"""Real models whose greedy answers are the same to the bit however much of a prompt is new to them.

Run as a program it serves one model, in a process of its own, until standard input closes:

    python benchmarks/resumption_models.py NAME FILE PORT
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

if (SCRIPTS := str(Path(__file__).resolve().parents[1] / "scripts")) not in sys.path:
    sys.path.insert(0, SCRIPTS)

from local_models.catalogue import WEIGHTS_DIR
from local_models.servers import present

EXACT = {"n_ubatch": 1, "n_batch": 64, "warmup": False, "verbosity": 1}
"""Settings of llama.cpp under which a token is computed alone, be it read or said: sums of floats come out the same.
By default a partial turn is read in batches and was said token by token, and after 32 tokens 6 of 14 greedy answers
went another way for that alone (measured 2026-11)."""


@contextmanager
def exactly_served(names: Sequence[str], weights_dir: Path = WEIGHTS_DIR) -> Iterator[Mapping[str, str]]:
    """Base URLs by model name; the servers stop at the end of the block.

    Raises:
        LocalModelsError: Weights are missing.
    """
    with ExitStack() as stack:
        started = {name: stack.enter_context(child(name, present(name, weights_dir))) for name in names}
        urls: dict[str, str] = {}
        for name, process in started.items():
            assert process.stdout is not None
            urls[name] = process.stdout.readline().strip()
            if not urls[name]:
                raise RuntimeError(f"the server of {name!r} must say its address, but ended; its log is above")
        yield urls


@contextmanager
def child(name: str, weights: Path) -> Iterator[subprocess.Popen[str]]:
    """A server in a process of its own, which ends when its standard input closes."""
    command = [sys.executable, __file__, name, str(weights), "0"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    with process:
        try:
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()


def main() -> None:
    """Serve one model exactly."""
    from local_models import host

    usual = host.parameters

    def exact(name: str, file: str, port: int) -> object:
        params = usual(name, file, port)
        for key, value in EXACT.items():
            setattr(params, key, value)
        return params

    host.parameters = exact
    host.host(sys.argv[1], sys.argv[2], int(sys.argv[3]))


if __name__ == "__main__":
    main()
