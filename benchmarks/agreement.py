"""What it tells of a model's tool calls that they are, or are not, those of a stronger one.

    python benchmarks/agreement.py --data FOLDER

FOLDER holds `bfcl_v1/{outputs,results}.parquet`, as of benchmarks/bfcl.py: real outputs with scores of 2024-08-11. Each
prompt at which the strong model called a tool is a shadow probe of the weak one; the comparison is the product's own
(`answering/agreement.py`), the scores are the leaderboard's. `loss` is what memory's score is 1 less of: how much more
often the strong model was right. The category "relevance" is left out: there no tool should be called.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import pyarrow.parquet as pq
from bfcl import answer_of

from steprouter.answering.agreement import WORTH, Agreement, agreement
from steprouter.step.step import Step, StepKind

STRONG = "gpt-4o-2024-08-06-FC"
WEAK = (
    "gpt-4o-mini-2024-07-18-FC",
    "gpt-3.5-turbo-0125-FC",
    "gpt-4-turbo-2024-04-09-FC",
    "open-mistral-nemo-2407-FC-Auto",
    "claude-3-haiku-20240307-FC",
)
STEP = Step(id="probe", kind=StepKind.TOOL_CALL)

Cell = tuple[int, int, int]
"""Prompts, and how many of them the weak and the strong model got right."""


def cells(folder: Path, weak: str) -> dict[Agreement, Cell]:
    """What became of the prompts, by how the answers compare."""
    wanted = {weak, STRONG}

    def column(name: str, what: str) -> dict[tuple[str, int, str], object]:
        rows = pq.read_table(folder / "bfcl_v1" / f"{name}.parquet").to_pylist()
        return {(r["category"], r["idx"], r["model"]): r[what] for r in rows if r["model"] in wanted}

    outputs, right = column("outputs", "output"), column("results", "correct")
    found: dict[Agreement, Cell] = defaultdict(lambda: (0, 0, 0))
    for (category, index, model), output in outputs.items():
        mine = (category, index, weak)
        if model != STRONG or category == "relevance" or mine not in outputs or mine not in right:
            continue
        given, other = answer_of(str(output)), answer_of(str(outputs[mine]))
        if given.tool_calls:
            how = agreement(given, other, STEP)
            n, ours, theirs = found[how]
            found[how] = (n + 1, ours + bool(right[mine]), theirs + bool(right[category, index, STRONG]))
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="What agreement with a stronger model tells of tool calls")
    parser.add_argument("--data", type=Path, required=True, help="folder with bfcl_v1/")
    folder = parser.parse_args().data
    print(f"{'beside ' + STRONG:<32}  {'compared':<16}  prompts  weak right  strong right   loss  worth")
    sums: dict[Agreement, list[Cell]] = defaultdict(list)
    for weak in WEAK:
        found = cells(folder, weak)
        for how in Agreement:
            if how in found:
                print(line(weak, how, found[how]))
                sums[how].append(found[how])
    for how, parts in sums.items():
        n, ours, theirs = (sum(part[place] for part in parts) for place in range(3))
        print(line("all", how, (n, ours, theirs)))


def line(who: str, how: Agreement, cell: Cell) -> str:
    """A line of the table."""
    n, ours, theirs = cell
    figures = f"{n:>7}  {ours / n:>10.3f}  {theirs / n:>12.3f}  {(theirs - ours) / n:>5.3f}  {WORTH[how]:>5.2f}"
    return f"{who:<32}  {how:<16}  {figures}"


if __name__ == "__main__":
    main()
