"""What a broken Redis costs a step that recalls, and how soon it is noticed that it is well again.

    python benchmarks/outage.py [--rounds N]

Starts the embedded server in a folder of its own, freezes it (SIGSTOP) and lets it go on, again and again. Nothing
else is opened and nothing is sent out.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from steprouter.step.step import Place, Step, StepKind
from steprouter.store import Connection, Keys, connect
from steprouter.store.embedded import acquire
from steprouter.store.memory.remote import RedisMemory
from steprouter.store.memory.schema import Space

STEP = Step(id="now", kind=StepKind.CHAT, place=Place(thread="t"))
THREADS, TASKS, LATER = 16, 32, 1000


class Bench:
    """A server that can be frozen, and the memory in it."""

    def __init__(self, connection: Connection, memory: RedisMemory, pid: int) -> None:
        self.connection = connection
        self.memory = memory
        self.pid = pid

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """The server says nothing inside, and answers again afterwards."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def recall(self) -> float:
        """The seconds of one recall."""
        began = time.perf_counter()
        self.memory.recall(STEP, None)
        return time.perf_counter() - began

    async def arecall(self) -> float:
        """The same by the event loop."""
        began = time.perf_counter()
        await self.memory.arecall(STEP, None)
        return time.perf_counter() - began

    def until_well(self) -> float:
        """The seconds until the router takes the store to be well."""
        began = time.perf_counter()
        while self.connection.degraded is not None:
            time.sleep(0.001)
        return time.perf_counter() - began


def show(name: str, seconds: Sequence[float]) -> None:
    """One line, in milliseconds."""
    p50, p99 = np.percentile(seconds, (50, 99)) * 1000
    print(f"  {name:44} {len(seconds):5} {p50:9.3f} {p99:9.3f} {max(seconds) * 1000:9.3f}")


def in_threads(bench: Bench) -> list[float]:
    """What threads pay that are all about to recall when the server freezes, three recalls each together."""
    paid: list[float] = []
    barrier = threading.Barrier(THREADS + 1)

    def work() -> None:
        bench.recall()
        barrier.wait()
        paid.append(sum(bench.recall() for _ in range(3)))

    workers = [threading.Thread(target=work) for _ in range(THREADS)]
    for worker in workers:
        worker.start()
    while barrier.n_waiting < THREADS:
        time.sleep(0.001)
    with bench.frozen():
        barrier.wait()
        for worker in workers:
            worker.join()
    return paid


async def in_tasks(bench: Bench) -> tuple[list[float], list[float], list[float]]:
    """The first recall of a frozen server, the ones after it, and many at once, by the event loop."""
    await bench.arecall()
    with bench.frozen():
        first = [await bench.arecall()]
        later = [await bench.arecall() for _ in range(LATER)]
    bench.until_well()
    await bench.arecall()
    with bench.frozen():
        together = await asyncio.gather(*(bench.arecall() for _ in range(TASKS)))
    await bench.connection.aclose()
    return first, later, list(together)


def measure(bench: Bench, rounds: int) -> None:
    """Freeze and print."""
    show("healthy", [bench.recall() for _ in range(LATER)])
    first: list[float] = []
    later: list[float] = []
    healed: list[float] = []
    for _ in range(rounds):
        with bench.frozen():
            first.append(bench.recall())
            later += [bench.recall() for _ in range(LATER // rounds)]
        healed.append(bench.until_well())
        bench.recall()
    show("frozen: the first", first)
    show("frozen: those after it", later)
    show(f"frozen: {THREADS} threads, three each together", in_threads(bench))
    bench.until_well()
    begun, after, together = asyncio.run(in_tasks(bench))
    show("frozen, async: the first", begun)
    show("frozen, async: those after it", after)
    show(f"frozen, async: {TASKS} tasks", together)
    show("well again after", healed)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20, help="times the server is frozen (default %(default)s)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sr-bench-") as folder:
        server = acquire(Path(folder), grace_seconds=0.0)
        connection = connect(server.url, environment={})
        memory = RedisMemory(
            connection, Keys(secret=b"benchmark of outages, no secret!"), Space(identity="b", dimension=2)
        )
        try:
            print(f"One recall, in milliseconds; deadline 50 ms\n\n  {'':44} {'n':>5} {'p50':>9} {'p99':>9} {'max':>9}")
            memory.recall(STEP, None)
            measure(Bench(connection, memory, server.facts.pid), given.rounds)
        finally:
            memory.close()
            connection.close()
            server.release()


if __name__ == "__main__":
    main()
