"""Every provider's way to say whether a tool must be called."""

import pytest
from langchain_openai import ChatOpenAI

from steprouter.errors import ConfigError
from steprouter.step.ask import ToolChoice, Toolset

TOOLS = ("weather", "search")
AUTO, NONE, ANY = ToolChoice(mode="auto"), ToolChoice(mode="none"), ToolChoice(mode="any")
WEATHER = ToolChoice(mode="tool", name="weather")


@pytest.mark.parametrize(
    ("given", "choice"),
    [
        (None, None),
        (False, None),
        ("auto", AUTO),
        ("none", NONE),
        ("any", ANY),
        ("required", ANY),
        (True, ANY),
        ("weather", WEATHER),
        ({"type": "auto"}, AUTO),
        ({"type": "none"}, NONE),
        ({"type": "any"}, ANY),
        ({"type": "auto", "disable_parallel_tool_use": True}, AUTO),
        ({"type": "tool", "name": "weather"}, WEATHER),
        ({"type": "function", "function": {"name": "weather"}}, WEATHER),
        ({"type": "function", "name": "weather"}, WEATHER),
    ],
)
def test_each_providers_spelling_of_a_choice_is_understood(given, choice):
    assert ToolChoice.read(given, TOOLS) == choice


@pytest.mark.parametrize(
    "given",
    ["weathr", "", "ANY", 1, 0, 1.0, [], ["weather"], {}, {"type": "tool"}, {"type": "tool", "name": 3}, object()],
)
def test_an_unknown_spelling_or_an_unbound_tool_is_the_callers_mistake(given):
    with pytest.raises(ConfigError, match=r"^tool_choice must "):
        ToolChoice.read(given, TOOLS)


def test_the_mistake_names_the_tools_that_are_bound():
    with pytest.raises(ConfigError, match=r"got 'weathr'; bound are \['weather', 'search'\]"):
        ToolChoice.read("weathr", TOOLS)


def test_a_choice_that_names_a_tool_is_refused_where_nothing_is_bound():
    with pytest.raises(ConfigError, match=r"got 'weather'; bound are \[\]"):
        Toolset.of([], tool_choice="weather")


@pytest.mark.parametrize(("given", "sent"), [(False, None), ("any", "required"), (True, "required"), ("none", "none")])
def test_a_choice_means_what_langchains_openai_integration_takes_it_for(given, sent):
    schema = {"name": "weather", "description": "…", "parameters": {"type": "object", "properties": {}}}
    bound = ChatOpenAI(model="m", api_key="k").bind_tools([schema], tool_choice=given)
    choice = Toolset.of([schema], tool_choice=given).choice
    assert bound.kwargs.get("tool_choice") == sent
    assert (choice and choice.mode) == {"required": "any", "none": "none", None: None}[sent]
