"""Steps of agents and questions from sets with outcomes, as calls with LangChain's messages."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from steprouter.step.ask import Ask, Toolset
from steprouter.step.read import read_step
from steprouter.step.step import Place


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """A step and what came of it.

    Attributes:
        kind: As the structure of the call tells.
        task: Steps of one task are never each other's neighbours.
        thread: The episode; None where each step stands alone.
        ask: The call.
        results: By name of the column, 0 or 1.
    """

    kind: str
    task: str
    thread: str | None = None
    ask: Ask
    results: Mapping[str, float] = field(default_factory=dict)


def table(data: Path, name: str) -> list[dict[str, Any]]:
    """The rows of a parquet file."""
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError:
        sys.exit("the sets are parquet files; reading them needs pyarrow")
    rows: list[dict[str, Any]] = parquet.read_table(data / name).to_pylist()
    return rows


def case(task: str, ask: Ask, results: Mapping[str, float], *, thread: str | None = None) -> Case:
    """A case of the kind that its structure tells."""
    kind = read_step(ask, Place(), step_id="s", started_at=0.0).kind
    return Case(kind=str(kind), task=task, thread=thread, ask=ask, results=results)


def tool_schema(name: str) -> dict[str, Any]:
    """A tool of which the name is all that is known."""
    return {
        "type": "function",
        "function": {"name": name, "description": "", "parameters": {"type": "object", "properties": {}}},
    }


def called(name: str, arguments: Any, said: str = "") -> AIMessage:
    """An answer that calls one tool."""
    return AIMessage(said, tool_calls=[{"name": name, "args": arguments, "id": "c"}])


FAILED = re.compile(
    r"(?i)\s*(error|.*\btraceback\b|-{20,}|[^\n]*\b(error|exception)\b:|nothing happens|your answer is wrong"
    r"|i don't understand|cell in)"
)
"""How the results of these sets begin when a call failed; tau's begin with "Error"."""


def result_of(text: str) -> ToolMessage:
    """A tool's result with the status a graph would have given it."""
    return ToolMessage(text, tool_call_id="c", status="error" if FAILED.match(text) else "success")


def tau(data: Path) -> Iterator[Case]:
    """Steps of airline, retail and telecom agents: the agent's policy, its tools and the talk so far."""
    policies = {p["domain"]: p["policy"] for p in json.loads((data / "tau/policies.json").read_text())}
    agents = {row["episode"]: row for row in table(data, "tau/episodes.parquet")}
    runs = [(agents[r["episode"]], json.loads(r["messages"])) for r in table(data, "tau/messages.parquet")]
    tools: dict[str, Counter[str]] = defaultdict(Counter)
    for run, said in runs:
        tools[run["domain"]].update(c["function"]["name"] for m in said for c in m.get("tool_calls") or ())
    for run, said in runs:
        domain = run["domain"]
        bound = Toolset.of([tool_schema(name) for name in sorted(tools[domain])])
        common = [name for name, _ in tools[domain].most_common(6)]
        messages: list[BaseMessage] = [SystemMessage(policies[domain])]
        for place, message in enumerate(said):
            if message["role"] == "assistant" and any(m.type == "human" for m in messages):
                ask = Ask(messages=tuple(messages), tools=bound)
                results = tau_results(run, message, said[place + 1 :], common)
                yield case(f"{domain} {run['task_id']}", ask, results, thread=run["episode"])
            messages.append(tau_message(message))


def tau_message(message: Mapping[str, Any]) -> BaseMessage:
    """One of tau's messages as LangChain's."""
    text = message.get("content") or ""
    if message["role"] == "assistant":
        calls = [c["function"] for c in message.get("tool_calls") or ()]
        return AIMessage(
            text, tool_calls=[{"name": c["name"], "args": arguments_of(c["arguments"]), "id": "c"} for c in calls]
        )
    return result_of(text) if message["role"] == "tool" else HumanMessage(text)


def arguments_of(written: str) -> dict[str, Any]:
    """A call's arguments; those that are no object are kept as they are."""
    try:
        read = json.loads(written)
    except ValueError:
        read = written
    return read if isinstance(read, dict) else {"arguments": read}


