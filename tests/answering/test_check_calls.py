"""What is probably wrong with calls that fit their schemas, and with words in place of a call."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from steprouter.answering.answer import Answer, ToolCall
from steprouter.answering.check import problems
from steprouter.step.ask import Ask, Toolset


def tool(name: str, /, **properties: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": properties}}}


NUMBER, LIST = {"type": "number"}, {"type": "array", "items": {"type": "string"}}
TOOLS = [
    tool("loan_payment", principal=NUMBER, interest_rate=NUMBER, share_percent={"type": "number"}),
    tool("park", name={"type": "string"}, facts=LIST),
    tool("search", query={"type": "string"}),
]
ASKED = HumanMessage("What would I pay?")


def found(answer: Answer, *messages: Any, tools: Any = TOOLS, **options: Any) -> tuple[str, ...]:
    return problems(answer, Ask(messages=messages or (ASKED,), tools=Toolset.of(tools, **options)))


def called(*calls: tuple[str, dict[str, Any]]) -> Answer:
    made = tuple(ToolCall(id=None, name=name, args=args, raw="{}") for name, args in calls)
    return Answer(tool_calls=made, finish="tool_calls")


def said(text: str) -> Answer:
    return Answer(text=text, finish="stop")


@pytest.mark.parametrize(
    ("text", "doubted"),
    [
        ("You can use loan_payment(principal=100) for this.", True),
        ("Call `loan.payment` with your principal.", True),  # as the tool was called before its dot was replaced
        ("```python\nsearch('rates')\n```", True),
        ("I would use `search` here.", True),
        ("My search for rates found nothing.", False),
        ("Shall I run loan_payment with 5 years?", False),
        ("I have loan_payment and park_info, search() too.", True),
        ("I can use loan_payment and `search`.", False),
        ("You would pay 12.", False),
        ("my_loan_payment_table is empty.", False),
    ],
)
def test_a_tool_that_is_named_instead_of_called_is_a_doubt(text, doubted):
    names = {"I have loan_payment and park_info, search() too.": TOOLS[:1]}
    assert bool(found(said(text), tools=names.get(text, TOOLS))) is doubted


def test_words_about_a_tool_that_was_used_are_no_doubt():
    call = AIMessage("", tool_calls=[{"name": "search", "args": {"query": "x"}, "id": "1"}])
    assert found(said("According to `search`, 12."), ASKED, call, ToolMessage("12", tool_call_id="1")) == ()


def test_words_are_no_doubt_where_tools_are_forbidden():
    assert found(said("I cannot use loan_payment now."), tool_choice="none") == ()


@pytest.mark.parametrize(
    ("args", "schema", "doubted"),
    [
        ({"interest_rate": 5}, NUMBER, True),
        ({"interest_rate": 1.5}, NUMBER, True),
        ({"interest_rate": 0.05}, NUMBER, False),
        ({"interest_rate": 5}, {"type": "number", "description": "Yearly, in percent"}, False),
        ({"interest_rate": 5}, {"type": "number", "maximum": 100}, False),
        ({"interest_rate": 5}, {"type": "integer"}, False),
        ({"principal": 5000}, NUMBER, False),
    ],
)
def test_a_percentage_where_a_fraction_seems_to_be_asked_for_is_a_doubt(args, schema, doubted):
    tools = [tool("loan_payment", principal=NUMBER, interest_rate=schema)]
    assert bool(found(called(("loan_payment", args)), tools=tools)) is doubted


@pytest.mark.parametrize(
    ("calls", "says"),
    [
        ([{"name": "Etna", "facts": ["area"]}] * 2, "'park' is called twice with the same arguments"),
        (
            [{"name": "Etna", "facts": ["area"]}, {"name": "Etna", "facts": ["height"]}],
            "'park' is called once for each item of 'facts'",
        ),
        ([{"name": "Etna", "facts": ["area"]}, {"name": "Alps", "facts": ["area"]}], None),
        ([{"name": "Etna", "facts": ["area"]}, {"name": "Alps", "facts": ["height"]}], None),
        ([{}, {}], None),  # what takes no arguments may well be done twice
    ],
)
def test_calls_that_are_one_are_a_doubt(calls, says):
    assert found(called(*(("park", args) for args in calls))) == (() if says is None else (says,))


def test_what_breaks_its_schema_is_told_alone():
    broken = called(("loan_payment", {"interest_rate": "five"}), ("loan_payment", {"interest_rate": "five"}))
    assert found(broken)[0].startswith("arguments of 'loan_payment': interest_rate breaks type")


def test_nothing_of_what_was_said_is_in_a_doubt():
    secret = {"name": "sk-secret", "facts": ["area"]}
    told = found(called(("park", secret), ("park", secret)))
    assert told
    assert "sk-secret" not in str(told)
