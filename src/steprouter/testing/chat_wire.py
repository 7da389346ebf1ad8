"""What goes out as OpenAI's Chat Completions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .admission import read_request
from .faults import ErrorEvent, Rejection
from .reply import ToolCall, Usage
from .speech import Piece
from .wire import PROXY_PAGE, Answer, Group, Wire, bearer, event


def whole(answer: Answer) -> dict[str, Any]:
    """The answer in one object."""
    speech = answer.speech
    message: dict[str, Any] = {"role": "assistant", "content": speech.text or None, "refusal": None}
    if speech.reasoning:
        message["reasoning_content"] = speech.reasoning
    if speech.tool_calls:
        message["tool_calls"] = [whole_call(call) for call in speech.tool_calls]
    else:
        message["content"] = speech.text
    choice = {"message": message, "logprobs": None, "finish_reason": speech.finish_reason}
    choices = [{"index": index, **choice} for index in range(answer.request.n)]
    return {**envelope(answer, "chat.completion"), "choices": choices, "usage": usage(answer)}


def stream(answer: Answer) -> Iterator[Group]:
    """The role, then the pieces, then finish reason and, if it was asked for, usage."""
    content = None if answer.speech.tool_calls and not answer.speech.text else ""
    yield chunks(answer, {"role": "assistant", "content": content})
    for piece in answer.speech.pieces:
        yield chunks(answer, delta(piece))
    last = chunks(answer, {}, finish_reason=answer.speech.finish_reason)
    if answer.request.include_usage:
        last.append(event({**envelope(answer, "chat.completion.chunk"), "choices": [], "usage": usage(answer)}))
    yield [*last, event("[DONE]")]


def chunks(answer: Answer, delta: Mapping[str, Any], finish_reason: str | None = None) -> Group:
    """A delta for each choice."""
    # With usage asked for, every chunk but the last has a null there; clients rely on the field.
    blank = {"usage": None} if answer.request.include_usage else {}
    choice = {"delta": dict(delta), "logprobs": None, "finish_reason": finish_reason}
    around = envelope(answer, "chat.completion.chunk")
    return [event({**around, "choices": [{"index": index, **choice}], **blank}) for index in range(answer.request.n)]


def envelope(answer: Answer, kind: str) -> dict[str, Any]:
    """The fields around the choices, the same for all chunks of an answer."""
    return {
        "id": f"chatcmpl-{answer.request.model}-{answer.request.call}",
        "object": kind,
        "created": answer.created,
        "model": answer.request.model,
        "system_fingerprint": None,
    }


def usage(answer: Answer) -> dict[str, Any]:
    """The usage object; output is billed once for each choice."""
    return usage_json(answer.speech.usage, choices=answer.request.n)


def refusal(rejection: Rejection, request_id: str) -> dict[str, Any]:
    """OpenAI's error body; the request's name is in a header only."""
    return rejection.body


def error(answer: Answer, fault: ErrorEvent, number: int) -> bytes:
    """An error inside a stream: the error body as an event."""
    said = {"message": fault.text, "type": "server_error", "param": None, "code": fault.code}
    return event({"error": said})


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


CHAT = Wire(
    format="chat",
    path="/v1/chat/completions",
    id_header="x-request-id",
    key=bearer,
    read=read_request,
    refusal=refusal,
    whole=whole,
    stream=stream,
    error=error,
    garbage=event(PROXY_PAGE),
)