def tau_results(
    run: Mapping[str, Any], message: Mapping[str, Any], after: Sequence[Mapping[str, Any]], common: Sequence[str]
) -> dict[str, float]:
    """What came of a step of tau: of the episode, and of the message itself."""
    calls = message.get("tool_calls") or []
    names = {call["function"]["name"] for call in calls}
    length = len(message.get("content") or "") + sum(len(call["function"]["arguments"]) for call in calls)
    found = {f"success {run['agent_llm']}": float(run["success"]), "next calls": float(bool(calls))}
    found["next long"] = float(length > 300)
    if calls:
        found |= {f"next {run['domain']} {name}": float(name in names) for name in common}
        answers = after[: len(calls)]
        found["next fails"] = float(any(bool(FAILED.match(m.get("content") or "")) for m in answers))
    return found


def intercode(data: Path) -> Iterator[Case]:
    """Turns of an agent with a database or a shell; the reward after each turn says whether it is solved."""
    tasks = {row["task_id"]: row for row in table(data, "intercode/tasks.parquet")}
    episodes: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in table(data, "intercode/steps_multiturn10.parquet"):
        if row["model"] in ("gpt-4", "gpt-3.5"):
            episodes[row["task_id"], row["model"]].append(row)
    first: dict[str, dict[str, float]] = defaultdict(dict)
    for (task, model), turns in episodes.items():
        first[task][f"success {model}"] = float(max(t["reward"] for t in turns) == 1)
    for (task, model), turns in episodes.items():
        name = tasks[task]["env"]
        bound = Toolset.of([tool_schema(name)])
        messages: list[BaseMessage] = [HumanMessage(tasks[task]["query"])]
        turns.sort(key=lambda t: int(t["turn"]))
        for place, turn in enumerate(turns):
            left = [t["reward"] for t in turns[place:]]
            results = {f"success {model}": float(max(left) == 1)} if place else first[task]
            if place:
                results["next fails"] = float(bool(FAILED.match(turn["observation"])))
                results["next solves"] = float(turn["reward"] == 1)
            if place or model == "gpt-4":
                yield case(task, Ask(messages=tuple(messages), tools=bound), results, thread=f"{task} {model}")
            messages += [called(name, {"command": turn["action"]}), result_of(turn["observation"])]


STEPS_LEFT = re.compile(r"\nYou have \d+ steps? left.*", re.DOTALL)


def mint(data: Path) -> Iterator[Case]:
    """Turns of an agent that runs Python, searches or acts in a house, without the counter of steps left."""
    wanted = ("gpt-4-0613", "gpt-3.5-turbo-0613", "Meta-Llama-3-70B-Instruct", "claude-instant-1")
    bound = Toolset.of([tool_schema("python")])
    first: dict[str, dict[str, float]] = defaultdict(dict)
    runs = [r for r in table(data, "mint/trajectories_max5.parquet") if r["model"] in wanted]
    for run in runs:
        first[run["task_id"]][f"success {run['model']}"] = float(run["success"])
    for run in runs:
        said = json.loads(run["messages"])
        messages: list[BaseMessage] = [HumanMessage(said[0]["content"].removeprefix("[TASK]\n"))]
        for place in range(1, len(said) - 1, 2):
            answer, seen = said[place]["content"].removeprefix("Assistant:\n"), said[place + 1]["content"]
            code = re.search(r"<execute>(.*?)(</execute>|$)", answer, re.DOTALL)
            seen = STEPS_LEFT.sub("", seen.removeprefix("Observation:\n"))
            results = first[run["task_id"]]
            if place > 1:
                results = {f"success {run['model']}": float(run["success"]), "next calls": float("<execute>" in answer)}
                results |= {"next fails": float(bool(FAILED.match(seen))), "next long": float(len(answer) > 600)}
            if place > 1 or run["model"] == wanted[0]:
                ask = Ask(messages=tuple(messages), tools=bound)
                yield case(run["task_id"], ask, results, thread=f"{run['task_id']} {run['model']}")
            said_first = answer[: code.start()] if code else answer
            messages += [called("python", {"code": code[1] if code else ""}, said_first), result_of(seen)]


