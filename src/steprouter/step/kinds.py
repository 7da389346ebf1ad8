"""The kind of a step, read from the structure of the call.

Structure comes first because it is free and hard to attack: roles, tools, forced choices, response format,
tool status, node name. What structure leaves open is said to be open and left to semantic routes. The words
of the last human message never decide: "yes" after a plan is not an easy question.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .ask import Ask, Toolset, tool_name
from .step import Evidence, Place, StepKind

LONG_TASK_TOKENS = 200
"""A first human message longer than this, with tools bound, is a task to plan rather than a call to make."""

SHORT_ANSWER_TOKENS = 400
LONG_INPUT_RATIO = 8
"""Long input for a short answer without tools is compression: at least this many times the answer's limit."""

SOURCES = {
    "summarization": StepKind.SUMMARIZE,
    "tool_selection": StepKind.HOUSEKEEPING,
    "tool_emulation": StepKind.HOUSEKEEPING,
}
"""What LangChain's middleware writes into `metadata["lc_source"]` when it calls the model itself."""

NODE_WORDS: tuple[tuple[tuple[str, ...], StepKind], ...] = (
    (("summary", "summaris", "summariz", "compress", "condense"), StepKind.SUMMARIZE),
    (("plan",), StepKind.PLAN),
    (("reflect", "critic", "critique", "judge", "grade", "review", "evaluat"), StepKind.REFLECT),
    (("classif", "triage", "intent", "route"), StepKind.CLASSIFY),
    (("extract", "parse"), StepKind.EXTRACT),
    (("title", "housekeep", "tool_select"), StepKind.HOUSEKEEPING),
    (("code", "coder", "edit", "patch"), StepKind.CODE),
)
"""Stems that people use in node names, the more telling first. A user's own map of nodes wins over these."""

EDITING_STEMS = ("edit", "patch", "apply_patch", "apply_diff", "apply_edit", "write_file", "str_replace", "create_file")


CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
NOT_WORD = re.compile(r"\W+")


class KindRead(NamedTuple):
    """A kind, how it was found, and whether structure left it open."""

    kind: StepKind
    found_from: str
    open: bool = False


def read_kind(
    ask: Ask, place: Place, evidence: Evidence, *, input_tokens: int, nodes: Mapping[str, StepKind]
) -> KindRead:
    """The kind of the step that `ask` is, given where it happens and what came before."""
    return (
        read_stated(place, nodes)
        or read_recovery(evidence)
        or read_node_name(place)
        or read_format(ask)
        or (read_with_tools(ask, evidence) if ask.tools.schemas else None)
        or read_without_tools(ask, evidence, input_tokens)
    )


def read_stated(place: Place, nodes: Mapping[str, StepKind]) -> KindRead | None:
    """The kind that the caller, the user's node map or LangChain's middleware states outright."""
    stated = place.metadata.get("steprouter_kind")
    if isinstance(stated, str) and stated in StepKind.__members__.values():
        return KindRead(StepKind(stated), "stated by the caller")
    if place.source in SOURCES:
        return KindRead(SOURCES[place.source], f"lc_source is {place.source}")
    if place.node is not None and place.node in nodes:
        return KindRead(nodes[place.node], f"node {place.node} is mapped")
    return None


def read_recovery(evidence: Evidence) -> KindRead | None:
    """Recovery: the last tool result failed, or the same call was made again."""
    if evidence.last_role != "tool":
        return None
    if evidence.consecutive_errors:
        times = evidence.consecutive_errors
        return KindRead(StepKind.RECOVER, "last tool result failed" if times == 1 else f"{times} failed in a row")
    if evidence.repeated_call:
        return KindRead(StepKind.RECOVER, "the same tool call was repeated")
    return None


def read_node_name(place: Place) -> KindRead | None:
    """The kind that the node's name tells by a usual stem."""
    words = in_words(place.node or "")
    for stems, kind in NODE_WORDS:
        if begins(words, stems):
            return KindRead(kind, f"node is called {place.node}")
    return None


def read_format(ask: Ask) -> KindRead | None:
    """Extraction or classification: the answer must be one object of a schema."""
    schema = wanted_schema(ask.tools)
    if schema is None:
        return None
    if is_choice(schema):
        return KindRead(StepKind.CLASSIFY, "the answer is one of a fixed set")
    return KindRead(StepKind.EXTRACT, "the answer must keep to a schema")


