"""Reads a step from a call: its evidence, its needs, its kind."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from ..models.tokens import estimate_message_tokens
from .ask import Ask
from .digests import read_trail, step_of
from .kinds import read_kind
from .step import Evidence, Needs, Place, Step, StepKind, Trail, Verdict
from .text import asked_text

IMAGE_TYPES = frozenset({"image", "image_url", "input_image"})
AUDIO_TYPES = frozenset({"audio", "input_audio"})
THOUGHTS = frozenset({
    "thinking", "redacted_thinking", "reasoning", "reasoning_content", "reasoning_details", "thinking_blocks",
    "__gemini_function_call_thought_signatures__",
})  # fmt: skip
"""Blocks and additional arguments in which LangChain's integrations keep what a model thought."""

FILE_TYPES = frozenset({"file", "input_file", "document", "video"})


def read_step(
    ask: Ask,
    place: Place,
    *,
    step_id: str,
    started_at: float,
    nodes: Mapping[str, StepKind] | None = None,
    key: bytes | None = None,
) -> Step:
    """The step that `ask` is at `place`.

    Args:
        ask: The call.
        place: Where it happens.
        step_id: Its name.
        started_at: Unix time in seconds.
        nodes: Kinds by node name; wins over what structure says.
        key: Keys the digests of the prompt; None takes none.
    """
    evidence, needs = read_evidence(ask.messages), read_needs(ask)
    kind = read_kind(ask, place, evidence, input_tokens=needs.input_tokens, nodes=nodes or {})
    return Step(
        id=step_id,
        kind=kind.kind,
        kind_from=kind.found_from,
        kind_open=kind.open,
        place=place,
        evidence=evidence,
        needs=needs,
        tool_names=ask.tools.names,
        text=asked_text(ask.messages),
        started_at=started_at,
        trail=read_trail(ask.messages, key) if key is not None and place.thread is not None else Trail(),
    )


def read_evidence(messages: Sequence[BaseMessage]) -> Evidence:
    """What earlier steps left in the conversation."""
    since_human = list(after_last_human(messages))
    results = [m for m in since_human if isinstance(m, ToolMessage)]
    return Evidence(
        turns=sum(m.type == "human" for m in messages),
        last_role=messages[-1].type if messages else None,
        tool_results=len(results),
        consecutive_errors=failed_at_the_end(since_human),
        repeated_call=repeats_a_call(since_human),
        last_model=last_model(messages),
        verdict=read_verdict(messages),
        holds_thoughts=holds_thoughts(messages),
    )


def read_verdict(messages: Sequence[BaseMessage]) -> Verdict | None:
    """How the tool calls fared whose results end the conversation; None if it ends otherwise."""
    results: list[bool] = []
    for message in reversed(messages):
        if isinstance(message, ToolMessage):
            results.append(message.status != "error")
        elif not results or not isinstance(message, AIMessage):
            return None
        else:
            return Verdict(step_id=step_of(message), good=sum(results) / len(results))
    return None


def holds_thoughts(messages: Sequence[BaseMessage]) -> bool:
    """Whether the conversation ends with results of tools that were called in a turn with thoughts.

    Another provider's model has to go on without these: Claude's signed thoughts, OpenAI's reasoning items, Gemini's
    thought signatures.
    """
    if not messages or not isinstance(messages[-1], ToolMessage):
        return False
    for message in reversed(messages):
        if isinstance(message, AIMessage):
            if not THOUGHTS.isdisjoint(message.additional_kwargs):
                return True
            return any(type_of(block) in THOUGHTS or "thought_signature" in block for block in blocks_of(message))
        if not isinstance(message, ToolMessage):
            return False
    return False


def blocks_of(message: BaseMessage) -> Iterator[dict[str, Any]]:
    """The blocks of a message's content; plain text has none."""
    if isinstance(message.content, list):
        yield from (block for block in message.content if isinstance(block, dict))


def type_of(block: Mapping[str, Any]) -> str:
    """What a block is."""
    return str(block.get("type", ""))


def after_last_human(messages: Sequence[BaseMessage]) -> Sequence[BaseMessage]:
    """The messages since the last human one."""
    for back, message in enumerate(reversed(messages)):
        if message.type == "human":
            return messages[len(messages) - back :]
    return messages


def failed_at_the_end(messages: Sequence[BaseMessage]) -> int:
    """How many rounds of tool calls failed in a row at the end; a round fails when every result in it did."""
    failed, round_results = 0, list[bool]()
    for message in reversed(messages):
        if isinstance(message, ToolMessage):
            round_results.append(message.status == "error")
        elif round_results:
            if not all(round_results):
                return failed
            failed, round_results = failed + 1, []
    return failed + 1 if round_results and all(round_results) else failed


def repeats_a_call(messages: Sequence[BaseMessage]) -> bool:
    """Whether the last round of tool calls holds a call that was made before with the same arguments."""
    rounds = [
        {signature(call["name"], call["args"]) for call in m.tool_calls}
        for m in messages
        if isinstance(m, AIMessage) and m.tool_calls
    ]
    return bool(rounds) and any(rounds[-1] & earlier for earlier in rounds[:-1])


def signature(name: str, args: Any) -> str:
    """The same text for the same call, whatever the order of its arguments."""
    try:
        return f"{name} {json.dumps(args, sort_keys=True, default=str)}"
    except (TypeError, ValueError, RecursionError):  # keys that do not sort, or a circle; nothing JSON ever brought
        return f"{name} {args!r}"


def last_model(messages: Sequence[BaseMessage]) -> str | None:
    """The candidate that wrote the last AI message, if a router of ours wrote it."""
    for message in reversed(messages):
        if isinstance(message, AIMessage):
            ours = message.response_metadata.get("steprouter")
            return ours.get("model") if isinstance(ours, Mapping) else None
    return None


def read_needs(ask: Ask) -> Needs:
    """What a model must be able to do to answer `ask`."""
    tools, choice = ask.tools, ask.tools.choice
    types = set(block_types(ask.messages))
    return Needs(
        tools=tools.may_be_called,
        parallel_tools=tools.options.get("parallel_tool_calls") is True,
        forced_tool=choice is not None and choice.mode in ("any", "tool"),
        json_schema=tools.response_format is not None,
        images=not types.isdisjoint(IMAGE_TYPES),
        audio=not types.isdisjoint(AUDIO_TYPES),
        files=not types.isdisjoint(FILE_TYPES),
        builtin_tools=tuple(str(tool.get("type") or next(iter(tool), "?")) for tool in tools.builtin),
        input_tokens=estimate_message_tokens(ask.messages) + tools.tokens,
        output_tokens=ask.output_limit,
    )


def block_types(messages: Sequence[BaseMessage]) -> Iterator[str]:
    """The types of all content blocks; plain text has none."""
    for message in messages:
        yield from map(type_of, blocks_of(message))
