"""What the simulated provider refuses, as the Responses and Messages APIs do."""

import json
import re
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steprouter.testing import Request
from steprouter.testing.admission import Rejected
from steprouter.testing.chat_wire import CHAT
from steprouter.testing.messages_admission import read_messages_request
from steprouter.testing.messages_wire import MESSAGES
from steprouter.testing.responses_admission import read_responses_request
from steprouter.testing.responses_wire import RESPONSES
from steprouter.testing.stage import admitted

USER = {"role": "user", "content": "Hello"}
VERSION = {"anthropic-version": "2023-06-01"}

ASKED = {"type": "function_call", "call_id": "c1", "name": "search", "arguments": "{}"}
FOUND = {"type": "function_call_output", "call_id": "c1", "output": "found"}
FUNCTION = {"type": "function", "name": "search", "parameters": {}}

USE = {"type": "tool_use", "id": "t1", "name": "search", "input": {}}
USES = {"role": "assistant", "content": [USE]}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "found"}
RESULTS = {"role": "user", "content": [RESULT]}
BUDGET = {"type": "enabled", "budget_tokens": 2_000}
CUSTOM = {"name": "search", "input_schema": {"type": "object"}}


def read_responses(**body: Any) -> Request:
    return read_responses_request(json.dumps({"model": "m", "input": "Hello", **body}).encode(), {})


def read_messages(**body: Any) -> Request:
    body = {"model": "m", "max_tokens": 9, "messages": [USER], **body}
    return read_messages_request(json.dumps(body).encode(), VERSION)


