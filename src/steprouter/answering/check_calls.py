"""What is probably wrong with tool calls that fit their schemas, and with words in place of a call.

Each check sees only the tools and the answer, and is structural; how often each was right is measured on the Berkeley
Function-Calling Leaderboard v1 (benchmarks/bfcl.py; gpt-4o-mini, 1 149 prompts).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from ..step.ask import Ask, tool_name
from .answer import Answer, ToolCall

RATE = re.compile(r"rate|return|yield|interest|discount|probab|ratio|fraction", re.IGNORECASE)
IN_PERCENT = re.compile(r"percent|per cent|%", re.IGNORECASE)

LONGEST_TEXT = 20_000
"""Characters of an answer that are searched for names; who means to call a tool says so before."""


def doubts(answer: Answer, ask: Ask) -> list[str]:
    """What is probably wrong with the calls of `answer`, or with its words where a call is missing."""
    if answer.tool_calls:
        return [*rate_doubts(answer.tool_calls, ask), *twin_doubts(answer.tool_calls)]
    return named_doubts(answer.text, ask)


def named_doubts(text: str, ask: Ask) -> list[str]:
    """A tool that is named instead of called: of 48 such answers 1 was right.

    Not where tools were used already and the words may tell of it, not for a question back, and not where several tools
    are named, as when somebody asks what there is.
    """
    if not ask.tools.may_be_called or (ask.messages[-1:] and ask.messages[-1].type == "tool"):
        return []
    said = text[:LONGEST_TEXT].strip()
    if not said or said.endswith("?"):
        return []
    named = [name for name in ask.tools.names if pattern_of(name).search(said)]
    return [f"tool {named[0]!r} is named, not called"] if len(named) == 1 else []


@lru_cache(maxsize=2048)
def pattern_of(name: str) -> re.Pattern[str]:
    """Finds a tool's name where it can only be the tool: a plain word only as code, or written as a call."""
    spelt = re.escape(name).replace("_", "[._]")  # dots in a name become underscores on the way to a provider
    if re.search(r"[_.\d]|[a-z][A-Z]", name):
        return re.compile(rf"(?<![\w.]){spelt}(?!\w)")
    return re.compile(rf"`{spelt}\b|(?<![\w.]){spelt}\(")


def rate_doubts(calls: Sequence[ToolCall], ask: Ask) -> list[str]:
    """A rate above 1 for a number that is not said to be in per cent, 5 for 0.05: of 31 such calls 10 were right."""
    schemas = {name: schema for schema in ask.tools.schemas if (name := tool_name(schema))}
    found = []
    for call in calls:
        parameters = schemas.get(call.name, {}).get("function", {}).get("parameters") or {}
        properties = parameters.get("properties") if isinstance(parameters, Mapping) else None
        for name, value in (call.args or {}).items():
            if isinstance(properties, Mapping) and is_unlikely_rate(name, value, properties.get(name)):
                found.append(f"arguments of {call.name!r}: {name} is above 1, and not said to be in per cent")
    return found


def is_unlikely_rate(name: str, value: Any, schema: Any) -> bool:
    """Whether a value is a percentage where a fraction seems to be asked for."""
    if not isinstance(schema, Mapping) or schema.get("type") != "number" or not RATE.search(name):
        return False
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    allowed = schema.get("maximum")
    return value > 1 and not isinstance(allowed, int | float) and not IN_PERCENT.search(str(schema.get("description")))


def twin_doubts(calls: Sequence[ToolCall]) -> list[str]:
    """Calls that are one: the same twice, or one for each item of a list. Of 11 such answers 1 was right."""
    for number, call in enumerate(calls):
        for earlier in calls[:number]:
            if call.name == earlier.name and call.args and earlier.args and (why := twins(call.args, earlier.args)):
                return [f"{call.name!r} is called {why}"]
    return []


def twins(one: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    """How two calls of a tool are one; None where they are not."""
    differing = [name for name in {**one, **other} if one.get(name) != other.get(name)]
    if not differing:
        return "twice with the same arguments"
    lists = [values.get(differing[0]) for values in (one, other)]
    if len(differing) == 1 and all(isinstance(items, list) and len(items) == 1 for items in lists):
        return f"once for each item of {differing[0]!r}"
    return None
