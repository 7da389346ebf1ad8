"""What goes out: messages, tools, formats and settings in OpenAI's words."""

import json
from typing import Any, TypedDict

import pytest
from hearing import ASK, card
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.tools import tool
from pydantic import BaseModel

from steprouter.errors import ConfigError
from steprouter.models.card import Abilities
from steprouter.providers.chat_request import encoded, request_body, wire_format
from steprouter.providers.openai_messages import wire_messages
from steprouter.step.ask import Ask, Toolset

PNG = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}


@tool
def search(query: str) -> str:
    """Search the web."""
    return query


class Person(BaseModel):
    """A person."""

    name: str


class Place(TypedDict):
    """A place."""

    name: str


def body(tools: Toolset | None = None, said: dict[str, Any] | None = None, **defaults: Any) -> dict[str, Any]:
    ask = Ask(messages=ASK.messages, tools=tools or Toolset(), settings=said or {})
    return request_body(card("http://h/v1", settings=defaults), ask)


PARTIAL = AIMessage("Once upon a")


def going_on(*messages: BaseMessage, base_url: str = "http://h/v1", **fields: Any) -> dict[str, Any]:
    """What is sent to a model that goes on from partial turns."""
    able = card(base_url, **{"abilities": Abilities(prefill=True), **fields})
    return request_body(able, Ask(messages=(*ASK.messages, *messages)))


def wired(message: BaseMessage) -> Any:
    (one,) = wire_messages([message])
    return one


def test_a_conversation_with_tools_keeps_roles_ids_and_arguments() -> None:
    call = {"id": "c1", "name": "search", "args": {"query": "é"}}
    messages = [
        SystemMessage("Be brief."),
        HumanMessage("Find é.", name="Jo Do"),
        AIMessage("", tool_calls=[call]),
        ToolMessage("none", tool_call_id="c1", status="error"),
    ]
    function = {"name": "search", "arguments": '{"query": "é"}'}
    assert wire_messages(messages) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Find é.", "name": "Jo_Do"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"type": "function", "id": "c1", "function": function}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "none"},
    ]


def test_broken_calls_go_out_as_they_were_said() -> None:
    broken = {"id": "c1", "name": "search", "args": '{"q', "error": None, "type": "invalid_tool_call"}
    (call,) = wired(AIMessage("Hm", invalid_tool_calls=[broken]))["tool_calls"]
    assert call["function"] == {"name": "search", "arguments": '{"q'}


def test_calls_that_only_stand_in_additional_kwargs_are_sent() -> None:
    raw = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{"}, "index": 0}
    sent = wired(AIMessage("", additional_kwargs={"tool_calls": [raw]}))["tool_calls"]
    assert [call["id"] for call in sent] == ["c1"]


def test_blocks_that_only_their_provider_understands_are_left_out() -> None:
    blocks: list[str | dict[str, Any]] = [
        {"type": "thinking", "thinking": "Hm", "signature": "s"},
        {"type": "reasoning", "reasoning": "Hm"},
        {"type": "text", "text": "Yes", "cache_control": {"type": "ephemeral"}, "citations": []},
        {"type": "tool_use", "id": "c1", "name": "f", "input": {}},
        {"type": "server_tool_use", "id": "s1"},
        "!",
    ]
    assert wired(AIMessage(blocks)) == {"role": "assistant", "content": "Yes!"}


@pytest.mark.parametrize(
    "block",
    [
        PNG,
        {"type": "image_url", "image_url": "data:image/png;base64,AA=="},
        {"type": "image", "base64": "AA==", "mime_type": "image/png"},
        {"type": "image", "source_type": "base64", "data": "AA==", "mime_type": "image/png"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
    ],
)
def test_an_image_in_any_known_shape_becomes_an_image_url(block: dict[str, Any]) -> None:
    sent = wired(HumanMessage([{"type": "text", "text": "See"}, block]))
    assert sent["content"] == [{"type": "text", "text": "See"}, PNG]


def test_audio_and_files_are_passed_on_in_openais_shape() -> None:
    audio = {"type": "audio", "base64": "AA==", "mime_type": "audio/wav"}
    file = {"type": "file", "base64": "AA==", "mime_type": "application/pdf"}
    by_id = {"type": "file", "file_id": "f1"}
    assert wired(HumanMessage([audio, file, by_id]))["content"] == [
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "file.pdf"}},
        {"type": "file", "file": {"file_id": "f1"}},
    ]


def test_a_file_by_address_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(ConfigError, match="base64"):
        wire_messages([HumanMessage([{"type": "file", "url": "https://example.org/a.pdf"}])])


def test_text_in_several_blocks_becomes_plain_text() -> None:
    blocks: list[str | dict[str, Any]] = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert [wired(kind(blocks))["content"] for kind in (SystemMessage, HumanMessage)] == ["a\nb", "a\nb"]


def test_tool_results_inside_a_human_message_become_tool_messages() -> None:
    result = {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "42"}]}
    assert wire_messages([HumanMessage([result, {"type": "text", "text": "Go on"}])]) == [
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
        {"role": "user", "content": "Go on"},
    ]


def test_roles_given_by_hand_are_kept_and_other_messages_refused() -> None:
    assert wired(ChatMessage(content="x", role="critic")) == {"role": "critic", "content": "x"}
    with pytest.raises(ConfigError, match="RemoveMessage"):
        wire_messages([RemoveMessage(id="1")])


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("auto", "auto"),
        ("any", "required"),
        (True, "required"),
        ("none", "none"),
        ("search", {"type": "function", "function": {"name": "search"}}),
    ],
)
def test_every_tool_choice_is_said_in_openais_words(given: object, sent: object) -> None:
    assert body(Toolset.of([search], tool_choice=given))["tool_choice"] == sent


