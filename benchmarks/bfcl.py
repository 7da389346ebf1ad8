"""The router's own checks as verifier of real tool calls: a weak model, and a strong one where a check refuses.

    python benchmarks/bfcl.py --data FOLDER [--seeds N]

FOLDER holds `bfcl_v1/{questions,outputs,results}.parquet`: prompts of the Berkeley Function-Calling Leaderboard v1
(github.com/ShishirPatil/gorilla, Apache-2.0) with outputs and scores of 2024-08-11 (github.com/HuanzhiMao/BFCL-Result),
all 12 categories. The checks see the tools and the output, never the question or the category. Those of `check_calls`
were found by looking at these very prompts, so other data may show less; the two halves tell how steady the figures
are. The data are for measuring and stay outside.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from langchain_core.messages import HumanMessage

from steprouter.answering.answer import Answer, ToolCall
from steprouter.answering.check import problems
from steprouter.step.ask import Ask, Toolset

PAIRS = (
    ("gpt-4o-mini-2024-07-18-FC", "gpt-4o-2024-08-06-FC"),
    ("gpt-3.5-turbo-0125-FC", "gpt-4o-2024-08-06-FC"),
    ("claude-3-haiku-20240307-FC", "claude-3-5-sonnet-20240620-FC"),
)
TYPES = {"dict": "object", "float": "number", "tuple": "array"}
JSON_TYPES = {"object", "array", "string", "integer", "number", "boolean", "null"}
IN_STRINGS = {"java", "javascript"}
"""Categories whose arguments are asked for as text, as the leaderboard's own code does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A prompt with what a pair of models made of it."""

    refused: bool
    weak: bool
    strong: bool
    is_even: bool


def schema_of(value: Any) -> Any:
    """A schema in the leaderboard's dialect as JSON Schema."""
    if isinstance(value, list):
        return [schema_of(one) for one in value]
    if not isinstance(value, dict):
        return value
    made: dict[str, Any] = {}
    for name, one in value.items():
        if name == "properties" and isinstance(one, dict):
            made[name] = {field: schema_of(inner) for field, inner in one.items()}
        elif name == "type" and isinstance(one, str):
            if TYPES.get(one, one) in JSON_TYPES:
                made[name] = TYPES.get(one, one)
        elif name not in ("optional", "default") and not (name == "required" and not isinstance(one, list)):
            made[name] = schema_of(one)
    return made


def tools_of(question: dict[str, Any]) -> list[dict[str, Any]]:
    """The functions of a prompt as tools."""
    given = json.loads(question["functions"])
    tools = []
    for function in given if isinstance(given, list) else [given]:
        parameters = function["parameters"]
        if question["category"] in IN_STRINGS:
            fields = parameters.get("properties", {})
            texts = {
                name: {"type": "string", "description": str(one.get("description"))} for name, one in fields.items()
            }
            parameters = {**parameters, "properties": texts}
        name = function["name"].replace(".", "_")
        tools.append({"type": "function", "function": {"name": name, "parameters": schema_of(parameters)}})
    return tools


def answer_of(output: str) -> Answer:
    """What a model said: a list of calls, or words."""
    try:
        calls = json.loads(output)
    except ValueError:
        return Answer(text=output, finish="stop")
    if not isinstance(calls, list):
        return Answer(text=output, finish="stop")
    return Answer(tool_calls=tuple(call_of(*item) for call in calls for item in call.items()), finish="tool_calls")


def call_of(name: str, raw: Any) -> ToolCall:
    """A call as the router reads it."""
    text = raw if isinstance(raw, str) else json.dumps(raw)
    try:
        args = json.loads(text)
    except ValueError:
        args = None
    return ToolCall(id=None, name=name, args=args if isinstance(args, dict) else None, raw=text)


def cases(folder: Path, weak: str, strong: str) -> list[Case]:
    """All prompts of a pair."""
    read: Callable[[str], list[dict[str, Any]]] = lambda name: pq.read_table(  # noqa: E731
        folder / "bfcl_v1" / f"{name}.parquet"
    ).to_pylist()
    right = {(one["category"], one["idx"], one["model"]): bool(one["correct"]) for one in read("results")}
    said = {(one["category"], one["idx"], one["model"]): one["output"] for one in read("outputs")}
    found = []
    for question in read("questions"):
        place = (question["category"], question["idx"])
        ask = Ask(messages=(HumanMessage("?"),), tools=Toolset.of(tools_of(question)))
        found.append(
            Case(
                refused=bool(problems(answer_of(said[*place, weak]), ask)),
                weak=right[*place, weak],
                strong=right[*place, strong],
                is_even=sha256(question["question"].encode()).digest()[0] % 2 == 0,
            )
        )
    return found


def share(values: Sequence[bool]) -> float:
    """The part that is true."""
    return float(np.mean(values))


def rows(found: Sequence[Case], seeds: int) -> list[tuple[str, float, float]]:
    """Each policy with its accuracy and the share of prompts that the strong model answers."""
    refused, weak, strong = (np.array([getattr(c, name) for c in found]) for name in ("refused", "weak", "strong"))
    asked = float(refused.mean())
    draws = [np.random.default_rng(seed).random(len(found)) < asked for seed in range(seeds)]
    drawn = [np.where(draw, strong, weak).mean() for draw in draws]
    return [
        ("always weak", float(weak.mean()), 0.0),
        ("always strong", float(strong.mean()), 1.0),
        ("checks and escalation", float(np.where(refused, strong, weak).mean()), asked),
        ("random at the same share", float(np.mean(drawn)), asked),
        ("oracle", float((weak | strong).mean()), float((~weak & strong).mean())),
    ]


def main() -> None:
    """Print a table for each pair."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--seeds", type=int, default=20)
    given = arguments.parse_args()
    for weak, strong in PAIRS:
        found = cases(given.data, weak, strong)
        print(f"\n{weak} → {strong}, {len(found)} prompts\n\n| policy | accuracy | strong asked |\n|---|---|---|")
        for name, accuracy, asked in rows(found, given.seeds):
            print(f"| {name} | {accuracy:.4f} | {asked:.1%} |")
        for even in (True, False):
            half = [case for case in found if case.is_even is even]
            made = share([case.strong if case.refused else case.weak for case in half])
            gap, asked = share([case.strong for case in half]) - made, share([case.refused for case in half])
            print(f"{'even' if even else 'odd'} half: {100 * gap:.2f} points below the strong one at {asked:.1%}")
        right = [case.weak for case in found if not case.refused]
        caught = [not case.weak for case in found if case.refused]
        print(f"right if accepted {share(right):.3f}, wrong if refused {share(caught):.3f}")


if __name__ == "__main__":
    main()
