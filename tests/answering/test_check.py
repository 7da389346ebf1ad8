"""What is wrong with a finished answer, as far as structure can tell."""

import json
from typing import Literal

import pytest
from langchain_core.messages import HumanMessage
from pydantic import BaseModel

from steprouter.answering.answer import Answer, Delta, ToolCall
from steprouter.answering.check import problems, schema_problem
from steprouter.answering.shape import strict_object
from steprouter.step.ask import Ask, Toolset

PARAMETERS = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer", "maximum": 7},
        "unit": {"enum": ["C", "F"]},
        "stops": {"type": "array", "items": {"type": "object", "required": ["name"]}},
    },
    "required": ["city"],
    "additionalProperties": False,
}


def tool(name, parameters=PARAMETERS):
    return {"type": "function", "function": {"name": name, "description": "…", "parameters": parameters}}


def ask(*tools, **kwargs):
    return Ask(messages=(HumanMessage("Hi"),), tools=Toolset.of(tools or [tool("weather")], **kwargs))


def formatted(response_format):
    return Ask(messages=(HumanMessage("Hi"),), tools=Toolset.of([], response_format=response_format))


def calling(raw, name="weather", finish="tool_calls"):
    return Answer(tool_calls=(ToolCall(id="c1", name=name, args=strict_object(raw), raw=raw),), finish=finish)


def saying(text, finish="stop", unshown=()):
    return Answer(text=text, finish=finish, unshown=unshown)


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ('{"city": "Oslo"}', None),
        ('{"city": "Oslo", "days": 3, "unit": "C", "stops": [{"name": "Moss"}]}', None),
        ('{"city": "Oslo', "arguments of 'weather' are not a JSON object"),
        ("[1]", "arguments of 'weather' are not a JSON object"),
        ("", "arguments of 'weather': the object breaks 'city' is a required property"),
        ('{"city": 7}', "arguments of 'weather': city breaks type string"),
        ('{"city": "Oslo", "days": "3"}', "arguments of 'weather': days breaks type integer"),
        ('{"city": "Oslo", "days": 8}', "arguments of 'weather': days breaks maximum 7"),
        ('{"city": "Oslo", "unit": "K"}', "arguments of 'weather': unit breaks enum ['C', 'F']"),
        ('{"city": "Oslo", "town": 1}', "arguments of 'weather': the object breaks additionalProperties False"),
        (
            '{"city": "Oslo", "stops": [{}]}',
            "arguments of 'weather': stops/0 breaks 'name' is a required property",
        ),
    ],
)
def test_the_arguments_of_a_call_must_fit_the_tools_schema(raw, problem):
    assert problems(calling(raw), ask()) == ((problem,) if problem else ())


@pytest.mark.parametrize(
    ("answer", "asked", "problem"),
    [
        (calling("{}", "weathr"), ask(), "unknown tool 'weathr'"),
        (calling("{}", "x" * 1_000), ask(), f"unknown tool '{'x' * 119}…'"),
        (calling("{}", "\ud800"), ask(), "unknown tool '\\ud800'"),
        (calling("{}", "search"), ask(tool("search", {}), {"type": "web_search"}), None),
        (calling("{}", "anything"), ask(tool("search", {}), {"type": "web_search"}), None),
        (calling("{}", "f"), ask(tool("f", {}), tool("g", {}), tool_choice="f"), None),
        (
            calling("{}", "g"),
            ask(tool("f", {}), tool("g", {}), tool_choice="f"),
            "tool 'f' was required, 'g' was called",
        ),
        (calling("{}", "g"), ask(tool("g", {}), tool_choice="none"), "tools were forbidden, 'g' was called"),
        (saying("I would rather not."), ask(tool_choice="any"), "a tool call was required, none was made"),
        (saying("I would rather not."), ask(tool_choice="weather"), "a tool call was required, none was made"),
        (saying("Found it."), ask({"type": "web_search"}, tool_choice="any"), None),
        (saying("It rains."), ask(), None),
        (saying("It rains."), ask(tool_choice="none"), None),
    ],
)
def test_a_tool_is_called_when_it_must_be_and_only_one_that_is_bound(answer, asked, problem):
    assert problems(answer, asked) == ((problem,) if problem else ())


def block(**fields):
    return (Delta(blocks=(fields,)),)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (saying("Hi"), None),
        (saying("Hi", finish="end_turn"), None),
        (saying(""), "empty answer"),
        (saying(" \n"), "empty answer"),
        (saying("", unshown=block(type="thinking", thinking="hm")), "empty answer"),
        (saying("", unshown=block(type="text", text="")), "empty answer"),
        (saying("", unshown=block(type="image", url="http://x")), None),
        (saying("", unshown=block(type="server_tool_use", name="web_search")), None),
        (saying("Once upon", finish="length"), "cut off (finish reason length)"),
        (saying("Once upon", finish="max_tokens"), "cut off (finish reason max_tokens)"),
        (saying("Once upon", finish="MAX_TOKENS"), "cut off (finish reason MAX_TOKENS)"),
        (saying("Once upon", finish="incomplete"), "cut off (finish reason incomplete)"),
        (saying("I can", finish="content_filter"), "refused (finish reason content_filter)"),
        (saying("", finish="SAFETY"), "refused (finish reason SAFETY)"),
        (saying("I will not.", finish="refusal"), "refused (finish reason refusal)"),
    ],
)
def test_an_answer_must_say_something_and_must_be_neither_cut_nor_refused(answer, problem):
    assert problems(answer, Ask(messages=())) == ((problem,) if problem else ())


