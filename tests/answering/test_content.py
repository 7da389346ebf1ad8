"""What is said again after a content filter objected: the same, without what points at people."""

import copy
import datetime
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from steprouter.answering.content import redacted
from steprouter.step.ask import Ask, Toolset

ANN, BOB, CARD = "ann@example.org", "bob@example.org", "4111 1111 1111 1111"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def clean(*messages):
    """The messages of the redacted copy and the kinds that were replaced."""
    ask, kinds = redacted(Ask(messages=messages))
    return *ask.messages, kinds


def content(blocks, message=HumanMessage):
    copied, _ = clean(message(content=blocks))
    return copied.content


def call(args, name="mail", call_id="call_1"):
    return {"name": name, "args": args, "id": call_id, "type": "tool_call"}


def test_personal_data_in_every_role_give_way_to_markers_and_their_kinds_are_told():
    said = (
        SystemMessage(f"You serve {ANN}."),
        HumanMessage(f"Pay with {CARD}."),
        AIMessage(f"For {ANN}?"),
        ChatMessage(f"Yes, {BOB}.", role="user"),  # type: ignore[call-arg]
    )
    *messages, kinds = clean(*said)
    assert [m.content for m in messages] == [
        "You serve <email-1>.",
        "Pay with <credit_card-1>.",
        "For <email-1>?",
        "Yes, <email-2>.",
    ]
    assert kinds == ("credit_card", "email")


def test_an_ask_with_nothing_personal_stays_the_very_same_and_names_no_kinds():
    ask = Ask(messages=(HumanMessage("What is two and two?"), AIMessage("Four.", tool_calls=[call({"n": 4})])))
    copied, kinds = redacted(ask)
    assert copied is ask
    assert kinds == ()


def test_redacting_a_second_time_replaces_nothing_so_that_nothing_is_asked_twice():
    once, kinds = redacted(Ask(messages=(HumanMessage(f"Mail {ANN} and {BOB}"),)))
    assert kinds == ("email",)
    assert redacted(once) == (once, ())


def test_messages_without_a_finding_are_the_very_same_objects():
    system, human = SystemMessage("Be brief."), HumanMessage(ANN)
    first, second, _ = clean(system, human)
    assert first is system
    assert second.content == "<email-1>"


def test_whatever_else_was_asked_stays_as_it_was():
    ask = Ask(messages=(HumanMessage(ANN),), tools=Toolset(), stop=("END",), settings={"user": ANN})
    copied, _ = redacted(ask)
    assert (copied.tools, copied.stop, copied.settings) == (ask.tools, ask.stop, ask.settings)


def test_arguments_of_calls_are_redacted_alike_in_every_copy_that_integrations_keep():
    args = {"to": [ANN, {"name": "x", "cc": BOB}], "count": 2}
    said = AIMessage(
        content=[{"type": "tool_use", "id": "toolu_1", "name": "mail", "input": args}],
        tool_calls=[call(args, call_id="toolu_1")],
        additional_kwargs={
            "tool_calls": [
                {"id": "toolu_1", "type": "function", "function": {"name": "mail", "arguments": json.dumps(args)}}
            ]
        },
    )
    copied, kinds = clean(said)
    expected = {"to": ["<email-1>", {"name": "x", "cc": "<email-2>"}], "count": 2}
    assert kinds == ("email",)
    assert copied.tool_calls == [call(expected, call_id="toolu_1")]
    assert copied.content == [{"type": "tool_use", "id": "toolu_1", "name": "mail", "input": expected}]
    function = copied.additional_kwargs["tool_calls"][0]["function"]
    assert (function["name"], json.loads(function["arguments"])) == ("mail", expected)


def test_a_label_in_nested_arguments_gives_its_value_away():
    copied, kinds = clean(AIMessage("", tool_calls=[call({"login": {"password": "tr0ub4dor&3", "user": "x"}})]))
    login = copied.tool_calls[0]["args"]["login"]
    assert (login["user"], "tr0ub4dor" in str(login), len(kinds)) == ("x", False, 1)


def test_arguments_that_are_no_json_are_redacted_as_the_text_they_are():
    broken = {"name": "mail", "args": f'{{"to": "{ANN}', "id": "call_1", "error": None, "type": "invalid_tool_call"}
    copied, _ = clean(AIMessage("", invalid_tool_calls=[broken]))
    assert copied.invalid_tool_calls == [{**broken, "args": '{"to": "<email-1>'}]


def test_arguments_without_a_finding_keep_every_character_of_their_json():
    arguments = '{ "n" : 1.0 }'
    kept = {"function_call": {"name": "f", "arguments": arguments}}
    copied, _ = clean(AIMessage(ANN, additional_kwargs=kept))
    assert copied.additional_kwargs == kept


def test_the_fragments_of_a_call_in_a_chunk_are_redacted_with_the_call():
    text = json.dumps({"to": ANN})
    fragment = {"name": "mail", "args": text, "id": "call_1", "index": 0, "type": "tool_call_chunk"}
    copied, _ = clean(AIMessageChunk("", tool_call_chunks=[fragment]))  # type: ignore[call-arg,list-item]
    assert copied.tool_calls[0]["args"] == {"to": "<email-1>"}
    assert json.loads(copied.tool_call_chunks[0]["args"]) == {"to": "<email-1>"}


def test_what_json_cannot_express_stays_in_the_arguments_beside_what_is_redacted():
    when = datetime.date(2026, 12, 1)
    said = AIMessage("", tool_calls=[call({"when": when, "whom": (ANN, 1), "flag": True, "none": None})])
    copied, _ = clean(said)
    assert copied.tool_calls[0]["args"] == {"when": when, "whom": ["<email-1>", 1], "flag": True, "none": None}


