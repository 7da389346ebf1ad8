"""What of a repaired history goes out, by the real request builders of each integration and our own wire."""

import json
import re
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from steprouter import ModelCard
from steprouter.answering.handover import NO_RESULT, NOT_RUN, repaired
from steprouter.answering.speaker import Speaker, speaker_of
from steprouter.providers.chat_request import request_body
from steprouter.providers.langchain_model import normalised
from steprouter.step.ask import Ask


@dataclass
class Turn:
    """A turn of a payload, whatever the provider calls its parts."""

    role: str
    text: str = ""
    calls: list = field(default_factory=list)  # type: ignore[type-arg]
    results: list = field(default_factory=list)  # type: ignore[type-arg]


def text_in(content):
    if isinstance(content, str):
        return content
    return "".join(block.get("text", "") for block in content or [])


def chat_turns(payload):
    for message in payload["messages"]:
        role, content = message["role"], message.get("content")
        if role == "tool":
            yield Turn("tool", text_in(content), results=[message["tool_call_id"]])
        else:
            yield Turn(role, text_in(content), calls=[call["id"] for call in message.get("tool_calls") or ()])


def response_turns(payload):
    for item in payload["input"]:
        match item.get("type"):
            case "function_call":
                yield Turn("assistant", calls=[item["call_id"]])
            case "function_call_output":
                yield Turn("tool", text_in(item["output"]), results=[item["call_id"]])
            case _:
                yield Turn(item["role"], text_in(item["content"]))


def anthropic_turns(payload):
    if payload.get("system"):
        yield Turn("system", text_in(payload["system"]))
    for message in payload["messages"]:
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        yield Turn(
            message["role"],
            text_in(blocks),
            calls=[block["id"] for block in blocks if block["type"] == "tool_use"],
            results=[block["tool_use_id"] for block in blocks if block["type"] == "tool_result"],
        )


def gemini_turns(payload):
    if system := payload["config"].get("system_instruction"):
        yield Turn("system", text_in(system["parts"]))
    for content in payload["contents"]:
        parts = content["parts"]
        yield Turn(
            {"model": "assistant"}.get(content["role"], content["role"]),
            text_in(parts),
            calls=[part["function_call"]["name"] for part in parts if "function_call" in part],
            results=[part["function_response"]["name"] for part in parts if "function_response" in part],
        )


@cache
def openai_model(*, responses):
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(model="gpt-5.6", api_key="k", use_responses_api=responses)


@cache
def anthropic_model():
    from langchain_anthropic import ChatAnthropic

    return ChatAnthropic(model="claude-opus-5-5", api_key="k")  # type: ignore[call-arg]


@cache
def gemini_model():
    google = pytest.importorskip("langchain_google_genai")
    return google.ChatGoogleGenerativeAI(model="gemini-3-pro-preview", api_key="k")


def openai_payload(messages, *, responses):
    return openai_model(responses=responses)._get_request_payload(messages)


def anthropic_payload(messages):
    return anthropic_model()._get_request_payload(messages)


def gemini_payload(messages):
    request = gemini_model()._prepare_request(messages)
    contents = [content.model_dump(exclude_none=True, warnings=False) for content in request["contents"]]
    config = request["config"]
    return {
        "contents": contents,
        "config": config if isinstance(config, dict) else config.model_dump(exclude_none=True, warnings=False),
    }


def own_payload(messages):
    return request_body(ModelCard(name="own", model="qwen3-8b", base_url="http://x/v1"), Ask(messages=tuple(messages)))


ID = r"[A-Za-z0-9_-]{1,40}"
TARGETS = {
    "OpenAI's Chat Completions": (
        Speaker(provider="openai", model="gpt-5.6"),
        lambda messages: openai_payload(messages, responses=False),
        chat_turns,
    ),
    "OpenAI's Responses": (
        Speaker(provider="openai", model="gpt-5.6"),
        lambda messages: openai_payload(messages, responses=True),
        response_turns,
    ),
    "Anthropic": (Speaker(provider="anthropic", model="claude-opus-5-5"), anthropic_payload, anthropic_turns),
    "Gemini": (Speaker(provider="google_genai", model="gemini-3-pro-preview"), gemini_payload, gemini_turns),
    "our own wire": (Speaker(provider=None, model="qwen3-8b"), own_payload, chat_turns),
}
"""Who is to read, how the request is made, and how to read the request."""