def test_every_broken_call_is_named_and_the_cut_as_well():
    two = Answer(tool_calls=calling("{").tool_calls + calling("{}", "f").tool_calls, finish="length")
    assert problems(two, ask()) == (
        "arguments of 'weather' are not a JSON object",
        "unknown tool 'f'",
        "cut off (finish reason length)",
    )


class Verdict(BaseModel):
    label: Literal["good", "bad"]
    score: int


SCHEMA = Verdict.model_json_schema()


@pytest.mark.parametrize(
    "given_format",
    [
        Verdict,
        SCHEMA,
        {"type": "json_schema", "json_schema": {"name": "verdict", "schema": SCHEMA, "strict": True}},
        {"type": "json_schema", "name": "verdict", "schema": SCHEMA},
    ],
)
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"label": "good", "score": 1}', None),
        ('{"label": "fine", "score": 1}', "answer does not fit its schema: label breaks enum ['good', 'bad']"),
        ('{"label": "good"}', "answer does not fit its schema: the object breaks 'score' is a required property"),
        ("It is good.", "answer is not JSON (Expecting value)"),
        ("[" * 100_000, "answer is not JSON (RecursionError)"),
    ],
)
def test_an_answer_must_keep_to_its_format_in_whatever_form_that_was_given(given_format, text, problem):
    assert problems(saying(text), formatted(given_format)) == ((problem,) if problem else ())


@pytest.mark.parametrize(
    ("text", "problem"), [("{}", None), ("[1]", None), ("It is good.", "answer is not JSON (Expecting value)")]
)
def test_json_mode_asks_for_any_json(text, problem):
    assert problems(saying(text), formatted({"type": "json_object"})) == ((problem,) if problem else ())


def test_an_answer_that_was_cut_is_not_blamed_for_its_format_too():
    assert problems(saying('{"label": "go', finish="length"), formatted(SCHEMA)) == ("cut off (finish reason length)",)


def test_a_format_of_plain_text_is_no_format():
    assert problems(saying("It is good."), formatted({"type": "text"})) == ()


def test_an_agent_that_still_calls_tools_need_not_keep_to_the_final_format_yet():
    assert problems(calling('{"city": "Oslo"}'), ask(response_format=SCHEMA)) == ()


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "no such type"},
        {"properties": {"a": {"pattern": "("}}},
        {"$ref": "#/$defs/missing"},
        {"$ref": "#"},
        {"$ref": "http://127.0.0.1:9/schema.json"},
        {"properties": {"a": {"multipleOf": 0.01}}},
        {"properties": {1: {"type": "string"}, "b": {}}},
        {"properties": {("a",): {}}},
        [],
        True,
        {},
    ],
)
def test_a_broken_schema_is_not_the_models_fault(schema):
    assert schema_problem({"a": float("inf")}, schema) is None


def test_a_schema_may_refer_to_its_own_definitions():
    schema = {"$defs": {"n": {"type": "integer"}}, "properties": {"a": {"$ref": "#/$defs/n"}}}
    assert schema_problem({"a": 1}, schema) is None
    assert schema_problem({"a": "x"}, schema) == "a breaks type integer"


SECRET = "anna@example.org"


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"properties": {"a": {"type": "integer"}}}, {"a": SECRET}),
        ({"properties": {"a": {"enum": ["x"]}}}, {"a": SECRET}),
        ({"properties": {"a": {"pattern": "^x"}}}, {"a": SECRET}),
        ({"properties": {"a": {"maxLength": 3}}}, {"a": SECRET}),
        ({"properties": {"a": {"uniqueItems": True}}}, {"a": [SECRET, SECRET]}),
        ({"properties": {"a": {"contains": {"type": "integer"}}}}, {"a": [SECRET]}),
        ({"additionalProperties": False}, {SECRET: 1}),
        ({"additionalProperties": {"type": "integer"}}, {SECRET: "x"}),
        ({"additionalProperties": {"required": ["b"]}}, {SECRET: {}}),
        ({"propertyNames": {"maxLength": 3}}, {SECRET: 1}),
        ({"not": {"required": [SECRET[::-1]]}, "anyOf": [{"type": "string"}]}, {SECRET: SECRET}),
    ],
)
def test_a_problem_names_the_rule_and_the_place_but_nothing_that_was_said(schema, value):
    problem = schema_problem(value, schema)
    assert problem
    assert SECRET not in json.dumps(problem)


def test_a_refusal_said_beside_an_empty_text_is_a_refusal():
    """OpenAI says it in a field of its own, with the finish reason `stop`."""
    answer = Answer(finish="stop", unshown=(Delta(extra={"refusal": "I cannot help with that."}),))
    assert problems(answer, Ask(messages=())) == ("refused (finish reason stop)",)


@pytest.mark.parametrize(("settings", "found"), [({}, ("cut off (finish reason length)",)), ({"max_tokens": 5}, ())])
def test_an_answer_cut_at_the_callers_own_limit_is_what_was_asked_for(settings, found):
    answer = Answer(text="Once upon a time", finish="length")
    assert problems(answer, Ask(messages=(), settings=settings)) == found
