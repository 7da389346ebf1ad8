"""What is asked, as OpenAI's Responses wants it."""

from typing import Any

import pytest
from hearing import both_ways, card, heard
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.tool import tool_call

from steprouter.errors import ConfigError
from steprouter.models.card import Abilities
from steprouter.providers.responses import ResponsesWire
from steprouter.providers.responses_input import input_items
from steprouter.providers.responses_request import request_body
from steprouter.step.ask import Ask, Toolset
from steprouter.testing import SimulatedProvider, say

OWN = {"model_provider": "openai", "model_name": "gpt-x-2026-01-01"}
PIXEL = "iVBORw0KGgo="
CALL = {"id": "call_1", "name": "look", "args": {"at": "sky"}}


def items(*messages: BaseMessage, stored: bool = False) -> list[dict[str, Any]]:
    return input_items(messages, "gpt-x", stored=stored)


def body(ask: Ask | None = None, **fields: Any) -> dict[str, Any]:
    given = card("http://h/v1", **{"model": "gpt-x", "api": "responses", **fields})
    return request_body(given, ask or Ask(messages=(HumanMessage("Hi"),)))


def asked(**settings: Any) -> Ask:
    return Ask(messages=(HumanMessage("Hi"),), settings=settings)


def user(*content: Any) -> list[dict[str, Any]]:
    return [{"type": "message", "role": "user", "content": list(content)}]


def test_words_of_every_role_become_messages() -> None:
    said = items(
        SystemMessage("Be brief."),
        SystemMessage("Be kind.", additional_kwargs={"__openai_role__": "developer"}),
        ChatMessage(content="Hear me.", role="user"),
        HumanMessage([{"type": "text", "text": "a"}, "b"], name="Bob"),
    )
    assert [(item["role"], item["content"]) for item in said] == [
        ("system", "Be brief."),
        ("developer", "Be kind."),
        ("user", "Hear me."),
        ("user", "a\nb"),
    ]


@pytest.mark.parametrize(
    ("block", "part"),
    [
        (
            {"type": "image", "base64": PIXEL, "mime_type": "image/png"},
            {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}", "detail": "auto"},
        ),
        (
            {"type": "image_url", "image_url": {"url": "https://h/i.png", "detail": "low"}},
            {"type": "input_image", "image_url": "https://h/i.png", "detail": "low"},
        ),
        (
            {"type": "file", "base64": "JVBER", "mime_type": "application/pdf", "filename": "a.pdf"},
            {"type": "input_file", "file_data": "data:application/pdf;base64,JVBER", "filename": "a.pdf"},
        ),
        ({"type": "file", "url": "https://h/a.pdf"}, {"type": "input_file", "file_url": "https://h/a.pdf"}),
        ({"type": "file", "file_id": "file-1"}, {"type": "input_file", "file_id": "file-1"}),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
            {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}", "detail": "auto"},
        ),
        (
            {"type": "input_image", "image_url": "https://h/i.png"},
            {"type": "input_image", "image_url": "https://h/i.png"},
        ),
    ],
)
def test_images_and_files_of_every_shape_become_input_parts(block: dict[str, Any], part: dict[str, Any]) -> None:
    both = items(HumanMessage([{"type": "text", "text": "See:"}, block]))
    assert both == user({"type": "input_text", "text": "See:"}, part)


def test_calls_and_results_are_items_that_name_each_other() -> None:
    result = ToolMessage("not found", tool_call_id="call_1", status="error")
    assert items(AIMessage("I look.", tool_calls=[CALL]), result) == [
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "I look.", "annotations": []}],
        },
        {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": '{"at": "sky"}'},
        {"type": "function_call_output", "call_id": "call_1", "output": "not found"},
    ]


def test_a_result_may_hold_images_and_broken_calls_keep_their_words() -> None:
    broken = {"id": "c", "name": "f", "args": '{"a', "error": None, "type": "invalid_tool_call"}
    image = {"type": "image_url", "image_url": "https://h/i.png"}
    said = items(AIMessage("", invalid_tool_calls=[broken]), ToolMessage([image], tool_call_id="c"))
    assert said[0]["arguments"] == '{"a'
    assert said[1]["output"] == [{"type": "input_image", "image_url": "https://h/i.png", "detail": "auto"}]