ASKED = HumanMessage("Weather in Oslo?")
CALL = {"type": "tool_call", "name": "weather", "args": {"city": "Oslo"}, "id": "callOslo1"}
TOOL_USE = {"type": "tool_use", "id": "callOslo1", "name": "weather", "input": {"city": "Oslo"}}
RESULT = ToolMessage("4 degrees", tool_call_id="callOslo1", name="weather")
LOOK = {"type": "text", "text": "Let me look."}
MARK = {"cache_control": {"type": "ephemeral"}, "prompt_cache_breakpoint": {"mode": "explicit"}}


def said(provider, model, content, calls=(), *, metadata=None, **kwargs):
    tags = {"model_provider": provider, "model_name": model, **(metadata or {})}
    return AIMessage(content, tool_calls=list(calls), response_metadata=tags, **kwargs)


def by_gpt(content, calls=(), **kwargs):
    return said("openai", "gpt-5.5", content, calls, **kwargs)


def by_claude(content, calls=(), **kwargs):
    return said("anthropic", "claude-sonnet-5", content, calls, **kwargs)


def by_gemini(content, calls=(), **kwargs):
    return said("google_genai", "gemini-2.5-pro", content, calls, **kwargs)


FUNCTION_CALL = {"type": "function_call", "id": "fc_1", "call_id": "callOslo1", "name": "weather", "arguments": "{}"}
SEALED = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "SECRET", "index": 0}
THOUGHT = {"type": "thinking", "thinking": "SECRET", "signature": "SECRET"}
THOUGHT_V1 = {"type": "reasoning", "reasoning": "SECRET", "extras": {"signature": "SECRET"}}
SEARCH = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "SECRET"}}
FOUND = {
    "type": "web_search_tool_result",
    "tool_use_id": "srvtoolu_1",
    "content": [{"type": "web_search_result", "url": "https://SECRET.no", "encrypted_content": "SECRET"}],
}
CITATIONS = [{"type": "web_search_result_location", "url": "https://SECRET.no", "encrypted_index": "SECRET"}]
V1 = {"output_version": "v1"}
BROKEN = {"type": "invalid_tool_call", "name": "weather", "args": '{"city": "SECRET', "id": "callOslo1", "error": "x"}

