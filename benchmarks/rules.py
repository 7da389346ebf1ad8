"""Measure what rules on words, patterns and personal data cost.

    python benchmarks/rules.py [--data DIR]

`--data` names a folder with tau-bench's episodes as parquet files (needs `pyarrow`): then the steps of real agents are
searched as they come, each message once. Patterns are measured if google-re2 is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

from measure import Spread, in_turns, timed
from step_cases import tau

from steprouter.redaction import PERSONAL_KINDS, find
from steprouter.redaction.presence import kinds_in
from steprouter.routing.rule_words import finds, folded, keyword_of, says, searchable
from steprouter.step.looking import ASKED_CHARACTERS, PersonalData

ROOT = Path(__file__).parents[1]
CHARACTERS = 100_000
HOSTILE = ("1", "4 ", "1.", "+1", "a@", "\\n", "é", "ssn 1 tel tax idnr phone passport dob born card cell ")


def texts() -> Iterator[tuple[str, str]]:
    """Texts as agents see them, and such as somebody would send who wants to be a nuisance."""
    for name, path in (
        ("English", "docs/failures.md"),
        ("Python", "src/steprouter/engine.py"),
        ("JSON", "src/steprouter/models/catalogue.json"),
    ):
        text = (ROOT / path).read_text()
        yield name, (text * (1 + CHARACTERS // len(text)))[:CHARACTERS]
    for unit in HOSTILE:
        yield f"{unit!r:.12}…", unit * (CHARACTERS // len(unit))


def search(rounds: int) -> None:
    """Print what a thousand characters cost to search for personal data, here and by `find`."""
    print(f"{'microseconds a thousand characters':36}{'kinds_in':>10}{'find':>10}")
    for name, text in texts():
        ways = {
            "kinds_in": timed(lambda text=text: kinds_in(text, PERSONAL_KINDS)),  # type: ignore[misc]
            "find": timed(lambda text=text: find(text, PERSONAL_KINDS)),  # type: ignore[misc]
        }
        taken = in_turns(ways, rounds, warm_up=1)
        quick = [Spread.of(taken[way]).p10 * 1e9 / len(text) for way in ways]
        print(f"  {name:34}" + "".join(f"{figure:10.0f}" for figure in quick))


def words(rounds: int) -> None:
    """Print what keywords and patterns cost in the longest text that is looked at."""
    print(f"\n{f'milliseconds for {ASKED_CHARACTERS:,} characters':36}{'keywords':>10}{'patterns':>10}")
    keywords = [keyword_of(word) for word in ("contract", "draft the invoice", "Straße")]
    patterns = [r"(?i)\binv-\d{4}\b", r"\b[A-Z]{2}\d{2}(?:\s?[A-Z0-9]{4}){3,7}\b"]
    for name, text in texts():
        long = (text * 2)[:ASKED_CHARACTERS]
        ways = {"keywords": timed(lambda long=long: says(folded(long), keywords))}  # type: ignore[misc]
        if importlib.util.find_spec("re2"):
            ways["patterns"] = timed(lambda long=long: finds(patterns, searchable(long)))  # type: ignore[misc]
        taken = in_turns(ways, rounds, warm_up=1)
        print(f"  {name:34}" + "".join(f"{Spread.of(taken[way]).p10 * 1e3:10.1f}" for way in ways))


def agents(data: Path) -> None:
    """Print what searching costs in the steps of real agents, and what is found in them."""
    began: dict[str, PersonalData] = defaultdict(lambda: PersonalData(PERSONAL_KINDS))
    first, later, characters, found = list[float](), list[float](), 0, Counter[str]()
    for case in tau(data):
        known = began[case.thread or case.task]
        seconds = later if known.known else first
        start = perf_counter()
        kinds = known.in_messages(case.ask.messages)
        seconds.append(perf_counter() - start)
        characters += sum(len(message.text) for message in case.ask.messages)
        found.update(kinds or ["nothing"])
    steps = len(first) + len(later)
    print(f"\n{steps} steps of agents, {characters / steps:,.0f} characters each, in milliseconds:")
    for name, seconds in (("first step of a conversation", first), ("later step", later)):
        spread = Spread.of(seconds)
        print(f"  {name:34} p10 {spread.p10 * 1e3:.2f}  p50 {spread.p50 * 1e3:.2f}  p99 {spread.p99 * 1e3:.2f}")
    print("  steps with: " + ", ".join(f"{kind} {count / steps:.1%}" for kind, count in found.most_common()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", type=Path)
    chosen = parser.parse_args()
    search(chosen.rounds)
    words(chosen.rounds)
    if chosen.data:
        agents(chosen.data)