def read_with_tools(ask: Ask, evidence: Evidence) -> KindRead:
    """The kind of a step that may call tools."""
    if not ask.tools.may_be_called:
        return KindRead(StepKind.ANSWER, "tools are bound but forbidden")
    # All names at once; two underscores part them, which no stem holds.
    if begins(in_words("__".join(ask.tools.names)), EDITING_STEMS):
        return KindRead(StepKind.CODE, "editing tools are bound")
    if evidence.last_role == "tool":
        return KindRead(StepKind.READ_RESULT, "last message is a tool result")
    if evidence.tool_results == 0 and evidence.turns == 1 and task_tokens(ask) > LONG_TASK_TOKENS:
        return KindRead(StepKind.PLAN, "a long task, no tool called yet")
    return KindRead(StepKind.TOOL_CALL, "tools are bound, last message is not a result", open=True)


def read_without_tools(ask: Ask, evidence: Evidence, input_tokens: int) -> KindRead:
    """The kind of a step that can only write."""
    limit = ask.output_limit
    if limit is not None and limit <= SHORT_ANSWER_TOKENS and input_tokens >= LONG_INPUT_RATIO * limit:
        return KindRead(StepKind.SUMMARIZE, "long input for a short answer", open=True)
    if evidence.last_role == "tool" or evidence.tool_results:
        return KindRead(StepKind.ANSWER, "tool results are in, no tools are bound")
    if evidence.turns <= 1 and input_tokens > LONG_TASK_TOKENS:
        return KindRead(StepKind.ANSWER, "one long request without tools", open=True)
    return KindRead(StepKind.CHAT, "conversation without tools", open=True)


def wanted_schema(tools: Toolset) -> Mapping[str, Any] | None:
    """The one schema the answer must keep to: a response format, or a single forced tool; else None.

    An agent with tools sends the format of its final answer with every call, so there it says nothing of this one.
    """
    if tools.response_format is not None and not (tools.names and tools.may_be_called):
        return not_tools(tools.response_format)
    if tools.choice is not None and tools.choice.mode in ("any", "tool"):
        forced = [s for s in tools.schemas if tools.choice.name in (None, tool_name(s))]
        if len(forced) == 1 and "function" in forced[0]:
            parameters = forced[0]["function"].get("parameters")
            return parameters if isinstance(parameters, Mapping) else {}
    return None


def not_tools(response_format: Any) -> Mapping[str, Any]:
    """The JSON schema inside a response format; empty where the format names none."""
    if isinstance(response_format, Mapping):
        inner = response_format.get("json_schema", response_format)
        schema = inner.get("schema", inner) if isinstance(inner, Mapping) else {}
        return schema if isinstance(schema, Mapping) else {}
    schema_of = getattr(response_format, "model_json_schema", None)
    return schema_of() if callable(schema_of) else {}


def is_choice(schema: Mapping[str, Any]) -> bool:
    """Whether an object of `schema` is a pick from a fixed set: an enum among at most three flat fields."""
    properties = schema.get("properties")
    shapes: Sequence[Any] = list(properties.values()) if isinstance(properties, Mapping) else []
    enums = [s for s in shapes if isinstance(s, Mapping) and ("enum" in s or "const" in s)]
    open_ended = [s for s in shapes if isinstance(s, Mapping) and s.get("type") in ("array", "object")]
    return bool(enums) and len(shapes) <= 3 and not open_ended


def in_words(name: str) -> str:
    """The words of a name, each after a `_`."""
    parted = CAMEL.sub("_", name).lower()
    return "_" + NOT_WORD.sub("_", parted)


def begins(words: str, stems: Sequence[str]) -> bool:
    """Whether one of the `in_words` begins with one of `stems`; words, because "reddit_search" edits nothing."""
    return any(f"_{stem}" in words for stem in stems)


def task_tokens(ask: Ask) -> int:
    """Rough size of the last human message, in tokens."""
    humans = [m for m in ask.messages if m.type == "human"]
    return len(humans[-1].text) // 4 if humans else 0
