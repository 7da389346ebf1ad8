"""LangChain chunks and messages as pieces of an answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk

from ..answering.answer import Delta, ToolPiece
from ..models.cost import Usage
from .call_places import CallPlaces

FINISH_KEYS = ("finish_reason", "stop_reason", "done_reason", "stopReason", "finishReason")
"""Where integrations put why the model stopped: OpenAI, Google, Mistral and most others; Anthropic; Ollama;
Bedrock's Converse; a few that pass on JSON as it comes."""

STATUS_KEY = "status"
"""OpenAI's Responses say it here: `completed`, or `incomplete` with a reason in `incomplete_details`."""

NOT_DETAILS = frozenset(
    {*FINISH_KEYS, STATUS_KEY, "id", "token_usage", "usage", "lc_gateway_metadata", "output_version"}
)
"""Metadata that is said elsewhere (finish, usage), that names one message, or that LangChain puts on itself."""

CALLS = frozenset({"tool_calls", "function_call"})
"""Additional arguments that repeat a tool call in a provider's older form; a call is said once."""


class ChunkReader:
    """Takes the chunks of one answer and gives pieces.

    Usage may come in several records, which add up as LangChain itself adds them; `close` gives their sum.
    What counts as a finish is a reason in the metadata, or the model's own mark of its last chunk, which
    models without reasons set (LangChain's fakes do). A stream with neither is not known to be whole, and
    stays without a finish.

    Attributes:
        said: A piece with content has been given.
        finished: A finish has been seen.
    """

    def __init__(self) -> None:
        self.said = False
        self.finished = False
        self._places = CallPlaces()
        self._usage: dict[str, Any] = {}
        self._logprobs: list[Any] = []
        self._details: dict[str, Any] = {}
        self._known: dict[str, Any] = {}  # many integrations repeat their metadata on every chunk

    def chunk(self, chunk: ChatGenerationChunk) -> Delta | None:
        """The piece a streamed chunk makes; None if it says nothing."""
        message = chunk.message
        text, blocks = content_of(message)
        tools: tuple[ToolPiece, ...] = ()
        is_last = False
        if isinstance(message, AIMessageChunk):
            if message.tool_call_chunks:
                tools = tuple([self.tool_piece(fragment) for fragment in message.tool_call_chunks])
            is_last = message.chunk_position == "last"
        self.count(message)
        metadata = message.response_metadata
        if chunk.generation_info:
            metadata = {**chunk.generation_info, **metadata}
        finish = self.finish(metadata, is_last=is_last) if metadata or is_last else None
        return self.piece(text, tools, blocks, finish, metadata, message.additional_kwargs)

    def whole(self, generation: ChatGeneration, llm_output: Mapping[str, Any] | None) -> Delta | None:
        """The piece an answer given at once makes. It counts as finished: it came whole or not at all."""
        message = generation.message
        text, blocks = content_of(message)
        tools: tuple[ToolPiece, ...] = ()
        if isinstance(message, AIMessage):
            said = [
                (call["id"], call["name"], json.dumps(call["args"], ensure_ascii=False, default=str))
                for call in message.tool_calls
            ]
            said += [(call["id"], call["name"] or "", call["args"] or "") for call in message.invalid_tool_calls]
            tools = tuple(ToolPiece(index, *fields) for index, fields in enumerate(said))
        self.count(message)
        metadata = {**(llm_output or {}), **(generation.generation_info or {}), **message.response_metadata}
        finish = self.finish(metadata, is_last=True)
        return self.piece(text, tools, blocks, finish, metadata, message.additional_kwargs)

    def close(self) -> list[Delta]:
        """The last piece, once the stream has ended: usage, and what was gathered on the way."""
        if self._logprobs:
            self._details["logprobs"] = {"content": self._logprobs}
        usage = Usage.from_langchain(self._usage) if self._usage else None
        details, self._details = self._details, {}
        return [Delta(usage=usage, details=details or None)] if usage is not None or details else []

    def piece(
        self,
        text: str,
        tools: tuple[ToolPiece, ...],
        blocks: tuple[dict[str, Any], ...],
        finish: str | None,
        metadata: Mapping[str, Any],
        extra: Mapping[str, Any],
    ) -> Delta | None:
        """A piece of these parts; metadata waits for a piece that says something, or for `close`."""
        for key, value in metadata.items():
            if key == "logprobs" and isinstance(value, Mapping) and isinstance(value.get("content"), list):
                self._logprobs += value["content"]
            elif key not in NOT_DETAILS and value is not None and self._known.get(key) != value:
                self._known[key] = self._details[key] = value
        if extra:
            extra = {key: value for key, value in extra.items() if key not in CALLS and value is not None}
        if not (text or tools or blocks or finish or extra):
            return None
        self.said = True
        details, self._details = self._details, {}
        return Delta(text, tools, blocks, finish, None, details or None, extra or None)

    def tool_piece(self, fragment: Mapping[str, Any]) -> ToolPiece:
        """A fragment of a tool call, under the index of its call."""
        call_id = fragment.get("id") or None
        index = self._places.place(fragment.get("index"), call_id)
        return ToolPiece(index, call_id, fragment.get("name") or None, fragment.get("args") or "")

    def count(self, message: BaseMessage) -> None:
        """Add a chunk's usage to what has come so far."""
        usage = getattr(message, "usage_metadata", None)
        # OpenAI's chunks with a response format end with a summary that repeats the whole usage.
        if usage and not (self.finished and usage == self._usage):
            self._usage = added(self._usage, usage)

    def finish(self, metadata: Mapping[str, Any], *, is_last: bool) -> str | None:
        """Why the model stopped, the first time it is said."""
        if self.finished:
            return None
        reason = finish_in(metadata) or ("stop" if is_last else None)
        self.finished = reason is not None
        return reason


def content_of(message: BaseMessage) -> tuple[str, tuple[dict[str, Any], ...]]:
    """Plain text of a content, and its blocks where it comes in blocks."""
    content = message.content
    if isinstance(content, str):
        return content, ()
    blocks = tuple({"type": "text", "text": block} if isinstance(block, str) else block for block in content)
    text = "".join(
        block["text"] for block in blocks if block.get("type") == "text" and isinstance(block.get("text"), str)
    )
    return text, blocks


def finish_in(metadata: Mapping[str, Any]) -> str | None:
    """The finish reason in an answer's metadata; None while there is none."""
    for key in FINISH_KEYS:
        if isinstance(reason := metadata.get(key), str) and reason:
            return reason
    status = metadata.get(STATUS_KEY)
    if status == "completed":
        return "completed"
    if status == "incomplete":
        details = metadata.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, Mapping) else None
        return str(reason) if reason else "incomplete"
    return None


def added(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Two usage records together, details included; what is no whole number is left out.

    LangChain's own `add_usage` raises for such values, and one bad figure must not cost an answer.
    """
    total = dict(one)
    for key, value in other.items():
        if isinstance(value, Mapping):
            before = total.get(key)
            total[key] = added(before if isinstance(before, Mapping) else {}, value)
        elif isinstance(value, int):
            before = total.get(key)
            total[key] = value + (before if isinstance(before, int) else 0)
    return total
