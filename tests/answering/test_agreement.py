"""How far two answers agree, and which can be compared at all."""

from __future__ import annotations

import json

import pytest

from steprouter.answering.agreement import WORTH, Agreement, agreement, is_comparable
from steprouter.answering.answer import Answer, ToolCall
from steprouter.step.step import Needs, Step, StepKind

CALLING = Step(id="s", kind=StepKind.TOOL_CALL)
CLASSIFYING = Step(id="s", kind=StepKind.CLASSIFY)
CHATTING = Step(id="s", kind=StepKind.CHAT)
FORMATTED = Step(id="s", kind=StepKind.ANSWER, needs=Needs(json_schema=True))


def calls(*made, text=""):
    return Answer(
        text=text,
        tool_calls=tuple(ToolCall(id=None, name=name, args=args, raw=json.dumps(args)) for name, args in made),
    )


OSLO = ("weather", {"city": "Oslo", "days": 2})


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (calls(OSLO), Agreement.SAME),
        (calls(("weather", {"days": 2.0, "city": " oslo"})), Agreement.SAME),
        (calls(("weather", {"city": "Bergen", "days": 2})), Agreement.OTHER_ARGUMENTS),
        (calls(("search", {"city": "Oslo", "days": 2})), Agreement.OTHER_CALLS),
        (calls(OSLO, OSLO), Agreement.OTHER_CALLS),
        (calls(text="It is cold."), Agreement.OTHER_CALLS),
    ],
)
def test_tool_calls_are_compared_by_tools_and_arguments(other, expected):
    assert agreement(calls(OSLO), other, CALLING) is expected


def test_several_calls_may_be_made_in_any_order():
    search = ("search", {"q": "snow"})
    assert agreement(calls(OSLO, search), calls(search, OSLO), CALLING) is Agreement.SAME


@pytest.mark.parametrize(
    ("given", "other", "expected"),
    [
        ('{"a": 1, "b": ["X"]}', '{"b": ["x"], "a": 1.0}', Agreement.SAME),
        ('{"a": 1}', '{"a": 2}', Agreement.OTHER_WORDS),
        ('{"a": true}', '{"a": 1}', Agreement.OTHER_WORDS),
    ],
)
def test_json_is_compared_by_what_it_says(given, other, expected):
    assert agreement(Answer(text=given), Answer(text=other), FORMATTED) is expected


@pytest.mark.parametrize(
    ("given", "other", "expected"),
    [
        ("Billing", " **billing.** ", Agreement.SAME),
        ("sign_in", "Sign in", Agreement.SAME),
        ("Billing", "Not billing", Agreement.OTHER_WORDS),
        ("+", "-", Agreement.OTHER_WORDS),
    ],
)
def test_short_answers_are_compared_by_their_words(given, other, expected):
    assert agreement(Answer(text=given), Answer(text=other), CLASSIFYING) is expected


@pytest.mark.parametrize(
    ("answer", "step", "can_be"),
    [
        (calls(OSLO), CALLING, True),
        (Answer(text='{"a": 1}'), FORMATTED, True),
        (Answer(text="Billing"), CLASSIFYING, True),
        (Answer(text="Billing, because of " + "the invoice " * 9), CLASSIFYING, False),
        (Answer(text="You are welcome"), CHATTING, False),
        (Answer(text="It is cold."), CALLING, False),
    ],
)
def test_what_can_be_compared_speaks_for_an_answer_or_against_it(answer, step, can_be):
    assert is_comparable(answer, step) is can_be


def test_every_comparison_is_worth_something_and_the_same_is_worth_all():
    assert set(WORTH) == set(Agreement)
    assert WORTH[Agreement.SAME] == 1 > max(worth for how, worth in WORTH.items() if how is not Agreement.SAME)
