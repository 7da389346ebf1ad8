"""What goes out as Anthropic's Messages."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from .faults import ErrorEvent, Rejection, default_message, default_type
from .messages_admission import read_messages_request
from .reply import Usage
from .speech import Piece
from .wire import PROXY_PAGE, Answer, BlockKind, Group, Wire, bearer, block_of, event

STOP_REASONS = MappingProxyType(
    {"stop": "end_turn", "tool_calls": "tool_use", "length": "max_tokens", "content_filter": "refusal"}
)
TYPES = MappingProxyType(
    {
        401: "authentication_error",
        402: "billing_error",
        403: "permission_error",
        404: "not_found_error",
        413: "request_too_large",
        429: "rate_limit_error",
        504: "timeout_error",
        529: "overloaded_error",
    }
)
"""Error types by status, from Anthropic's page on errors; others are `invalid_request_error` or `api_error`."""

WORDS = MappingProxyType(
    {
        "content_filter": "Output blocked by content filtering policy",
        "context_length_exceeded": "prompt is too long: 208310 tokens > 200000 maximum",
        "invalid_api_key": "invalid x-api-key",
        "rate_limit_exceeded": "This request would exceed your account's rate limit. Please try again later.",
    }
)
"""What this API says for reasons that a script gives in OpenAI's codes; clients match on some of it."""

STREAM_ERRORS = MappingProxyType(
    {"server_error": "api_error", "rate_limit_exceeded": "rate_limit_error", "overloaded": "overloaded_error"}
)
STREAM_WORDS = MappingProxyType(
    {
        "api_error": "Internal server error",
        "overloaded_error": "Overloaded",
        "rate_limit_error": WORDS["rate_limit_exceeded"],
    }
)

SIGNATURE = "c2ltdWxhdGVk"
"""Stands for the signature of a thinking block, which is opaque to clients."""


def key(headers: Mapping[str, str]) -> str:
    """The key in `x-api-key`, or behind `Bearer`."""
    return headers.get("x-api-key") or bearer(headers)


def whole(answer: Answer) -> dict[str, Any]:
    """The message in one object."""
    said = answer.speech
    content = [block(answer, part) for part in answer.blocks]
    return {**envelope(answer), "content": content, **ending(answer), "usage": usage_json(said.usage)}


def envelope(answer: Answer) -> dict[str, Any]:
    """A message that has yet to be said."""
    named = {"id": answer.named("msg_"), "type": "message", "role": "assistant", "model": answer.request.model}
    return {**named, "content": [], "stop_reason": None, "stop_sequence": None}


def ending(answer: Answer) -> dict[str, Any]:
    """Why the message ended."""
    said = answer.speech
    reason = "stop_sequence" if said.stop_sequence else STOP_REASONS[said.finish_reason]
    return {"stop_reason": reason, "stop_sequence": said.stop_sequence}


def block(answer: Answer, part: tuple[BlockKind, int]) -> dict[str, Any]:
    """A whole content block."""
    kind, index = part
    match kind:
        case "reasoning":
            return {"type": "thinking", "thinking": answer.speech.reasoning, "signature": SIGNATURE}
        case "text":
            return {"type": "text", "text": answer.speech.text}
        case "call":
            call = answer.speech.tool_calls[index]
            return {"type": "tool_use", "id": call.id, "name": call.name, "input": as_input(call.arguments)}


def as_input(arguments: str) -> Any:
    """Arguments as an object; what is none is wrapped as Anthropic's guide to fine-grained streaming wraps it."""
    try:
        value = json.loads(arguments)
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {"INVALID_JSON": arguments}


def usage_json(usage: Usage) -> dict[str, Any]:
    """Usage in this format's names; here input tokens leave out what the cache served."""
    return {
        "input_tokens": usage.input_tokens - usage.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
        "service_tier": "standard",
    }


class Narrator:
    """Tells an answer event by event, opening and closing blocks as their pieces come."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._blocks = answer.blocks
        self._open: tuple[BlockKind, int] | None = None

    def opening(self) -> Group:
        """The message begins; a ping follows, as it may at any time."""
        used = {**usage_json(self._answer.speech.usage), "output_tokens": 1}
        begun = {**envelope(self._answer), "usage": used}
        return [typed("message_start", message=begun), typed("ping")]

    def piece(self, piece: Piece) -> Group:
        """One piece, after what ends the block before it and begins its own."""
        part = block_of(piece)
        turned = self.turn_to(part)
        match piece.kind:
            case "reasoning":
                return [*turned, self.delta(part, "thinking_delta", thinking=piece.text)]
            case "text":
                return [*turned, self.delta(part, "text_delta", text=piece.text)]
            case "call":
                return turned
            case "arguments":
                return [*turned, self.delta(part, "input_json_delta", partial_json=piece.text)]

    def closing(self) -> Group:
        """The end of the last block and of the message."""
        used = usage_json(self._answer.speech.usage)
        del used["service_tier"]
        ended = self.turn_to(None)
        return [*ended, typed("message_delta", delta=ending(self._answer), usage=used), typed("message_stop")]

    def turn_to(self, part: tuple[BlockKind, int] | None) -> Group:
        """The events that end the open block and begin another, unless that one is open already."""
        if part == self._open:
            return []
        ended = self.end(self._open) if self._open else []
        self._open = part
        return ended + (self.begin(part) if part else [])

    def begin(self, part: tuple[BlockKind, int]) -> Group:
        """An empty block appears."""
        empty = block(self._answer, part) | {"reasoning": {"thinking": "", "signature": ""}, "text": {"text": ""}}.get(
            part[0], {"input": {}}
        )
        return [typed("content_block_start", index=self._blocks.index(part), content_block=empty)]

    def end(self, part: tuple[BlockKind, int]) -> Group:
        """A block is complete; thoughts are signed."""
        signed = [self.delta(part, "signature_delta", signature=SIGNATURE)] if part[0] == "reasoning" else []
        return [*signed, typed("content_block_stop", index=self._blocks.index(part))]

    def delta(self, part: tuple[BlockKind, int], kind: str, **fields: str) -> bytes:
        """Something more of a block."""
        return typed("content_block_delta", index=self._blocks.index(part), delta={"type": kind, **fields})


def typed(kind: str, **fields: Any) -> bytes:
    """An event named by its type."""
    return event({"type": kind, **fields}, kind)


def stream(answer: Answer) -> Iterator[Group]:
    """The answer as events of blocks."""
    narrator = Narrator(answer)
    yield narrator.opening()
    for piece in answer.speech.pieces:
        yield narrator.piece(piece)
    yield narrator.closing()


def refusal(rejection: Rejection, request_id: str) -> dict[str, Any]:
    """This API's error body; what a script left to OpenAI's defaults is put in this API's words."""
    kind, message, status = rejection.type, rejection.message, rejection.status
    if kind == default_type(status):
        kind = TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    if message == default_message(status, rejection.code):
        message = WORDS.get(rejection.code or "", STREAM_WORDS.get(kind, message))
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id}


def error(answer: Answer, fault: ErrorEvent, number: int) -> bytes:
    """An error inside a stream."""
    kind = STREAM_ERRORS.get(fault.code, fault.code)
    message = fault.message or STREAM_WORDS.get(kind, fault.text)
    return typed("error", error={"type": kind, "message": message}, request_id=answer.named("req_"))


MESSAGES = Wire(
    format="messages",
    path="/v1/messages",
    id_header="request-id",
    key=key,
    read=read_messages_request,
    refusal=refusal,
    whole=whole,
    stream=stream,
    error=error,
    garbage=event(PROXY_PAGE, "content_block_delta"),
)