@pytest.mark.parametrize(
    ("body", "param", "said"),
    [
        ({"model": None}, "model", "Missing required parameter: 'model'"),
        ({"input": None}, "input", "must be provided"),
        ({"input": []}, "input", "must be provided"),
        ({"messages": [USER]}, "messages", "has moved to 'input'"),
        ({"max_tokens": 5}, "max_tokens", "has moved to 'max_output_tokens'"),
        ({"stop": ["x"]}, "stop", "Unknown parameter: 'stop'"),
        ({"previous_response_id": "resp_1"}, "previous_response_id", "'resp_1' not found"),
        ({"max_output_tokens": 15}, "max_output_tokens", "Expected a value >= 16"),
        ({"temperature": 3}, "temperature", "from 0 to 2"),
        ({"reasoning": {"effort": "ultra"}}, "reasoning.effort", "Supported values are: 'none', 'minimal'"),
        ({"input": ["hi"]}, "input[0].type", "None"),
        ({"input": [{"type": "web_search_call"}]}, "input[0].type", "'web_search_call'"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role", "'tool'"),
        ({"input": [{"role": "user"}]}, "input[0].content", "Missing"),
        ({"input": [{**USER, "content": [{"type": "text", "text": "x"}]}]}, "input[0].content[0].type", "'text'"),
        ({"input": [{**USER, "content": [{"type": "input_text"}]}]}, "input[0].content[0].text", "Missing"),
        ({"input": [{**USER, "type": "message", "id": "lc_1"}]}, "input[0].id", "begins with 'msg'"),
        ({"input": [USER, {**ASKED, "id": "call_1"}, FOUND]}, "input[1].id", "begins with 'fc'"),
        ({"input": [USER, {"type": "function_call", "call_id": "c1"}, FOUND]}, "input[1].name", "Missing"),
        ({"input": [USER, ASKED]}, "input", "No tool output found for function call c1"),
        ({"input": [USER, FOUND]}, "input", "No tool call found for function call output with call_id c1"),
        ({"input": [USER, {**ASKED, "call_id": "c" * 65}]}, "input[1].call_id", "maximum length 64"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type", "'web_search'"),
        ({"tools": [{"type": "function", "function": {"name": "x"}}]}, "tools[0].name", "Missing"),
        ({"tools": [{"type": "function", "name": "a b"}]}, "tools[0].name", "pattern"),
        ({"tool_choice": "required"}, "tool_choice", "not found"),
        ({"tools": [FUNCTION], "tool_choice": {"type": "function", "name": "other"}}, "tool_choice", "'other'"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type", "'xml'"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.name", "Missing"),
    ],
)
def test_responses_refuses_what_is_malformed_and_blames_the_field(body: Any, param: str, said: str) -> None:
    with pytest.raises(Rejected, match=re.escape(said)) as caught:
        read_responses(**body)
    assert (caught.value.rejection.status, caught.value.rejection.param) == (400, param)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"max_tokens": None}, "max_tokens: Field required"),
        ({"max_tokens": 0}, "max_tokens: Input should be greater"),
        ({"messages": []}, "messages: at least one message is required"),
        ({"stop": ["x"]}, "stop: Extra inputs are not permitted"),
        ({"temperature": 1.5}, "temperature: range: 0..1"),
        ({"stop_sequences": [" "]}, "must contain non-whitespace"),
        ({"messages": [{"role": "system", "content": "x"}]}, "top-level `system` parameter"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role: Input should be"),
        ({"messages": [{"role": "user"}]}, "messages.0.content: Field required"),
        ({"messages": [{"role": "user", "content": ""}]}, "must have non-empty content"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]}, "must be non-empty"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, 'must use the "user" role'),
        ({"messages": [USER, {"role": "assistant", "content": "x "}]}, "cannot end with trailing whitespace"),
        ({"messages": [{**USER, "content": [{"type": "image_url"}]}]}, "messages.0.content.0: Input tag 'image_url'"),
        (
            {"messages": [{**USER, "content": [{"type": "text", "text": "x", "index": 0}]}]},
            "messages.0.content.0.text.index: Extra inputs are not permitted",
        ),
        (
            {"messages": [USER, {"role": "assistant", "content": [{"type": "thinking", "thinking": "x"}]}, USER]},
            "messages.1.content.0.thinking.signature: Field required",
        ),
        ({"messages": [USER, USES]}, "messages.1: `tool_use` ids were found without `tool_result`"),
        ({"messages": [USER, USES, USER]}, "immediately after: t1"),
        (
            {"messages": [USER, USES, {"role": "user", "content": [{"type": "text", "text": "x"}, RESULT]}]},
            "immediately after: t1",
        ),
        ({"messages": [USER, RESULTS]}, "messages.1.content.0: unexpected `tool_use_id`"),
        (
            {"messages": [USER, {"role": "assistant", "content": [{**USE, "id": "a b"}]}, RESULTS]},
            "unexpected `tool_use_id`",
        ),
        (
            {
                "messages": [
                    USER,
                    {"role": "assistant", "content": [{**USE, "id": "a.b"}]},
                    {"role": "user", "content": [{**RESULT, "tool_use_id": "a.b"}]},
                ]
            },
            "messages.1.content.0.tool_use.id: String should match pattern",
        ),
        ({"tools": [{"type": "function", "function": {}}]}, "tools.0: Input tag 'function'"),
        ({"tools": [{"name": "a b", "input_schema": {}}]}, "tools.0.custom.name: String should match"),
        ({"tools": [{"name": "search"}]}, "tools.0.custom.input_schema: Field required"),
        ({"tools": [{"name": "search", "input_schema": {}}]}, "input_schema.type: Input should be 'object'"),
        ({"tool_choice": {"type": "any"}}, "may only be specified while providing tools"),
        ({"tools": [CUSTOM], "tool_choice": {"type": "tool", "name": "other"}}, "Tool 'other' not found"),
        ({"tools": [CUSTOM], "tool_choice": "auto"}, "tool_choice: Input tag 'None'"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format"),
        ({"output_config": {"budget": 1}}, "output_config.budget: Extra inputs are not permitted"),
        ({"output_config": {"effort": "none"}}, "output_config.effort: Input should be 'low'"),
        ({"thinking": {"type": "on"}}, "thinking: Input tag 'on'"),
        ({"thinking": {"type": "enabled"}}, "thinking.enabled.budget_tokens: Field required"),
        ({"thinking": {"type": "enabled", "budget_tokens": 9}}, "greater than or equal to 1024"),
        ({"thinking": BUDGET, "max_tokens": 2_000}, "`max_tokens` must be greater than `thinking.budget_tokens`"),
        ({"thinking": BUDGET, "max_tokens": 9_000, "temperature": 0}, "`temperature` may only be set to 1"),
        (
            {"thinking": BUDGET, "max_tokens": 9_000, "tools": [CUSTOM], "tool_choice": {"type": "any"}},
            "Thinking may not be enabled when tool_choice forces tool use",
        ),
        (
            {"thinking": BUDGET, "max_tokens": 9_000, "messages": [USER, USES, RESULTS]},
            "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`",
        ),
    ],
)
def test_messages_refuses_what_is_malformed_and_names_the_place(body: Any, said: str) -> None:
    with pytest.raises(Rejected, match=re.escape(said)) as caught:
        read_messages(**body)
    assert caught.value.rejection.status == 400


