"""What of a step is embedded, so that steps that went alike are found."""

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from steprouter.step.ask import Ask, Toolset
from steprouter.step.read import read_step
from steprouter.step.step import Place, StepKind
from steprouter.step.text import NAMES_CHARACTERS, RESULT_CHARACTERS, STEP_TEXT_CHARACTERS, step_text

POLICY = SystemMessage("# Airline agent policy\n" + "Basic economy flights cannot be modified. " * 100)
ASKED = HumanMessage("Please cancel my reservation MDCLVA, my plans have changed.")
RECORD = '{"reservation_id": "MDCLVA", "origin": "EWR", "cabin": "basic_economy"}'
REFUSED = "Error: gift card balance is not enough"
CHOICE = {"title": "Intent", "type": "object", "properties": {"label": {"enum": ["cancel", "other"]}}}
FORM = {"title": "Booking", "type": "object", "properties": {"id": {"type": "string"}, "legs": {"type": "array"}}}
LONG_TASK = HumanMessage("Compare the fares of all flights from Newark to Detroit in May. " * 20)


def calls(*names):
    return AIMessage("", tool_calls=[{"name": name, "args": {"id": "MDCLVA"}, "id": name} for name in names])


def result(text, call="get_reservation", **kwargs):
    return ToolMessage(text, tool_call_id=call, **kwargs)


def bound(*names):
    return Toolset.of([{"type": "function", "function": {"name": name, "parameters": {}}} for name in names])


def formatted(schema):
    return Toolset.of([], response_format=schema)


LOOKED_UP = (POLICY, ASKED, calls("get_reservation"), result(RECORD))
AIRLINE = bound("get_reservation", "cancel_reservation")


@pytest.mark.parametrize(
    ("kind", "messages", "tools", "text"),
    [
        (StepKind.TOOL_CALL, (POLICY, ASKED), AIRLINE, ASKED.text),
        (StepKind.TOOL_CALL, (*LOOKED_UP, AIMessage("Shall I?"), HumanMessage("Yes.")), AIRLINE, "Yes."),
        (StepKind.READ_RESULT, LOOKED_UP, AIRLINE, f"get_reservation\n{RECORD}"),
        (
            StepKind.RECOVER,
            (POLICY, ASKED, calls("pay"), result(REFUSED, "pay", status="error")),
            AIRLINE,
            f"pay\n{REFUSED}",
        ),
        (StepKind.PLAN, (POLICY, LONG_TASK), AIRLINE, LONG_TASK.text),
        (StepKind.CODE, (POLICY, ASKED), bound("edit_file"), ASKED.text),
        (StepKind.CODE, LOOKED_UP, bound("edit_file"), f"get_reservation\n{RECORD}"),
        (StepKind.CLASSIFY, (POLICY, ASKED), formatted(CHOICE), ASKED.text),
        (StepKind.EXTRACT, (POLICY, ASKED), formatted(FORM), ASKED.text),
        (StepKind.ANSWER, LOOKED_UP, Toolset(), f"get_reservation\n{RECORD}"),
        (StepKind.ANSWER, (POLICY, LONG_TASK), Toolset(), LONG_TASK.text),
        (StepKind.CHAT, (ASKED,), Toolset(), ASKED.text),
    ],
)
def test_a_step_after_tools_is_known_by_what_they_gave_and_others_by_what_was_asked(kind, messages, tools, text):
    ask = Ask(messages=messages, tools=tools)
    assert read_step(ask, Place(), step_id="s", started_at=0.0).kind is kind
    assert step_text(messages) == text


@pytest.mark.parametrize(
    ("kind", "node"),
    [(StepKind.SUMMARIZE, "summarize"), (StepKind.REFLECT, "critique"), (StepKind.HOUSEKEEPING, "make_title")],
)
def test_a_step_that_its_node_names_has_the_text_of_any_other(kind, node):
    step = read_step(Ask(messages=LOOKED_UP), Place(node=node), step_id="s", started_at=0.0)
    assert step.kind is kind
    assert step_text(LOOKED_UP) == f"get_reservation\n{RECORD}"


def test_words_that_a_tool_brought_never_become_what_a_human_asked():
    step = read_step(Ask(messages=LOOKED_UP, tools=AIRLINE), Place(), step_id="s", started_at=0.0)
    assert step.text == ASKED.text


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ((), ""),
        ((SystemMessage("Be kind."),), "Be kind."),
        ((HumanMessage([{"type": "image", "url": "http://x"}]),), ""),
        ((HumanMessage([{"type": "text", "text": "See: "}, {"type": "image", "url": "http://x"}]),), "See: "),
        ((ASKED, calls("look"), result([{"type": "image", "url": "http://x"}])), "look\n"),
        ((ASKED, calls("look"), result([{"type": "text", "text": "a cat"}])), "look\na cat"),
        ((ASKED, calls("a", "b"), result("1", "a"), result("2", "b")), "a b\n1\n2"),
        ((result("7", name="add"),), "add\n7"),
        ((result("7"),), "7"),
        ((ASKED, AIMessage("I looked."), result("7", name="add")), "add\n7"),
        ((ASKED, calls("f"), result("\ud800")), "f\n\ud800"),
        ((HumanMessage("\ud800"),), "\ud800"),
    ],
)
def test_odd_conversations_have_a_text_too(messages, text):
    assert step_text(messages) == text


def test_a_result_of_a_megabyte_counts_by_its_beginning():
    text = step_text((ASKED, calls("read_file"), result("x" * 2**20)))
    assert text == "read_file\n" + "x" * RESULT_CHARACTERS


def test_many_calls_at_once_leave_room_for_what_they_gave():
    names = [f"search_{number}" for number in range(500)]
    text = step_text((ASKED, calls(*names), *(result("found it", name) for name in names)))
    assert text.startswith("search_0 search_1 ")
    assert text.endswith("\nfound it\nfo")
    assert len(text) <= NAMES_CHARACTERS + 1 + RESULT_CHARACTERS


def test_a_long_question_counts_by_its_beginning():
    assert step_text((HumanMessage("why " * 10**6),)) == ("why " * 1000)[:STEP_TEXT_CHARACTERS]


def test_the_system_prompt_and_older_turns_say_nothing_of_a_step():
    older = (HumanMessage("Hello"), AIMessage("Hi, how can I help?"))
    assert step_text((POLICY, *older, *LOOKED_UP[1:])) == step_text(LOOKED_UP[1:])
    assert step_text((POLICY, *older, ASKED)) == step_text((ASKED,))
