"""What the simulated provider refuses, as OpenAI's API does."""

import json
import re
from typing import Any

import pytest

from steprouter.testing.admission import Rejected, read_request

USER = {"role": "user", "content": "Hello"}
TOOL = {"type": "function", "function": {"name": "search", "parameters": {}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "search", "arguments": "{}"}}
ASKS = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "found"}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}


def read(**body: Any) -> Any:
    return read_request(json.dumps({"model": "m", "messages": [USER], **body}).encode(), {})


@pytest.mark.parametrize(
    ("body", "param", "said"),
    [
        ({"model": None}, None, "must provide a model"),
        ({"messages": None}, "messages", "Missing required parameter"),
        ({"messages": []}, "messages", "empty array"),
        ({"messages": ["hi"]}, "messages[0].role", "Invalid value"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role", "'robot'"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content", "got null"),
        ({"messages": [{"role": "assistant", "content": None}]}, "messages[0].content", "got null"),
        ({"messages": [{**USER, "name": "John Doe"}]}, "messages[0].name", "pattern"),
        (
            {"messages": [{"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}]}]},
            "messages[0].content[0].type",
            "'thinking'",
        ),
        (
            {"messages": [{"role": "system", "content": [IMAGE]}]},
            "messages[0].content[0].type",
            "'image_url'",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "messages[0].content[0]",
            "Missing",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {}}]}]},
            "messages[0].content[0].cache_control",
            "Unknown parameter",
        ),
        ({"messages": [USER, RESULT]}, "messages.[1].role", "must be a response to"),
        ({"messages": [USER, ASKS, RESULT, RESULT]}, "messages.[3].role", "must be a response to"),
        ({"messages": [USER, ASKS]}, "messages.[1]", "did not have response messages: c1"),
        ({"messages": [USER, ASKS, USER]}, "messages.[1]", "did not have response messages: c1"),
        (
            {"messages": [{**ASKS, "tool_calls": [{**CALL, "id": "c" * 41}]}]},
            "messages[0].tool_calls[0].id",
            "maximum length 40",
        ),
        (
            {"messages": [{**ASKS, "tool_calls": [{**CALL, "function": {"name": "f", "arguments": {}}}]}]},
            "messages[0].tool_calls[0].function.arguments",
            "expected a string",
        ),
        ({"messages": [{**ASKS, "tool_calls": ["c1"]}]}, "messages[0].tool_calls[0]", "Missing"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name", "pattern"),
        ({"tool_choice": "auto"}, "tool_choice", "only allowed when 'tools'"),
        ({"tools": [TOOL], "tool_choice": "any"}, "tool_choice", "'any' not found"),
        (
            {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "other"}}},
            "tool_choice",
            "'other' not found",
        ),
        ({"response_format": {"type": "xml"}}, "response_format.type", "'xml'"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema.name", "Missing"),
        ({"response_format": {"type": "json_object"}}, "messages", "must contain the word 'json'"),
        ({"temperature": 3}, "temperature", "from 0 to 2"),
        ({"reasoning_effort": "ultra"}, "reasoning_effort", "'none', 'minimal', 'low'"),
        ({"n": 0}, "n", "from 1 to 128"),
        ({"max_tokens": True}, "max_tokens", "got True"),
        ({"stop": ["1", "2", "3", "4", "5"]}, "stop", "up to 4 strings"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "when 'stream' is enabled"),
    ],
)
def test_a_malformed_request_is_refused_naming_the_field(body: dict[str, Any], param: str | None, said: str) -> None:
    with pytest.raises(Rejected, match=re.escape(said)) as refused:
        read(**body)
    rejection = refused.value.rejection
    assert (rejection.status, rejection.type, rejection.param) == (400, "invalid_request_error", param)


@pytest.mark.parametrize("raw", [b"{", b"[]", b"\xff"])
def test_a_body_that_is_no_json_object_is_refused(raw: bytes) -> None:
    with pytest.raises(Rejected, match="JSON body"):
        read_request(raw, {})


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [USER, ASKS, RESULT, USER]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "look"}, IMAGE]}]},
        {"messages": [USER, {"role": "assistant", "content": None, "refusal": "No."}]},
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "search"}}},
        {"tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False},
        {"tools": []},
        {"response_format": SCHEMA},
        {"messages": [{"role": "user", "content": "As JSON"}], "response_format": {"type": "json_object"}},
        {"temperature": None, "max_tokens": None, "stop": None, "n": None, "tools": None},
    ],
)
def test_what_the_real_api_accepts_is_admitted(body: dict[str, Any]) -> None:
    assert read(**body).model == "m"


def test_images_are_counted_over_all_messages() -> None:
    picture = {"role": "user", "content": [{"type": "text", "text": "look"}, IMAGE, IMAGE]}
    request = read(messages=[picture, {"role": "assistant", "content": "Nice."}, picture])
    assert (request.image_count, request.prompt) == (4, "look")


def test_either_field_for_the_token_limit_is_read() -> None:
    assert read(max_tokens=5).max_tokens == 5
    assert read(max_completion_tokens=6).max_tokens == 6
    assert read().max_tokens is None