@pytest.mark.parametrize(
    "body",
    [
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}},
        {"thinking": {"type": "disabled"}, "messages": [USER, USES, RESULTS]},
        {"thinking": BUDGET, "max_tokens": 2_001},
        {"thinking": BUDGET, "max_tokens": 9_000, "messages": [USER, USES, RESULTS, {**USES, "content": "x"}, USER]},
    ],
)
def test_messages_takes_thoughts_that_are_well_configured(body: Any) -> None:
    request = read_messages(**body)
    assert request.extra["thinking"] == body["thinking"]
    assert request.extra.get("output_config") == body.get("output_config")


def test_messages_wants_to_know_the_version_of_its_api() -> None:
    with pytest.raises(Rejected, match="anthropic-version: header is required"):
        read_messages_request(b"{}", {})


def test_responses_are_read_into_the_shapes_of_chat_completions() -> None:
    thought = {"type": "reasoning", "id": "rs_1", "summary": []}
    said = {"role": "assistant", "content": [{"type": "output_text", "text": "Let me look.", "annotations": []}]}
    request = read_responses(
        input=[USER, thought, said, ASKED, {**ASKED, "call_id": "c2"}, FOUND, {**FOUND, "call_id": "c2"}],
        instructions="Be brief.",
        tools=[FUNCTION],
        text={"format": {"type": "json_schema", "name": "x", "schema": {}} | {"schema": {"type": "object"}}},
    )
    roles = [message["role"] for message in request.messages]
    assert roles == ["system", "user", "assistant", "tool", "tool"]
    assert [made["id"] for made in request.messages[2]["tool_calls"]] == ["c1", "c2"]
    assert request.tools == ({"type": "function", "function": {"name": "search", "parameters": {}}},)
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    assert (request.response_format, request.format) == (wanted, "responses")


def test_messages_are_read_into_the_shapes_of_chat_completions() -> None:
    more = {"role": "user", "content": [RESULT, {"type": "text", "text": "And dogs?"}]}
    request = read_messages(
        messages=[USER, USES, more],
        system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        tools=[CUSTOM],
        tool_choice={"type": "any"},
        stop_sequences=["END"],
        top_k=5,
    )
    roles = [message["role"] for message in request.messages]
    assert roles == ["system", "user", "assistant", "tool", "user"]
    assert (request.prompt, request.tool_choice, request.stop) == ("And dogs?", "required", ("END",))
    assert (request.extra, request.format) == ({"top_k": 5}, "messages")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 20) | st.sampled_from(["", "user", "text", "tool_use", "message"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["role", "content", "type", "text", "id", "name", "input", "format", "tool_use_id", "call_id"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
FIELDS = ("messages", "input", "tools", "tool_choice", "system", "text", "output_config", "stop_sequences", "reasoning")


@given(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4))
def test_any_json_is_either_admitted_or_refused_and_never_breaks_the_server(body: dict[str, Any]) -> None:
    for wire in (CHAT, RESPONSES, MESSAGES):
        for base in ({"model": "m"}, {"model": "m", "max_tokens": 9, "messages": [USER]}, {"model": "m", "input": "x"}):
            with suppress(Rejected):
                assert admitted(wire, json.dumps({**base, **body}).encode(), VERSION).format == wire.format