def spoken(**metadata: Any) -> AIMessage:
    content: list[str | dict[Any, Any]] = [
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"index": 0, "type": "summary_text", "text": "Hm."}],
            "encrypted_content": "SEAL",
            "index": 0,
        },
        {"type": "text", "text": "I look.", "id": "msg_1", "phase": "commentary", "index": 1},
        {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "look", "arguments": '{"at":"sky"}'},
    ]
    return AIMessage(content, tool_calls=[CALL], response_metadata=metadata)


def test_a_models_own_thoughts_go_back_sealed_and_in_their_place() -> None:
    thought, words, called = items(spoken(**OWN))
    summary = [{"type": "summary_text", "text": "Hm."}]
    assert thought == {"type": "reasoning", "id": "rs_1", "summary": summary, "encrypted_content": "SEAL"}
    assert (words["phase"], "id" in words) == ("commentary", False)
    assert called == {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": '{"at":"sky"}'}


def test_ids_go_back_where_the_provider_knows_them() -> None:
    assert [item["id"] for item in items(spoken(**OWN), stored=True)] == ["rs_1", "msg_1", "fc_1"]


@pytest.mark.parametrize("writer", [{}, {**OWN, "model_name": "gpt-y"}, {**OWN, "model_provider": "anthropic"}])
def test_thoughts_and_ids_of_another_model_are_left_out(writer: dict[str, Any]) -> None:
    said = items(spoken(**writer), stored=True)
    assert [(item["type"], "id" in item) for item in said] == [("message", False), ("function_call", False)]


def test_a_thought_without_a_seal_or_without_anything_after_it_is_left_out() -> None:
    unsealed = {"type": "reasoning", "id": "rs_1", "summary": []}
    sealed = {**unsealed, "encrypted_content": "SEAL"}
    said = items(AIMessage([unsealed, "Hi", sealed], response_metadata=OWN))
    assert [item["type"] for item in said] == ["message"]


def test_calls_that_were_changed_after_they_were_said_go_out_as_they_are_now() -> None:
    message = spoken(**OWN)
    message.tool_calls = [tool_call(id="call_1", name="look", args={"at": "sea"})]
    assert items(message)[-1]["arguments"] == '{"at": "sea"}'
    message.tool_calls = []
    assert [item["type"] for item in items(message)] == ["reasoning", "message"]


def test_langchains_standard_blocks_say_the_same_as_the_native_ones() -> None:
    native = spoken(**OWN)
    standard = native.model_copy(update={"content": native.content_blocks})
    thought, words, called = items(native)
    assert items(standard)[0] == thought
    assert items(standard)[1]["content"] == words["content"]
    assert items(standard)[2] == {**called, "arguments": '{"at": "sky"}'}


def test_a_refusal_goes_back_as_one() -> None:
    said = items(AIMessage("", additional_kwargs={"refusal": "I won't."}))
    assert said[0]["content"] == [{"type": "refusal", "refusal": "I won't."}]


def test_a_message_without_a_form_here_is_refused() -> None:
    with pytest.raises(ConfigError, match="FunctionMessage"):
        items(FunctionMessage(content="x", name="f"))


def test_nothing_is_stored_unless_it_is_asked_for() -> None:
    assert body() == {
        "model": "gpt-x",
        "stream": True,
        "store": False,
        "input": [{"type": "message", "role": "user", "content": "Hi"}],
    }
    assert body(settings={"store": True})["store"] is True
    assert (body(settings={"background": True})["store"], body(settings={"background": True})["background"]) == (
        True,
        True,
    )


def test_models_that_think_are_asked_for_their_sealed_thoughts() -> None:
    assert body(abilities=Abilities(reasoning=True))["include"] == ["reasoning.encrypted_content"]
    assert body(asked(reasoning_effort="low"))["include"] == ["reasoning.encrypted_content"]
    assert "include" not in body(abilities=Abilities(reasoning=True), settings={"store": True})


def test_settings_of_chat_completions_are_said_in_this_apis_words() -> None:
    said = body(
        asked(max_tokens=300, reasoning_effort="low", verbosity="low", temperature=0.2, seed=3, logprobs=True),
        settings={"prompt_cache_key": "k", "timeout": 3},
    )
    named = {key: said[key] for key in ("max_output_tokens", "reasoning", "text", "temperature", "prompt_cache_key")}
    assert named == {
        "max_output_tokens": 300,
        "reasoning": {"effort": "low"},
        "text": {"verbosity": "low"},
        "temperature": 0.2,
        "prompt_cache_key": "k",
    }
    assert said["include"] == ["reasoning.encrypted_content", "message.output_text.logprobs"]
    assert said.keys().isdisjoint({"max_tokens", "seed", "verbosity", "logprobs", "timeout", "reasoning_effort"})


@pytest.mark.parametrize(("given", "sent"), [(5, 16), (16, 16), (-1, None), (None, None)])
def test_a_limit_is_no_lower_than_the_api_takes(given: int | None, sent: int | None) -> None:
    assert body(asked(max_tokens=given)).get("max_output_tokens") == sent


def test_a_call_with_stop_sequences_is_not_made_in_the_background() -> None:
    ask = Ask(messages=(HumanMessage("Hi"),), stop=("X",))
    said = body(ask, settings={"background": True})
    assert (said["store"], "background" in said, "stop" in said) == (False, False, False)


def test_tools_are_flat_and_strict_only_where_they_say_so() -> None:
    schema = {"title": "look", "description": "Looks.", "type": "object", "properties": {"at": {"type": "string"}}}
    search = {"type": "web_search"}
    tools = Toolset.of([schema, search], tool_choice="any", options={"parallel_tool_calls": False})
    said = body(Ask(messages=(HumanMessage("Hi"),), tools=tools))
    parameters = {"type": "object", "properties": {"at": {"type": "string"}}}
    look = {"type": "function", "name": "look", "description": "Looks.", "parameters": parameters, "strict": False}
    assert said["tools"] == [look, search]
    assert (said["tool_choice"], said["parallel_tool_calls"]) == ("required", False)
    strict = Toolset.of([schema], tool_choice="look", options={"strict": True})
    said = body(Ask(messages=(HumanMessage("Hi"),), tools=strict))
    assert (said["tools"][0]["strict"], said["tool_choice"]) == (True, {"type": "function", "name": "look"})


def test_a_response_format_is_the_format_of_the_text() -> None:
    schema = {"title": "Point", "type": "object", "properties": {"x": {"type": "integer"}}}
    formed = body(Ask(messages=(HumanMessage("Hi"),), tools=Toolset.of([], response_format=schema)))["text"]["format"]
    assert (formed["type"], formed["name"], formed["schema"]["properties"]) == (
        "json_schema",
        "Point",
        {"x": {"type": "integer"}},
    )
    assert body(asked(response_format={"type": "json_object"}))["text"] == {"format": {"type": "json_object"}}


@both_ways
async def test_thoughts_images_and_results_are_taken_by_a_server_of_this_api(way: str) -> None:
    picture = {"type": "image", "base64": PIXEL, "mime_type": "image/png"}
    messages = (
        SystemMessage("Be brief."),
        HumanMessage(["See:", picture]),
        spoken(**OWN),
        ToolMessage("blue", tool_call_id="call_1"),
    )
    with SimulatedProvider({"gpt-x": say("It is blue.")}) as provider:
        wire = ResponsesWire(card(provider.url, model="gpt-x", api="responses"))
        await heard(wire, way, Ask(messages=messages))
        roles = [message["role"] for message in provider.requests[0].messages]
        assert (roles, provider.requests[0].image_count) == (["system", "user", "assistant", "tool"], 1)