def marks_of(
    data: Path, name: str, keys: Sequence[str], models: Sequence[str], mark: str
) -> dict[Any, dict[str, float]]:
    """By question what each model made of it, 1 from half of the points on."""
    marks: dict[Any, dict[str, float]] = defaultdict(dict)
    for row in table(data, f"{name}/results.parquet"):
        if row["model"] in models:
            marks[tuple(row[key] for key in keys)][f"success {row['model']}"] = float(row[mark] >= 0.5)
    return marks


def bfcl(data: Path) -> Iterator[Case]:
    """Single requests with functions to call, or none that fits."""
    models = ["gpt-3.5-turbo-0125-FC", "gpt-4o-mini-2024-07-18-FC", "gpt-4o-2024-05-13-FC"]
    models += ["claude-3-haiku-20240307", "claude-3-5-sonnet-20240620"]
    marks = marks_of(data, "bfcl_v1", ["category", "idx"], models, "correct")
    for row in table(data, "bfcl_v1/questions.parquet"):
        bound = Toolset.of([tool_schema(f["name"]) for f in json.loads(row["functions"])])
        ask = Ask(messages=(HumanMessage(row["question"]),), tools=bound)
        yield case(row["id"], ask, marks[row["category"], row["idx"]])


def plain(task: object, question: str, marks: Mapping[str, float], kind: str) -> Case:
    """A question by itself."""
    return Case(kind=kind, task=str(task), ask=Ask(messages=(HumanMessage(question),)), results=marks)


def livecodebench(data: Path) -> Iterator[Case]:
    """Programming contests."""
    models = ["GPT-3.5-Turbo-0125", "GPT-4-Turbo-2024-04-09", "Claude-3-Haiku", "Mistral-Large"]
    marks = marks_of(data, "livecodebench", ["question_id"], models, "pass1")
    for row in table(data, "livecodebench/questions.parquet"):
        yield plain(row["question_id"], row["question"], marks[row["question_id"],], "code")


def zeroeval(data: Path) -> Iterator[Case]:
    """Output of code, and mathematics."""
    models = ["gpt-4o-mini-2024-07-18", "gpt-4o-2024-05-13", "gpt-3.5-turbo-0125", "o1-mini-2024-09-12"]
    marks = marks_of(data, "zeroeval", ["benchmark", "id"], models, "correct")
    for row in table(data, "zeroeval/questions.parquet"):
        kind = "code" if row["benchmark"] == "crux" else "answer"
        yield plain(row["id"], row["question"], marks[row["benchmark"], row["id"]], kind)


def uiuc(data: Path) -> Iterator[Case]:
    """Questions of fourteen sources."""
    models = ["llama-3.1-8b-instruct", "gemma-2-9b-it", "llama-3.1-nemotron-51b-instruct"]
    marks = marks_of(data, "llmrouter_uiuc", ["qid"], models, "score")
    for row in table(data, "llmrouter_uiuc/questions.parquet"):
        kind = "code" if row["task"] in ("mbpp", "human_eval") else "chat"
        yield plain(row["qid"], row["question"], marks[row["qid"],], kind)


def routellm(data: Path) -> Iterator[Case]:
    """Knowledge and mathematics with the instructions the authors sent along."""
    for name in ("mmlu", "gsm8k"):
        for place, row in enumerate(table(data, f"routellm/{name}.parquet")):
            marks = {f"success {m}": float(row[f"{m}_correct"]) for m in ("mixtral_8x7b", "gpt_4_1106")}
            yield plain(f"{name} {place}", row["prompt"], marks, "answer")


SETS: dict[str, Callable[[Path], Iterator[Case]]] = {
    "tau": tau,
    "intercode": intercode,
    "mint": mint,
    "bfcl_v1": bfcl,
    "livecodebench": livecodebench,
    "zeroeval": zeroeval,
    "llmrouter_uiuc": uiuc,
    "routellm": routellm,
}