def test_results_of_tools_are_redacted_and_still_belong_to_their_calls():
    artifact = {"row": ANN}
    said = ToolMessage(f"found {ANN}", tool_call_id="call_1", name="find_person", artifact=artifact, status="error")
    copied, _ = clean(said)
    assert (copied.content, copied.tool_call_id, copied.name, copied.status) == (
        "found <email-1>",
        "call_1",
        "find_person",
        "error",
    )
    assert copied.artifact is artifact  # it is never sent


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("mail " + ANN, "mail <email-1>"),
        ({"type": "text", "text": ANN, "cache_control": {"type": "ephemeral"}}, {"text": "<email-1>"}),
        ({"type": "input_text", "text": ANN}, {"text": "<email-1>"}),
        ({"type": "refusal", "refusal": ANN}, {"refusal": "<email-1>"}),
        ({"type": "text-plain", "text": ANN, "mime_type": "text/plain"}, {"text": "<email-1>"}),
        (
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": ANN}]},
            {"content": [{"type": "text", "text": "<email-1>"}]},
        ),
        (
            {"type": "document", "title": ANN, "source": {"type": "text", "media_type": "text/plain", "data": ANN}},
            {"title": "<email-1>", "source": {"type": "text", "media_type": "text/plain", "data": "<email-1>"}},
        ),
        (
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": json.dumps({"to": ANN})},
            {"arguments": '{"to":"<email-1>"}'},
        ),
        ({"type": "custom_tool_call", "call_id": "c", "name": "f", "input": ANN}, {"input": "<email-1>"}),
        ({"type": "reasoning", "reasoning": ANN}, {"reasoning": "<email-1>"}),
        ({"type": "something_new", "value": {"note": [ANN]}}, {"value": {"note": ["<email-1>"]}}),
    ],
)
def test_words_in_blocks_of_any_kind_are_redacted_and_nothing_else_of_them(block, expected):
    assert content([block]) == [expected if isinstance(block, str) else {**block, **expected}]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "base64": PIXEL, "mime_type": "image/png"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
        {"type": "image", "url": f"https://host.example/{ANN}.png"},
        {"type": "input_audio", "input_audio": {"data": PIXEL, "format": "wav"}},
        {"type": "file", "file": {"file_data": PIXEL, "filename": "a.pdf"}},
        {"type": "file", "file_id": PIXEL},
        {"type": "thinking", "thinking": ANN, "signature": PIXEL},
        {"type": "redacted_thinking", "data": PIXEL},
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": ANN}],
            "encrypted_content": "x",
        },
        {"type": "text", "text": "hi", "extras": {"signature": PIXEL}},
        {"type": "image", "source": {"bytes": b"\x89PNG"}},
    ],
)
def test_media_addresses_and_signed_thoughts_stay_as_they_are(block):
    kept, said = content([block, {"type": "text", "text": ANN}], AIMessage)
    assert kept == block
    assert said == {"type": "text", "text": "<email-1>"}


def test_a_speakers_name_stays_one_that_providers_take_and_a_tools_name_stays_its_own():
    human, result, _ = clean(HumanMessage("hi", name=ANN), FunctionMessage(content=ANN, name="find_person"))
    assert human.name == "email-1"
    assert (result.name, result.content) == ("find_person", "<email-1>")


def test_thoughts_that_are_sent_back_as_words_are_redacted_and_sealed_ones_beside_them_are_not():
    kept = {"reasoning_content": f"{ANN} asks", "reasoning": {"id": "rs_1", "encrypted_content": PIXEL}}
    copied, _ = clean(AIMessage("hi", additional_kwargs=kept))
    assert copied.additional_kwargs == {**kept, "reasoning_content": "<email-1> asks"}


def test_a_marker_that_the_conversation_already_has_is_given_to_nobody_else():
    copied, _ = clean(HumanMessage(f"<email-1> and {ANN}"))
    assert copied.content == "<email-1> and <email-2>"


TEXTS = st.sampled_from([ANN, BOB, CARD, "plain", "", '"', "\\", "password: hunter22", "<email-1>", "\ud800", "\0\n"])
JSON = st.recursive(
    st.none() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
ARGS = st.dictionaries(st.sampled_from(["to", "password", ANN]), JSON, max_size=3)


@given(st.lists(TEXTS, max_size=3), ARGS)
def test_no_message_of_the_caller_is_changed_and_no_call_loses_its_shape(texts, args):
    blocks = [{"type": "text", "text": text} for text in texts]
    raw = {"id": "c", "type": "function", "function": {"name": "mail", "arguments": json.dumps(args)}}
    said = (
        HumanMessage(blocks),
        AIMessage(blocks, tool_calls=[call(args)], additional_kwargs={"tool_calls": [raw]}),
        ToolMessage(blocks, tool_call_id="call_1"),
    )
    before = copy.deepcopy(said)
    *copied, kinds = clean(*said)
    assert said == before
    assert [m.type for m in copied] == ["human", "ai", "tool"]
    assert not any(personal in repr(copied) for personal in (ANN, BOB, CARD))
    again = copied[1]
    assert json.loads(again.additional_kwargs["tool_calls"][0]["function"]["arguments"]) == again.tool_calls[0]["args"]
    assert (again.tool_calls[0]["id"], again.tool_calls[0]["name"]) == ("call_1", "mail")
    assert (list(copied) == list(said)) is (kinds == ())
