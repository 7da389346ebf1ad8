"""Recorded sessions of tau as shapes: each step as the router reads it, its answer, and when it came."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from langchain_core.messages import BaseMessage, SystemMessage
from step_cases import arguments_of, table, tau_message

from steprouter.answering.answer import Answer, ToolCall
from steprouter.embedding.default import DefaultEmbedder
from steprouter.step.ask import Ask, Toolset
from steprouter.step.read import read_step
from steprouter.step.step import Place, Step

KEY = b"sessions"

TOOL_TOKENS = {"airline": 1664, "retail": 2125, "telecom": 1076}
"""What tools take of a prompt: median of what gpt-4.1 reported beyond policy and messages. The schemas are not among
the data, so tools of this length stand in for them."""

USUAL_SECONDS = 5.0
"""A step with its tools where a recording has no times; where it has, 2 to 10 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A step of a recorded session.

    Attributes:
        step: As the router reads it; `needs.input_tokens` is the length of its prompt.
        answer: What was said, by whoever was recorded.
        output_tokens: How long that is, as reported or else as counted from its text.
        vector: Of the step's text.
        seconds: How long it took with its tools.
        follows_human: Whether a human had to write before it.
    """

    step: Step
    answer: Answer = field(repr=False)
    output_tokens: int
    vector: npt.NDArray[np.float32] = field(repr=False)
    seconds: float
    follows_human: bool

    @property
    def prompt_tokens(self) -> int:
        """Length of the prompt."""
        return self.step.needs.input_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A recorded session; each prompt begins with the one before it."""

    name: str
    shapes: tuple[Shape, ...]


@cache
def load(folder: Path) -> tuple[Session, ...]:
    """The sessions in which a user talked to an agent, as they were recorded."""
    policies = {p["domain"]: p["policy"] for p in json.loads((folder / "tau/policies.json").read_text())}
    runs = {row["episode"]: row for row in table(folder, "tau/episodes.parquet")}
    outputs: dict[str, list[int]] = defaultdict(list)
    for row in table(folder, "tau/steps.parquet"):
        outputs[row["episode"]].append(round(row["completion_tokens"] or row["output_tokens_est"]))
    said = {row["episode"]: json.loads(row["messages"]) for row in table(folder, "tau/messages.parquet")}
    tools, embedder = toolsets(runs, said), DefaultEmbedder()
    found = []
    for episode, messages in said.items():
        run = runs[episode]
        policy = policies["airline_tau1" if run["benchmark"] == "tau1" else run["domain"]]
        asks = asks_of(messages, policy, tools[run["domain"]])
        seconds = (run["duration_s"] or 0.0) / max(1, len(outputs[episode])) or USUAL_SECONDS
        shapes = []
        for place, ask in asks:
            step = read_step(ask, Place(thread=episode), step_id="", started_at=0.0, key=KEY)
            shapes.append(
                Shape(
                    step=step,
                    answer=answer_of(messages[place]),
                    output_tokens=max(1, outputs[episode][number_of(messages, place)]),
                    vector=np.asarray(embedder.embed(step.text), dtype=np.float32),
                    seconds=seconds,
                    follows_human=ask.messages[-1].type == "human",
                )
            )
        if shapes:
            found.append(Session(name=episode, shapes=tuple(shapes)))
    return tuple(found)


def toolsets(runs: Mapping[str, Mapping[str, Any]], said: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """For each domain the tools that were called there, as long together as the real ones are."""
    names: dict[str, Counter[str]] = defaultdict(Counter)
    for episode, messages in said.items():
        calls = [call["function"]["name"] for message in messages for call in message.get("tool_calls") or ()]
        names[runs[episode]["domain"]].update(calls)
    return {domain: toolset(sorted(found), TOOL_TOKENS[domain]) for domain, found in names.items()}


def toolset(names: Sequence[str], tokens: int) -> Toolset:
    """Tools of which only the names are known, and how long all are together."""
    words = 0
    while True:
        bound = Toolset.of(
            [
                {
                    "type": "function",
                    "function": {
                        "name": name,
                        "description": "word " * words,
                        "parameters": {"type": "object", "properties": {}},
                    },
                }
                for name in names
            ]
        )
        if bound.tokens >= tokens:
            return bound
        words += 1 + (tokens - bound.tokens) // (4 * len(names))


def asks_of(messages: Sequence[Mapping[str, Any]], policy: str, tools: Toolset) -> list[tuple[int, Ask]]:
    """The calls of the agent's model, each with the place of its answer; a greeting before any user is none."""
    before: list[BaseMessage] = [SystemMessage(policy)]
    found = []
    for place, message in enumerate(messages):
        if message["role"] == "assistant" and any(m.type == "human" for m in before):
            found.append((place, Ask(messages=tuple(before), tools=tools)))
        before.append(tau_message(message))
    return found


def number_of(messages: Sequence[Mapping[str, Any]], place: int) -> int:
    """Which of the agent's messages one is, from 0."""
    return sum(message["role"] == "assistant" for message in messages[:place])


def answer_of(message: Mapping[str, Any]) -> Answer:
    """A recorded message as an answer."""
    calls = [call["function"] for call in message.get("tool_calls") or ()]
    return Answer(
        text=message.get("content") or "",
        tool_calls=tuple(
            ToolCall(id="c", name=call["name"], args=arguments_of(call["arguments"]), raw=call["arguments"])
            for call in calls
        ),
        finish="tool_calls" if calls else "stop",
    )
