"""Tool calls by way of a JSON schema, for servers that do not parse calls."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hearing import ASK, both_ways, calls, card, finishes, heard, text
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool

from steprouter.answering.answer import Delta
from steprouter.models.cost import Usage
from steprouter.providers.chat_completions import ChatCompletionsWire
from steprouter.providers.emulated_tools import Unfolding, emulated, fresh_id, instruction, retold
from steprouter.providers.grammar_schemas import grammar_schema
from steprouter.step.ask import Ask, Toolset
from steprouter.testing import SimulatedProvider, say


@tool
def search(query: str, limit: int = 3) -> str:
    """Search the web."""
    return query * limit


@tool
def clock() -> str:
    """Tell the time."""
    return "noon"


def asking(choice: object = None, response_format: Any = None, **fields: Any) -> Ask:
    tools = Toolset.of([search, clock], tool_choice=choice, response_format=response_format)
    return Ask(messages=fields.get("messages", ASK.messages), tools=tools)


def branches(ask: Ask) -> list[dict[str, Any]]:
    schema = emulated(ask, constrained=True)[0].tools.response_format["json_schema"]["schema"]
    return [branch["properties"] for branch in schema.get("anyOf", [schema])]


def unfolded(*parts: str, finish: str | None = "stop", streams: bool = True) -> list[Delta]:
    unfolding = Unfolding(frozenset({"search", "clock"}), call_id="call_0", streams=streams)
    pieces = [piece for part in parts for piece in unfolding.feed([Delta(part)])]
    return pieces + unfolding.feed([Delta(finish=finish)]) + unfolding.close()


def test_each_tool_and_the_answer_are_branches_of_one_schema() -> None:
    found = branches(asking())
    assert [branch.get("tool") for branch in found] == [{"const": "search"}, {"const": "clock"}, None]
    assert found[0]["arguments"]["properties"] == {"query": {"type": "string"}, "limit": {"type": "integer"}}
    assert found[2] == {"answer": {"type": "string"}}


@pytest.mark.parametrize(
    ("choice", "names"), [("any", ["search", "clock"]), ("clock", ["clock"]), ("auto", ["search", "clock", None])]
)
def test_a_forced_tool_leaves_no_branch_for_an_answer(choice: str, names: list[str | None]) -> None:
    assert [branch.get("tool", {}).get("const") for branch in branches(asking(choice))] == names


def test_a_response_format_shapes_the_answers_branch() -> None:
    schema = {"title": "T", "type": "object", "properties": {"n": {"type": "integer"}}}
    assert branches(asking(None, schema))[2]["answer"]["properties"] == {"n": {"type": "integer"}}


def test_without_tools_only_the_history_is_retold() -> None:
    asked, unfolding = emulated(asking("none"), constrained=True)
    assert (asked.tools.schemas, asked.tools.response_format, unfolding) == ((), None, None)


def test_the_system_message_names_the_tools_and_the_form() -> None:
    messages = (SystemMessage("Be brief."), HumanMessage("Hi"))
    asked, _ = emulated(asking(messages=messages), constrained=True)
    told = str(asked.messages[0].content)
    assert told.startswith("Be brief.\n\nDecide whether one of the tools fits")
    line = '{"tool": "search", "arguments": {...}} - search(query: string, limit?: integer): Search the web.'
    assert told.splitlines()[3] == line
    assert told.endswith('{"answer": "..."} - if no tool fits: answer in words')


def test_where_a_tool_is_forced_no_way_to_answer_is_told() -> None:
    assert "answer" not in instruction([search_schema()], may_answer=False)


def search_schema() -> dict[str, Any]:
    return Toolset.of([search]).schemas[0]


def test_calls_and_results_become_plain_turns_in_the_same_form() -> None:
    call = {"id": "c1", "name": "search", "args": {"query": "é"}}
    other = {"id": "c2", "name": "clock", "args": {}}
    messages = [
        HumanMessage("Find é."),
        AIMessage("Sure.", tool_calls=[call, other]),
        ToolMessage("42", tool_call_id="c1"),
        ToolMessage("no clock", tool_call_id="c2", status="error"),
        AIMessage("It is 42."),
    ]
    told = [(message.type, message.content) for message in retold(messages)]
    said = 'Sure.\n{"tool": "search", "arguments": {"query": "é"}}\n{"tool": "clock", "arguments": {}}'
    results = "search returned:\n42\n\nclock failed:\nno clock"
    assert told == [("human", "Find é."), ("ai", said), ("human", results), ("ai", "It is 42.")]


def test_ids_are_derived_and_new_in_the_conversation() -> None:
    call = {"name": "search", "args": {}}
    messages = [AIMessage("", tool_calls=[{**call, "id": "call_2"}, {**call, "id": "x"}])]
    assert (fresh_id([]), fresh_id(messages)) == ("call_0", "call_3")


def test_the_text_of_an_answer_is_given_as_it_comes() -> None:
    pieces = unfolded('{"ans', 'wer": "Good', " day, \\", '"all\\u00', "e9\\ud83c\\udf", '0d\\"', '."', "}")
    assert [piece.text for piece in pieces if piece.text] == ["Good", " day, ", '"all', "é", '🌍"', "."]
    assert finishes(pieces) == ["stop"]


def test_arguments_of_a_call_are_given_as_they_come() -> None:
    pieces = unfolded('{"tool": "search", ', '"arguments": {"query": "}{\\"', '", "limit', '": 3}', "}\n")
    args = '{"query": "}{\\"", "limit": 3}'
    assert (calls(pieces), finishes(pieces)) == ({0: ("call_0", "search", args)}, ["tool_calls"])
    assert len([piece for piece in pieces if piece.tools]) > 1


def test_fields_in_another_order_are_understood_at_the_end() -> None:
    pieces = unfolded('{"arguments": {"query": "x"}, "tool": "search"}')
    assert calls(pieces) == {0: ("call_0", "search", '{"query": "x"}')}


def test_an_answer_that_is_an_object_is_given_as_its_json() -> None:
    assert text(unfolded('{"answer": {"n": ', "7}}", streams=False)) == '{"n": 7}'


@pytest.mark.parametrize("said", ["Sure, I will search.", "", "[1, 2]"])
def test_a_reply_that_is_no_object_is_passed_on_as_text(said: str) -> None:
    assert text(unfolded(*said)) == said


@pytest.mark.parametrize(
    "said", ['{"tool": "fly", "arguments": {}}', '{"tool": "search"}', '{"tool": "search", "arguments": {"q": 1} x']
)
def test_a_call_out_of_form_never_becomes_a_call_that_could_run(said: str) -> None:
    for _, name, args in calls(unfolded(*said)).values():
        assert name == "fly" or not is_object(args)


def is_object(args: str) -> bool:
    try:
        return isinstance(json.loads(args), dict)
    except ValueError:
        return False


def test_a_call_cut_in_the_middle_stays_unfinished() -> None:
    pieces = unfolded('{"tool": "search", "arguments": {"query": "/home/bob', finish=None)
    assert (calls(pieces), finishes(pieces)) == ({0: ("call_0", "search", '{"query": "/home/bob')}, [])


def test_an_answer_cut_inside_an_escape_ends_before_it() -> None:
    assert text(unfolded('{"answer": "Good \\u00', finish="length")) == "Good "


def test_usage_details_and_thoughts_pass_through() -> None:
    unfolding = Unfolding(frozenset(), call_id="call_0", streams=True)
    usage, thought = Usage(input_tokens=1, output_tokens=2), {"reasoning_content": "Hm"}
    first = unfolding.feed([Delta('{"answer": ', details={"model_name": "m"}), Delta(extra=thought)])
    last = unfolding.feed([Delta('"Hi"}'), Delta(finish="stop"), Delta(usage=usage)]) + unfolding.close()
    assert first == [Delta(extra=thought, details={"model_name": "m"})]
    assert last == [Delta("Hi"), Delta(usage=usage), Delta(finish="stop")]


REPLIES = [
    {"answer": 'Grüße, "all" \\ 🌍\n'},
    {"tool": "search", "arguments": {"query": '}]{["\\', "deep": [{"a": ["🌍"]}]}},
    {"tool": "clock", "arguments": {}},
]


@given(st.sampled_from(REPLIES), st.booleans(), st.lists(st.integers(0, 200), max_size=12))
def test_every_split_of_a_reply_comes_to_the_same(reply: dict[str, Any], escaped: bool, cuts: list[int]) -> None:
    said = json.dumps(reply, ensure_ascii=escaped)
    edges = [0, *sorted(min(cut, len(said)) for cut in cuts), len(said)]
    pieces = unfolded(*(said[start:end] for start, end in pairwise(edges)))
    assert text(pieces) == reply.get("answer", "")
    assert {name: json.loads(args) for _, name, args in calls(pieces).values()} == (
        {reply["tool"]: reply["arguments"]} if "tool" in reply else {}
    )


@given(st.text(alphabet='{}[]":, \\untolasrchewgm1', max_size=60))
def test_no_reply_whatever_loses_the_finish_or_raises(said: str) -> None:
    assert finishes(unfolded(*said)) in (["stop"], ["tool_calls"])


def test_references_are_inlined_and_unknown_keywords_left_out() -> None:
    schema = {
        "type": "object",
        "properties": {
            "at": {"$ref": "#/$defs/Point", "description": "where"},
            "tag": {"type": "string", "pattern": "^a", "format": "uri", "maxLength": 99999, "minLength": 1},
            "of": {"allOf": [{"$ref": "#/$defs/Point"}], "description": "what"},
        },
        "required": ["at"],
        "$defs": {"Point": {"title": "Point", "type": "object", "properties": {"x": {"type": "number"}}}},
    }
    point = {"type": "object", "properties": {"x": {"type": "number"}}, "additionalProperties": False}
    assert grammar_schema(schema) == {
        "type": "object",
        "properties": {"at": point, "tag": {"type": "string", "minLength": 1}, "of": point},
        "required": ["at"],
        "additionalProperties": False,
    }


def test_a_schema_inside_itself_comes_to_an_end() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}
    loose = grammar_schema({"$ref": "#/$defs/Node", "$defs": {"Node": node}})
    assert loose["properties"] == {"next": {}}
    assert grammar_schema({"$ref": "#"}) == {}


@pytest.mark.parametrize("schema", [None, True, {"$ref": "https://x"}, {"$ref": "#/nowhere/0"}, {"allOf": [7]}])
def test_odd_schemas_allow_anything_rather_than_fail(schema: Any) -> None:
    assert grammar_schema(schema) == {}


@both_ways
async def test_over_the_wire_a_schema_goes_out_and_a_call_comes_back(way: str) -> None:
    said = '{"tool": "search", "arguments": {"query": "x"}}'
    with SimulatedProvider({"m": say(said)}) as provider:
        pieces = await heard(ChatCompletionsWire(card(provider.url, tools="json_schema")), way, asking())
        (request,) = provider.requests
    assert calls(pieces) == {0: ("call_0", "search", '{"query": "x"}')}
    assert finishes(pieces) == ["tool_calls"]
    assert (request.tools, (request.response_format or {})["type"]) == ((), "json_schema")
