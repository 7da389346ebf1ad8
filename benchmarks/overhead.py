"""What StepRouter adds to a model call, in time and memory.

    python benchmarks/overhead.py [--rounds N] [--json FILE]

Everything runs on this machine: models that answer at once, so that nothing but overhead is left, and a server
in a process of its own where HTTP is meant. No key is read and nothing is sent out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from contest import LONG, PIECES, STORES, Colour, Contest
from measure import Spread, fresh_interpreter, has_proc, import_seconds, in_turns, memory_program
from stand_ins import instant_server

CALL_METHODS: dict[str, Colour] = {"invoke": "sync", "ainvoke": "async"}
STREAM_METHODS: dict[str, Colour] = {"stream": "sync", "astream": "async"}
OVER_HTTP = ("bare httpx", "httpx + LangChain", "ChatOpenAI")
PLACES = {False: "in process", True: "over HTTP"}
COLUMNS = ("StepRouter does", "store", "compared with", "ratio", "added p10", "p50", "p99", "StepRouter", "other")
Table = list[tuple[str, ...]]

INTRODUCTION = """\
What StepRouter adds to a model call
====================================

{machine}

Each line compares two ways to the same answer, measured in the same run by turns. Models here answer at once,
which real ones do not: what is left is overhead.

  ratio        StepRouter's median time divided by the other's.
  added        By how much StepRouter's time is longer: p50 is the median, p10 a quiet moment (nine calls in ten
               take longer), p99 a bad one (one call in a hundred takes longer).
  store        Where traces go, off the call's path: this process's memory, or the embedded Redis server."""

CALLS = f"""\
1. One call, in microseconds
----------------------------
An agent's step: 4 messages, 8 tools, an answer of {PIECES} pieces. StepRouter reads the step, decides between two
candidates, calls the cheaper one, checks its answer and keeps a trace.

  instant model      A LangChain chat model that does nothing, in this process. Asked directly it gives its answer
                     at once; StepRouter always has it streamed, piece by piece, so as to notice a stall.
  bare httpx         The same request to a server on this machine, by httpx and `json.loads`: the cost of HTTP.
  httpx + LangChain  The sum of the two: what any chat model over HTTP has to pay.
  ChatOpenAI         The same request by LangChain's client for such servers."""

STREAMED = f"""\
2. One piece of a streamed answer, in microseconds
--------------------------------------------------
From the first piece to the end of the stream, divided by the number of pieces ({LONG}), against the same four.
StepRouter holds tool calls back until they are whole; the pieces here are text, which it shows at once."""

PARTS = """\
3. Parts of it, in microseconds
-------------------------------
The decision, from the call until it is made, nobody being called. Then the trace, which a thread of its own writes
after the call, while an agent waits for its next model."""

IMPORTED = """\
4. Import, in milliseconds
--------------------------
In fresh interpreters. An agent has imported LangGraph already."""

IMPORTS = {
    "LangChain's chat models": "import langchain_core.language_models.chat_models",
    "LangChain's chat models and LangGraph": "import langchain_core.language_models.chat_models, langgraph.graph",
    "StepRouter": "import steprouter; steprouter.StepRouter",
}

KEPT = """\
5. Memory, in MB
----------------
Resident memory of one process, each line on top of the one before. The embedded server is another process, which
all routers of a user share."""

MAKE_A_ROUTER = """
from steprouter import ModelCard, StepRouter
def made():
    return StepRouter([ModelCard(name=name, model=name, base_url="http://127.0.0.1:9/v1") for name in "ab"])
router = made()"""

MEMORY = (
    "import langchain_core.language_models.chat_models, langgraph.graph",
    "import steprouter; steprouter.StepRouter, steprouter.ModelCard",
    MAKE_A_ROUTER,
    "router.traces.threads()\ntry:\n    router.invoke('Is anybody there?')\nexcept Exception:\n    pass",
    "others = [made() for _ in range(100)]",
)


def spreads(took: Mapping[str, Sequence[float]]) -> dict[str, Spread]:
    """The quantiles of each contender."""
    return {name: Spread.of(seconds) for name, seconds in took.items()}


def comparison(method: str, took: Mapping[str, Spread], others: Sequence[str]) -> Table:
    """A line for each store and each of `others` that took part."""
    return [
        (
            *(method, store, other),
            f"{took[store].p50 / took[other].p50:.2f}",
            *(f"{micros(getattr(took[store], q) - getattr(took[other], q))}" for q in ("p10", "p50", "p99")),
            *(micros(took[store].p50), micros(took[other].p50)),
        )
        for other in others
        if other in took
        for store in STORES
    ]


def micros(seconds: float) -> str:
    """Microseconds, to about three figures."""
    value = seconds * 1e6
    return f"{value:.1f}" if abs(value) < 100 else f"{value:.0f}"