def test_tools_bring_strict_and_parallel_calls_where_they_were_asked_for() -> None:
    options = {"strict": True, "parallel_tool_calls": False}
    builtin = {"type": "web_search"}
    sent = body(Toolset.of([search, builtin], options=options))
    assert (sent["tools"][0]["function"]["strict"], sent["tools"][1]) == (True, builtin)
    assert (sent["parallel_tool_calls"], "strict" in sent) == (False, False)


def test_without_tools_nothing_about_tools_is_said() -> None:
    sent = body(Toolset.of([], tool_choice="auto", options={"parallel_tool_calls": False}))
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & sent.keys()


@pytest.mark.parametrize(
    ("given", "name"), [(Person, "Person"), (Place, "Place"), (Person.model_json_schema(), "Person")]
)
def test_a_class_or_schema_becomes_a_response_format(given: Any, name: str) -> None:
    inner = wire_format(given)["json_schema"]
    assert (inner["name"], list(inner["schema"]["properties"])) == (name, ["name"])


@pytest.mark.parametrize(
    "given", [{"type": "json_object"}, {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}]
)
def test_a_format_in_openais_shape_stays_as_it_is(given: dict[str, Any]) -> None:
    assert body(Toolset.of([], response_format=given))["response_format"] == given


def test_what_is_no_format_is_refused_with_a_way_out() -> None:
    with pytest.raises(ConfigError, match="response_format must be"):
        wire_format(7)


def test_settings_of_the_call_win_over_options_and_over_the_cards() -> None:
    tools = Toolset.of([search], options={"seed": 2, "top_p": 0.8})
    sent = body(tools, {"seed": 3, "model": "other", "max_tokens": None}, temperature=0.5, seed=1, top_p=0.9)
    assert (sent["temperature"], sent["seed"], sent["top_p"], sent["model"]) == (0.5, 3, 0.8, "other")
    assert "max_tokens" not in sent


def test_every_answer_is_streamed_with_its_usage_whatever_was_set() -> None:
    sent = body(
        None, {"stream": False, "n": 3, "stream_options": {}, "timeout": 3, "extra_body": {"cache_prompt": False}}
    )
    assert (sent["stream"], sent["stream_options"]) == (True, {"include_usage": True})
    assert (sent["cache_prompt"], "n" in sent, "timeout" in sent) == (False, False, False)


def test_stop_sequences_come_from_the_ask_or_else_from_settings() -> None:
    ask = Ask(messages=ASK.messages, stop=("END",), settings={"stop": ["x"]})
    assert request_body(card("http://h/v1"), ask)["stop"] == ["END"]
    assert body(None, {"stop": ["x"]})["stop"] == ["x"]


@pytest.mark.parametrize(
    ("base_url", "mark"),
    [
        ("https://api.mistral.ai/v1", {"prefix": True}),
        ("https://api.deepseek.com/beta", {"prefix": True}),
        ("https://dashscope.aliyuncs.com/compatible-mode/v1", {"partial": True}),
        ("https://api.moonshot.ai/v1", {"partial": True}),
        ("https://openrouter.ai/api/v1", {}),
        ("http://127.0.0.1:8080/v1", {}),
    ],
)
def test_a_partial_turn_is_marked_as_its_server_has_it(base_url: str, mark: dict[str, Any]) -> None:
    sent = going_on(PARTIAL, base_url=base_url)
    assert sent["messages"][-1] == {"role": "assistant", "content": "Once upon a", **mark}
    assert "continue_final_message" not in sent


def test_servers_that_are_told_beside_the_messages_are_told_there() -> None:
    sent = going_on(PARTIAL, prefill_style="continue_final_message")
    assert sent["messages"][-1] == {"role": "assistant", "content": "Once upon a"}
    assert (sent["continue_final_message"], sent["add_generation_prompt"]) == (True, False)


@pytest.mark.parametrize("style", ["prefix", "partial", "continue_final_message"])
@pytest.mark.parametrize(
    "after",
    [
        [],
        [PARTIAL, HumanMessage("Go on.")],
        [AIMessage("")],
        [AIMessage("Done.", response_metadata={"finish_reason": "stop"})],
        [AIMessage("Done.", name="researcher")],
        [AIMessage("Hm", tool_calls=[{"id": "c1", "name": "search", "args": {}}])],
        [AIMessage("Hm", invalid_tool_calls=[{"id": "c1", "name": "f", "args": "{", "error": None}])],
    ],
)
def test_nothing_is_said_of_turns_that_are_not_partial(style: str, after: list[BaseMessage]) -> None:
    marked = going_on(*after, prefill_style=style)
    assert marked == going_on(*after, prefill_style="assistant")


def test_a_model_that_is_not_known_to_go_on_answers_the_last_turn() -> None:
    unknown = going_on(PARTIAL, base_url="https://api.mistral.ai/v1", abilities=Abilities())
    assert unknown["messages"][-1] == {"role": "assistant", "content": "Once upon a"}


def test_half_a_surrogate_pair_does_not_spoil_the_body() -> None:
    assert json.loads(encoded({"a": "\ud83d"}, "m")) == {"a": "?"}


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, object()])
def test_what_has_no_form_in_json_is_refused_before_sending(value: object) -> None:
    with pytest.raises(ConfigError, match="must be JSON"):
        encoded({"temperature": value}, "m")