ROWS = {
    "a call of OpenAI": (ASKED, by_gpt("Let me look.", [CALL]), RESULT),
    "Responses' reasoning": (
        ASKED,
        by_gpt([SEALED, {**LOOK, "id": "msg_SECRET"}, FUNCTION_CALL], [CALL], metadata={"id": "resp_SECRET"}),
        RESULT,
    ),
    "Responses' reasoning in v1 content": (ASKED, by_gpt([SEALED, LOOK, CALL], [CALL], metadata=V1), RESULT),
    "Claude's thinking": (ASKED, by_claude([THOUGHT, LOOK, TOOL_USE], [CALL]), RESULT),
    "Claude's thinking in v1 content": (ASKED, by_claude([THOUGHT_V1, LOOK, CALL], [CALL], metadata=V1), RESULT),
    "redacted thinking": (ASKED, by_claude([{"type": "redacted_thinking", "data": "SECRET"}, LOOK])),
    "Gemini's unsigned thinking": (
        ASKED,
        by_gemini(
            [{"type": "thinking", "thinking": "SECRET"}, "Let me look."],
            [CALL],
            additional_kwargs={"__gemini_function_call_thought_signatures__": {"callOslo1": "U0VDUkVU"}},
        ),
        RESULT,
    ),
    "Gemini's reasoning in v1 content": (
        ASKED,
        by_gemini([THOUGHT_V1, {**LOOK, "extras": {"signature": "SECRET"}}], metadata=V1),
    ),
    "a hosted web search": (ASKED, by_claude([SEARCH, FOUND, LOOK])),
    "citations": (ASKED, by_claude([{**LOOK, "citations": CITATIONS}])),
    "DeepSeek's reasoning": (
        ASKED,
        said("deepseek", "deepseek-chat", "Let me look.", additional_kwargs={"reasoning_content": "SECRET"}),
    ),
    "an unknown writer's thinking": (ASKED, AIMessage([THOUGHT, LOOK])),
    "an image in an answer": (
        ASKED,
        by_gemini([LOOK, {"type": "image_url", "image_url": {"url": "data:image/png;base64,UElDVFVSRQ=="}}]),
    ),
    "cache marks": (
        SystemMessage([{"type": "text", "text": "Be brief.", **MARK}]),
        HumanMessage([{"type": "text", "text": "Weather?", **MARK}]),
        by_gpt("Let me look."),
    ),
    "Kimi's ids": (
        ASKED,
        said("moonshotai", "kimi-k2", "Let me look.", [{**CALL, "id": "functions.weather:0"}]),
        ToolMessage("4 degrees", tool_call_id="functions.weather:0", name="weather"),
    ),
    "an id of 70 characters": (
        ASKED,
        by_claude("Let me look.", [{**CALL, "id": "c" * 70}]),
        ToolMessage("4 degrees", tool_call_id="c" * 70, name="weather"),
    ),
    "an id that comes twice": (
        *(ASKED, by_claude("Let me look.", [CALL]), RESULT),
        *(HumanMessage("Now?"), by_claude("Let me look.", [CALL]), RESULT),
    ),
    "a call without a result": (ASKED, by_gpt("Let me look.", [CALL]), HumanMessage("Never mind.")),
    "a result without a call": (ASKED, RESULT, by_gpt("Let me look.")),
    "a late result": (ASKED, by_gpt("Let me look.", [CALL]), HumanMessage("Hurry"), RESULT),
    "an empty message": (ASKED, by_gpt("Let me look."), by_gpt(""), HumanMessage("Hello?")),
    "a message of white space": (ASKED, by_gpt("Let me look."), HumanMessage("So?"), by_gpt(" \n"), ASKED),
    "thoughts and nothing else": (ASKED, by_gpt("Let me look."), HumanMessage("So?"), by_gpt([SEALED]), ASKED),
    "two answers in a row": (ASKED, by_gpt("Let me look."), by_claude("One moment."), HumanMessage("So?")),
    "a late system message": (
        *(SystemMessage("Be brief."), ASKED, by_gpt("Let me look.")),
        *(SystemMessage("It is Monday."), HumanMessage("So?")),
    ),
    "a broken call": (ASKED, by_gpt("Let me look.", invalid_tool_calls=[BROKEN]), HumanMessage("So?")),
    "a broken call with its result": (ASKED, by_gpt("Let me look.", invalid_tool_calls=[BROKEN]), RESULT),
    "results inside a human message": (
        ASKED,
        AIMessage([LOOK, TOOL_USE]),
        HumanMessage([{"type": "tool_result", "tool_use_id": "callOslo1", "content": "4 degrees"}]),
    ),
    "a name with a space": (HumanMessage("Weather?", name="John Doe"), by_gpt("Let me look.", name="the bot")),
}
NATIVE = re.compile(
    r"""["'](thinking|redacted_thinking|reasoning|server_tool_use|web_search_tool_result|citations|signature|thought"""
    r"""|encrypted_content|reasoning_content|previous_response_id|index|extras)["']"""
)
EITHER = pytest.mark.parametrize("target", TARGETS)


def sent(target, history):
    """The payload for a target, and its turns."""
    to, payload_of, turns_of = TARGETS[target]
    payload = payload_of(normalised(repaired(tuple(history), to).messages))
    return json.dumps(payload, default=str), list(turns_of(payload))


@EITHER
@pytest.mark.parametrize("row", ROWS)
def test_nothing_that_only_its_writer_understands_goes_out(row, target):
    payload, turns = sent(target, ROWS[row])
    assert "SECRET" not in payload
    assert not NATIVE.search(payload)
    assert "Let me look." in "".join(turn.text for turn in turns if turn.role == "assistant")


MARKS = {"Anthropic": {"cache_control"}, "OpenAI's Chat Completions": {"prompt_cache_breakpoint"}}


