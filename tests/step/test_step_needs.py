"""What a model must be able to do to answer a call."""

from dataclasses import replace

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool

from steprouter.step.ask import Ask, Toolset
from steprouter.step.read import read_needs
from steprouter.step.step import Needs


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return city


def needs(content="Hi", toolset=None, **settings):
    """The needs of one message, without the estimate of its length."""
    read = read_needs(Ask(messages=(HumanMessage(content),), tools=toolset or Toolset(), settings=settings))
    assert read.input_tokens > 0
    return replace(read, input_tokens=0)


@pytest.mark.parametrize(
    ("toolset", "wanted"),
    [
        (Toolset(), Needs()),
        (Toolset.of([weather]), Needs(tools=True)),
        (Toolset.of([weather], tool_choice="auto"), Needs(tools=True)),
        (Toolset.of([weather], tool_choice="none"), Needs()),
        (Toolset.of([weather], tool_choice="any"), Needs(tools=True, forced_tool=True)),
        (Toolset.of([weather], tool_choice="weather"), Needs(tools=True, forced_tool=True)),
        (Toolset.of([weather], options={"parallel_tool_calls": True}), Needs(tools=True, parallel_tools=True)),
        (Toolset.of([weather], options={"parallel_tool_calls": False}), Needs(tools=True)),
        (Toolset.of([], response_format={"type": "object"}), Needs(json_schema=True)),
        (Toolset.of([], response_format={"type": "text"}), Needs()),
    ],
)
def test_bound_tools_and_formats_say_what_is_needed(toolset, wanted):
    assert needs(toolset=toolset) == wanted


@pytest.mark.parametrize(
    ("builtin", "named"),
    [
        ({"type": "web_search_preview"}, "web_search_preview"),
        ({"type": "web_search_20250305", "name": "web_search", "max_uses": 3}, "web_search_20250305"),
        ({"type": "bash_20250124", "name": "bash"}, "bash_20250124"),
        ({"type": "mcp", "server_label": "docs", "server_url": "https://x"}, "mcp"),
        ({"google_search": {}}, "google_search"),
    ],
)
def test_a_providers_own_tool_is_kept_as_it_is_and_named_by_its_type(builtin, named):
    toolset = Toolset.of([builtin])
    assert (toolset.names, toolset.builtin) == ((), (builtin,))
    assert needs(toolset=toolset) == Needs(tools=True, builtin_tools=(named,))


PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}


@pytest.mark.parametrize(
    "given",
    [
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": PARAMETERS}},
        {"name": "f", "description": "d", "parameters": PARAMETERS},
        {"name": "f", "description": "d", "input_schema": PARAMETERS},
        {"type": "custom", "name": "f", "description": "d", "input_schema": PARAMETERS},
        {"title": "f", "description": "d", **PARAMETERS},
        {"toolSpec": {"name": "f", "description": "d", "inputSchema": {"json": PARAMETERS}}},
    ],
)
def test_a_function_tool_in_any_providers_shape_becomes_the_same_schema(given):
    toolset = Toolset.of([given])
    assert (toolset.names, toolset.builtin, toolset.given) == (("f",), (), (given,))
    assert toolset.schemas[0]["function"]["parameters"]["properties"] == PARAMETERS["properties"]


@pytest.mark.parametrize(
    ("block", "wanted"),
    [
        ({"type": "image", "url": "http://x"}, Needs(images=True)),
        ({"type": "image_url", "image_url": {"url": "http://x"}}, Needs(images=True)),
        ({"type": "input_image", "image_url": "http://x"}, Needs(images=True)),
        ({"type": "audio", "base64": "", "mime_type": "audio/wav"}, Needs(audio=True)),
        ({"type": "input_audio", "input_audio": {}}, Needs(audio=True)),
        ({"type": "file", "file": {}}, Needs(files=True)),
        ({"type": "document", "source": {}}, Needs(files=True)),
        ({"type": "text", "text": "an image"}, Needs()),
        ({"no type": 1}, Needs()),
        ("an image", Needs()),
    ],
)
def test_what_a_conversation_holds_must_be_read(block, wanted):
    assert needs([block]) == wanted


def test_an_image_that_a_tool_returned_must_be_read_as_well():
    shot = ToolMessage([{"type": "image", "url": "http://x"}], tool_call_id="1")
    assert read_needs(Ask(messages=(HumanMessage("Look"), AIMessage(""), shot))).images


@pytest.mark.parametrize(
    ("settings", "limit"),
    [
        ({"max_tokens": 50}, 50),
        ({"max_completion_tokens": 50}, 50),
        ({"max_output_tokens": 50}, 50),
        ({"max_tokens": None, "max_completion_tokens": 50}, 50),
        ({"max_tokens": -1}, None),
        ({"max_tokens": 0}, None),
        ({"max_tokens": "many"}, None),
        ({}, None),
    ],
)
def test_a_limit_of_the_answer_is_read_unless_it_means_none(settings, limit):
    assert needs(**settings) == Needs(output_tokens=limit)


def test_tools_and_messages_make_the_prompt_longer():
    short = read_needs(Ask(messages=(HumanMessage("Hi"),)))
    tooled = read_needs(Ask(messages=(HumanMessage("Hi"),), tools=Toolset.of([weather])))
    huge = read_needs(Ask(messages=(HumanMessage("word " * 200_000),)))
    assert short.input_tokens < tooled.input_tokens < huge.input_tokens
