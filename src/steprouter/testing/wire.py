"""What goes out: speech as OpenAI's chat completion objects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .reply import ToolCall, Usage
from .request import Request
from .speech import Piece, Speech


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """The envelope that all chunks of one answer share.

    Attributes:
        id: Identifies the answer.
        created: Unix seconds.
        request: What is answered.
        speech: What is said.
    """

    id: str
    created: int
    request: Request
    speech: Speech

    def whole(self) -> dict[str, Any]:
        """The answer in one object."""
        message: dict[str, Any] = {"role": "assistant", "content": self.speech.text or None, "refusal": None}
        if self.speech.reasoning:
            message["reasoning_content"] = self.speech.reasoning
        if self.speech.tool_calls:
            message["tool_calls"] = [whole_call(call) for call in self.speech.tool_calls]
        else:
            message["content"] = self.speech.text
        choice = {"message": message, "logprobs": None, "finish_reason": self.speech.finish_reason}
        choices = [{"index": index, **choice} for index in range(self.request.n)]
        return {**self.envelope("chat.completion"), "choices": choices, "usage": self.usage()}

    def opening(self) -> list[dict[str, Any]]:
        """The first chunk of each choice: its role."""
        content = None if self.speech.tool_calls and not self.speech.text else ""
        return self.chunks({"role": "assistant", "content": content})

    def piece(self, piece: Piece) -> list[dict[str, Any]]:
        """One piece as a chunk of each choice."""
        return self.chunks(delta(piece))

    def closing(self) -> list[dict[str, Any]]:
        """The chunks with the finish reason, and the one with usage if it was asked for."""
        last = self.chunks({}, finish_reason=self.speech.finish_reason)
        if self.request.include_usage:
            last.append({**self.envelope("chat.completion.chunk"), "choices": [], "usage": self.usage()})
        return last

    def chunks(self, delta: Mapping[str, Any], finish_reason: str | None = None) -> list[dict[str, Any]]:
        """A delta for each choice."""
        # With usage asked for, every chunk but the last has a null there; clients rely on the field.
        blank = {"usage": None} if self.request.include_usage else {}
        choice = {"delta": dict(delta), "logprobs": None, "finish_reason": finish_reason}
        return [
            {**self.envelope("chat.completion.chunk"), "choices": [{"index": index, **choice}], **blank}
            for index in range(self.request.n)
        ]

    def envelope(self, kind: str) -> dict[str, Any]:
        """The fields around the choices."""
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.request.model,
            "system_fingerprint": None,
        }

    def usage(self) -> dict[str, Any]:
        """The usage object; output is billed once for each choice."""
        return usage_json(self.speech.usage, choices=self.request.n)


def delta(piece: Piece) -> dict[str, Any]:
    """The changed part of a message that one piece brings."""
    match piece.kind:
        case "text":
            return {"content": piece.text}
        case "reasoning":
            return {"reasoning_content": piece.text}
        case "call":
            function = {"name": piece.text, "arguments": ""}
            opened = {"index": piece.index, "id": piece.id, "type": "function", "function": function}
            return {"tool_calls": [opened]}
        case "arguments":
            return {"tool_calls": [{"index": piece.index, "function": {"arguments": piece.text}}]}


def whole_call(call: ToolCall) -> dict[str, Any]:
    """A tool call of an answer that is not streamed."""
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def usage_json(usage: Usage, *, choices: int = 1) -> dict[str, Any]:
    """Usage in OpenAI's names."""
    output = usage.output_tokens * choices
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": output,
        "total_tokens": usage.input_tokens + output,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens * choices,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def event(value: Mapping[str, Any] | str) -> bytes:
    """One server-sent event."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"data: {text}\n\n".encode()