@EITHER
def test_marks_for_a_prompt_cache_go_to_those_who_read_them(target):
    payload, _ = sent(target, ROWS["cache marks"])
    marks = {word for word in ("cache_control", "prompt_cache_breakpoint") if word in payload}
    assert marks == MARKS.get(target.replace("Responses", "Chat Completions"), set())


@EITHER
def test_a_picture_that_a_model_made_goes_only_to_those_who_take_it(target):
    payload, turns = sent(target, ROWS["an image in an answer"])
    is_sent = "UElDVFVSRQ" in payload or "PICTURE" in payload
    assert is_sent is (target == "Gemini")
    assert is_sent or "[image left out]" in "".join(turn.text for turn in turns)


@EITHER
@pytest.mark.parametrize("row", ROWS)
def test_each_call_goes_out_once_with_its_result_right_after_it(row, target):
    _, turns = sent(target, ROWS[row])
    waiting, seen = [], []
    for turn in turns:
        for id_ in turn.results:
            waiting.remove(id_)
        assert waiting == [] or turn.results or (turn.role == "assistant" and turn.calls)
        seen += turn.calls
        waiting += turn.calls
    assert waiting == []
    if target != "Gemini":  # it pairs them by name and place
        assert len(set(seen)) == len(seen)
        assert all(re.fullmatch(ID, id_) for id_ in seen)


@EITHER
@pytest.mark.parametrize("row", ROWS)
def test_no_answer_goes_out_empty_or_twice_in_a_row(row, target):
    _, turns = sent(target, ROWS[row])
    said_by_model = [turn for turn in turns if turn.role == "assistant"]
    assert all(turn.text.strip() or turn.calls for turn in said_by_model)
    if target != "OpenAI's Responses":  # there a call is an item of its own
        assert not any(a.role == b.role == "assistant" for a, b in pairwise(turns))


@EITHER
def test_a_late_system_message_is_heard_where_it_was_said(target):
    payload, turns = sent(target, ROWS["a late system message"])
    assert payload.index("Let me look.") < payload.index("It is Monday.") or target == "Gemini"
    late = next(turn for turn in turns if "It is Monday." in turn.text)
    assert late.role == ("system" if target.startswith("OpenAI") else "user")


@EITHER
def test_made_up_results_say_why_they_are_there(target):
    assert NO_RESULT in sent(target, ROWS["a call without a result"])[0]
    assert NOT_RUN in sent(target, ROWS["a broken call"])[0]
    assert "4 degrees" in sent(target, ROWS["a broken call with its result"])[0]


@EITHER
def test_names_go_out_in_letters_that_all_take(target):
    payload, _ = sent(target, ROWS["a name with a space"])
    assert "John Doe" not in payload
    assert "the bot" not in payload


def test_a_model_gets_its_own_reasoning_back_as_it_sent_it():
    gpt = Speaker(provider="openai", model="gpt-5.5")
    history = repaired(ROWS["Responses' reasoning"], gpt).messages
    items = openai_payload(list(history), responses=True)["input"]
    assert [item.get("type") for item in items[1:]] == ["reasoning", "message", "function_call", "function_call_output"]
    claude = Speaker(provider="anthropic", model="claude-sonnet-5")
    history = repaired(ROWS["Claude's thinking"], claude).messages
    blocks = anthropic_payload(list(history))["messages"][1]["content"]
    assert [block["type"] for block in blocks] == ["thinking", "text", "tool_use"]
    assert blocks[0]["signature"] == "SECRET"


def test_a_claude_that_takes_late_system_messages_gets_them_where_it_takes_them():
    model = anthropic_model()
    to = speaker_of(ModelCard(name="strong", model=model))
    late = SystemMessage("It is Monday.")
    taken = (SystemMessage("Be brief."), ASKED, late, by_gpt("Let me look."))
    assert repaired(taken, to).messages is taken
    roles = [m["role"] for m in model._get_request_payload(list(taken))["messages"]]
    assert roles == ["user", "system", "assistant"]
    refused = repaired((SystemMessage("Be brief."), ASKED, by_gpt("Let me look."), late, HumanMessage("So?")), to)
    assert [m["role"] for m in model._get_request_payload(list(refused.messages))["messages"]][-1] == "user"
