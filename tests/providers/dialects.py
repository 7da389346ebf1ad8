"""Streams of other providers, as their APIs send them, for the real SDKs to read."""

from __future__ import annotations

import json
from typing import Any

from raw_server import head


def named(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def anthropic_start() -> bytes:
    message: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "cache_read_input_tokens": 4, "output_tokens": 1},
    }
    return head() + named("message_start", message=message)


def anthropic_block(index: int, block: dict[str, Any], *deltas: dict[str, Any]) -> bytes:
    said = b"".join(named("content_block_delta", index=index, delta=delta) for delta in deltas)
    start = named("content_block_start", index=index, content_block=block)
    return start + said + named("content_block_stop", index=index)


def anthropic_text(index: int, *words: str) -> bytes:
    deltas = ({"type": "text_delta", "text": word} for word in words)
    return anthropic_block(index, {"type": "text", "text": ""}, *deltas)


def anthropic_call(index: int, name: str, *parts: str) -> bytes:
    block = {"type": "tool_use", "id": f"toolu_{index}", "name": name, "input": {}}
    return anthropic_block(index, block, *({"type": "input_json_delta", "partial_json": part} for part in parts))


def anthropic_thought(index: int, thought: str) -> bytes:
    block = {"type": "thinking", "thinking": "", "signature": ""}
    deltas = ({"type": "thinking_delta", "thinking": thought}, {"type": "signature_delta", "signature": "SIG"})
    return anthropic_block(index, block, *deltas)


def anthropic_stop(reason: str = "end_turn") -> bytes:
    delta = {"stop_reason": reason, "stop_sequence": None}
    usage = {"input_tokens": 10, "cache_read_input_tokens": 4, "output_tokens": 7}
    return named("message_delta", delta=delta, usage=usage) + named("message_stop")


def response(status: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "gpt-x",
        "status": status,
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "error": None,
        "incomplete_details": None,
        **fields,
    }


def responses_text(*words: str) -> bytes:
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
    part = {"type": "output_text", "text": "", "annotations": []}
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    events = [
        named("response.created", sequence_number=0, response=response("in_progress")),
        named("response.output_item.added", sequence_number=1, output_index=0, item=item),
        named("response.content_part.added", sequence_number=2, part=part, **place),
    ]
    events += [
        named("response.output_text.delta", sequence_number=3 + n, delta=word, logprobs=[], **place)
        for n, word in enumerate(words)
    ]
    return head() + b"".join(events)


def responses_end(status: str = "completed", **fields: Any) -> bytes:
    usage = {
        "input_tokens": 5,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 7,
    }
    return named(f"response.{status}", sequence_number=99, response=response(status, usage=usage, **fields))
