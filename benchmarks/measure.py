"""Timing that survives a busy machine: contenders take turns, and all figures are quantiles."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from time import perf_counter

import numpy as np

Timed = Callable[[], float]
"""Does a thing once and gives the seconds it took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Quantiles of many measurements of one thing, in seconds.

    Attributes:
        p10: A quiet moment: one in ten is quicker. On a shared machine the best guess at the cost itself.
        p50: The median.
        p99: One in a hundred is slower.
    """

    p10: float
    p50: float
    p99: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Spread:
        """The quantiles of these measurements."""
        p10, p50, p99 = (float(value) for value in np.percentile(seconds, (10, 50, 99)))
        return cls(p10=p10, p50=p50, p99=p99)


def in_turns(
    contenders: Mapping[str, Timed],
    rounds: int,
    *,
    warm_up: int = 5,
    between: Callable[[], object] = lambda: None,
) -> dict[str, list[float]]:
    """The seconds of each contender, each measured once a round, in an order drawn for the round.

    Drawn, because whoever follows one that waited for a socket begins with a cold processor.

    Args:
        contenders: What is measured, by name.
        rounds: How many rounds count.
        warm_up: Rounds before them that do not: connections are opened and caches filled.
        between: Called after each measurement, off the clock.
    """
    order, lots = list(contenders), Random(1)
    taken: dict[str, list[float]] = {name: [] for name in order}
    for number in range(-warm_up, rounds):
        if number % 20 == 0:
            gc.collect()  # what one contender left behind is not collected on another's time
        lots.shuffle(order)
        for name in order:
            seconds = contenders[name]()
            between()
            if number >= 0:
                taken[name].append(seconds)
    return taken


def timed(do: Callable[[], object]) -> Timed:
    """The time `do` takes."""

    def once() -> float:
        began = perf_counter()
        do()
        return perf_counter() - began

    return once


def atimed(runner: asyncio.Runner, do: Callable[[], Awaitable[object]]) -> Timed:
    """The time awaiting `do` takes, within one event loop."""

    async def once() -> float:
        began = perf_counter()
        await do()
        return perf_counter() - began

    return lambda: runner.run(once())


def per_piece(stream: Callable[[], Iterator[object]]) -> Timed:
    """The time from the first piece of a stream to its end, divided by the pieces that came in it."""

    def once() -> float:
        pieces, count = stream(), 0
        next(pieces)
        began = perf_counter()
        for _ in pieces:
            count += 1
        return (perf_counter() - began) / count

    return once


def aper_piece(runner: asyncio.Runner, stream: Callable[[], AsyncIterator[object]]) -> Timed:
    """As `per_piece`, within one event loop."""

    async def once() -> float:
        pieces, count = stream(), 0
        await anext(pieces)
        began = perf_counter()
        async for _ in pieces:
            count += 1
        return (perf_counter() - began) / count

    return lambda: runner.run(once())


def fresh_interpreter(program: str) -> list[float]:
    """The numbers that a program prints, run in an interpreter of its own."""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return [float(word) for word in done.stdout.split()]


def import_seconds(program: str) -> Timed:
    """The time `program` takes in a fresh interpreter, its start not counted."""
    lines = f"from time import perf_counter\nbegan = perf_counter()\n{program}\nprint(perf_counter() - began)"
    return lambda: fresh_interpreter(lines)[0]


def memory_program(*stages: str) -> str:
    """A program that carries out stages and prints the resident memory in MB after each."""
    page = "import os, gc\nfrom pathlib import Path\n"
    read = "int(Path('/proc/self/statm').read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 1e6"
    return page + "\n".join(f"{stage}\ngc.collect()\nprint({read})" for stage in stages)


def has_proc() -> bool:
    """Whether this system tells resident memory the way Linux does."""
    return Path("/proc/self/statm").exists()