def printed(title: str, head: Sequence[str], table: Sequence[tuple[str, ...]]) -> None:
    """A table with its title, the words to the left and the figures to the right."""
    widths = [max(len(row[at]) for row in [head, *table]) for at in range(len(head))]
    words = [all(not row[at][:1].isdigit() and row[at][:1] != "-" for row in table) for at in range(len(head))]
    print(f"\n{title}\n")
    for row in [tuple(head), tuple("-" * width for width in widths), *table]:
        cells = (
            cell.ljust(width) if word else cell.rjust(width)
            for cell, width, word in zip(row, widths, words, strict=True)
        )
        print("  " + "  ".join(cells).rstrip())


def calls(contest: Contest, rounds: int) -> dict[str, Any]:
    """Times whole calls and prints the table."""
    found, table = {}, Table()
    for http, place in PLACES.items():
        for method, colour in CALL_METHODS.items():
            took = found[f"{method}, {place}"] = spreads(contest.calls(colour, rounds, http=http))
            table += comparison(method, took, OVER_HTTP if http else ("instant model",))
    printed(CALLS, COLUMNS, table)
    return found


def pieces(contest: Contest, rounds: int) -> dict[str, Any]:
    """Times the pieces of streams and prints the table."""
    found, table = {}, Table()
    for http, place in PLACES.items():
        for method, colour in STREAM_METHODS.items():
            took = found[f"{method}, {place}"] = spreads(contest.pieces(colour, rounds, http=http))
            table += comparison(method, took, OVER_HTTP if http else ("instant model",))
    printed(STREAMED, COLUMNS, table)
    return found


def parts(contest: Contest, rounds: int) -> dict[str, Any]:
    """Times the decision and the writing of a trace, and prints the table."""
    found = {f"decision: {asked}": seconds for asked, seconds in contest.decisions(rounds).items()}
    found |= {f"trace written to {store}": seconds for store, seconds in contest.traces(rounds).items()}
    took = spreads(found)
    table = [(what, micros(t.p10), micros(t.p50), micros(t.p99)) for what, t in took.items()]
    printed(PARTS, ("", "p10", "p50", "p99"), table)
    return took


def imports(rounds: int) -> dict[str, Any]:
    """Times imports and prints the table."""
    took = spreads(in_turns({name: import_seconds(program) for name, program in IMPORTS.items()}, rounds, warm_up=0))
    base = next(iter(took.values())).p50
    table = [(name, f"{t.p50 / base:.2f}", f"{t.p10 * 1e3:.0f}", f"{t.p50 * 1e3:.0f}") for name, t in took.items()]
    printed(IMPORTED, ("", "ratio", "p10", "p50"), table)
    return took


def memory() -> dict[str, float]:
    """Reads the memory of an idle router and prints the table; nothing where the system does not tell."""
    if not has_proc():
        return {}
    langchain, imported, made, opened, hundred = fresh_interpreter(memory_program(*MEMORY))
    found = {
        "LangChain and LangGraph imported": langchain,
        "StepRouter imported as well": imported - langchain,
        "a router made": made - imported,
        "its store and HTTP client opened": opened - made,
        "each further router": (hundred - opened) / 100,
    }
    printed(KEPT, ("", "MB"), [(what, f"{mb:.1f}") for what, mb in found.items()])
    return found


def machine(rounds: int) -> str:
    """The machine by its cores, and the versions that matter."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("steprouter", "langchain-core", "langgraph", "httpx"))
    busy = f"load {os.getloadavg()[0]:.1f} at the start"
    python = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    return f"{os.cpu_count()} cores, {busy}; {python};\n{packages}; {rounds} rounds."


@contextmanager
def private_store() -> Iterator[None]:
    """A data directory for the embedded server that is gone afterwards, and no other server in its place."""
    with tempfile.TemporaryDirectory(prefix="steprouter-bench-", ignore_cleanup_errors=True) as folder:
        os.environ.pop("REDIS_URL", None)
        os.environ["STEPROUTER_DATA"] = folder
        os.environ["XDG_RUNTIME_DIR"] = folder
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=120, help="how often each call is timed (streams: a sixth)")
    parser.add_argument("--json", type=Path, help="write all figures, in seconds and MB, to this file")
    given = parser.parse_args()
    rounds = max(10, given.rounds)
    print(INTRODUCTION.format(machine=machine(rounds)))
    with private_store(), instant_server() as url, asyncio.Runner() as runner, ExitStack() as stack:
        contest = Contest(url, runner, stack)
        found = {
            "calls": calls(contest, rounds),
            "pieces": pieces(contest, rounds // 6),
            "parts": parts(contest, rounds * 2),
            "imports": imports(3),
            "memory": memory(),
        }
    if given.json:
        given.json.write_text(json.dumps(found, default=asdict, indent=1) + "\n")


if __name__ == "__main__":
    main()
