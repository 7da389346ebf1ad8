"""How the willing model picks tools, fills schemas and answers."""

import json
from typing import Any

import jsonschema
import pytest

from steprouter.testing import Reply, Request, ToolCall, obliging
from steprouter.testing.filling import filled

NODE = {
    "$ref": "#/$defs/Node",
    "$defs": {
        "Node": {
            "type": "object",
            "properties": {"next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}},
            "required": ["next"],
        }
    },
}


def function(name: str, description: str = "", **properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": parameters},
    }


WEATHER = function("get_weather", "Weather at a place.", location={"type": "string"})
ADD = function("add", "Sum of two numbers.", a={"type": "integer"}, b={"type": "integer"})


def ask(prompt: str, *more: dict[str, Any], **fields: Any) -> Reply:
    return obliging(Request(model="m", messages=({"role": "user", "content": prompt}, *more), **fields))


@pytest.mark.parametrize(
    ("prompt", "called"),
    [
        ("What is the weather in San Francisco, CA?", ("get_weather", {"location": "San Francisco, CA"})),
        ("Weather for 'New Delhi' please", ("get_weather", {"location": "New Delhi"})),
        ("Please add 3 and 4.", ("add", {"a": 3, "b": 4})),
        ("The sum of the numbers -5 and 12?", ("add", {"a": -5, "b": 12})),
    ],
)
def test_the_tool_that_fits_the_words_is_called(prompt: str, called: tuple[str, dict[str, Any]]) -> None:
    assert ask(prompt, tools=(WEATHER, ADD)).tool_calls == (ToolCall(name=called[0], args=called[1]),)


@pytest.mark.parametrize("fields", [{"tools": (WEATHER,)}, {"tools": (ADD,), "tool_choice": "none"}, {}])
def test_without_a_fitting_tool_it_answers_in_words(fields: dict[str, Any]) -> None:
    reply = ask("Please add 3 and 4.", **fields)
    assert reply.tool_calls == ()
    assert reply.text == "You said: Please add 3 and 4.. I am glad to help."


def test_a_forced_choice_is_obeyed_even_if_nothing_fits() -> None:
    named = {"type": "function", "function": {"name": "add"}}
    assert ask("Hello", tools=(WEATHER, ADD), tool_choice=named).tool_calls[0].name == "add"
    assert len(ask("Hello", tools=(WEATHER, ADD), tool_choice="required").tool_calls) == 1


def test_after_tool_results_it_answers_from_all_of_them() -> None:
    asks: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": []}
    results = ({"role": "tool", "content": "sunny"}, {"role": "tool", "content": "windy"})
    reply = ask("What is the weather?", asks, *results, tools=(WEATHER,))
    assert (reply.text, reply.tool_calls) == ("According to the tool: sunny; windy", ())


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"x": {"type": "integer", "minimum": 10}}, "required": ["x"]},
        {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 2},
        {"type": "string", "minLength": 60},
        {"type": "string", "maxLength": 3},
        {"type": ["null", "number"]},
        {"enum": ["red", "green"]},
        {"const": {"a": 1}},
        {"type": "array", "items": {"type": "string"}, "minItems": 3},
        {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "boolean"}], "items": False},
        {"type": "array", "maxItems": 0},
        {"anyOf": [{"type": "null"}, {"type": "object", "required": ["y"]}]},
        {"allOf": [{"required": ["p"], "properties": {"p": {"const": 1}}}, {"required": ["q"]}]},
        {"properties": {"d": {"type": "string", "format": "date-time"}}, "required": ["d"]},
        {"type": "array", "items": {"$ref": "#"}},
        {},
        NODE,
    ],
)
def test_what_it_fills_in_is_valid_for_the_schema(schema: dict[str, Any]) -> None:
    for prompt in ("", "Take 3 green 'apples' and -7.5 pears to Paris"):
        jsonschema.validate(filled(schema, prompt), schema)


def test_an_option_named_in_the_prompt_is_preferred() -> None:
    assert filled({"enum": ["red", "green"]}, "The green one") == "green"


def test_digits_inside_of_names_are_no_numbers() -> None:
    assert filled({"type": "integer"}, "What is add_2(7)?") == 7


def test_a_response_format_gets_json_that_fits() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "place", "schema": schema}}
    assert json.loads(ask("I live in Paris", response_format=wanted).text) == {"city": "Paris"}
    free = ask("JSON with 'city' and 'country'", response_format={"type": "json_object"})
    assert json.loads(free.text) == {"city": "some city", "country": "some country"}


def test_pictures_are_mentioned_when_there_are_some() -> None:
    content = [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": "data:"}}]
    reply = obliging(Request(model="m", messages=({"role": "user", "content": content},)))
    assert reply.text == "You said: Look. I see 1 image(s). I am glad to help."
