"""How the kind of a step is read from the structure of a call."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from pydantic import BaseModel

from steprouter.step.ask import Ask, Toolset
from steprouter.step.read import read_step
from steprouter.step.step import Place, StepKind

LONG = "Find out which of our suppliers raised prices last year and write to each of them. " * 20
CHOICE = {"type": "object", "properties": {"label": {"enum": ["billing", "other"]}}}
RECORD = {"type": "object", "properties": {"name": {"type": "string"}, "orders": {"type": "array"}}}


def tool(name, parameters=None):
    function = {"name": name, "description": "…", "parameters": parameters or {"type": "object", "properties": {}}}
    return {"type": "function", "function": function}


def bound(*names, **kwargs):
    return Toolset.of([tool(name) for name in names], **kwargs)


def called(name="search", args=None, call_id="c1"):
    return AIMessage("", tool_calls=[{"name": name, "args": args or {}, "id": call_id}])


def result(status="success", call_id="c1"):
    return ToolMessage("…", tool_call_id=call_id, status=status)


def step(*messages, tools=None, place=None, nodes=None, **settings):
    ask = Ask(messages=messages or (HumanMessage("Hi"),), tools=tools or Toolset(), settings=settings)
    return read_step(ask, place or Place(), step_id="s", started_at=0.0, nodes=nodes)


HI = HumanMessage("Hi")
STRUCTURES = [
    (StepKind.PLAN, step(HumanMessage(LONG), tools=bound("search"))),
    (StepKind.TOOL_CALL, step(HI, tools=bound("search"))),
    (StepKind.READ_RESULT, step(HI, called(), result(), tools=bound("search"))),
    (StepKind.RECOVER, step(HI, called(), result("error"), tools=bound("search"))),
    (StepKind.RECOVER, step(HI, called(), result(), called(), result(), tools=bound("search"))),
    (StepKind.EXTRACT, step(HI, tools=Toolset.of([], response_format=RECORD))),
    (StepKind.EXTRACT, step(HI, tools=Toolset.of([], response_format={"type": "json_object"}))),
    (StepKind.EXTRACT, step(HI, tools=Toolset.of([tool("record", RECORD)], tool_choice="any"))),
    (StepKind.CLASSIFY, step(HI, tools=Toolset.of([], response_format=CHOICE))),
    (StepKind.CLASSIFY, step(HI, tools=Toolset.of([tool("label", CHOICE)], tool_choice="label"))),
    (StepKind.SUMMARIZE, step(HumanMessage(LONG), max_tokens=20)),
    (StepKind.CODE, step(HI, tools=bound("edit_file", "run"))),
    (StepKind.REFLECT, step(HI, place=Place(node="critic"))),
    (StepKind.ANSWER, step(HI, called(), result())),
    (StepKind.ANSWER, step(HI, called(), result(), tools=bound("search", tool_choice="none"))),
    (StepKind.ANSWER, step(HumanMessage(LONG))),
    (StepKind.CHAT, step(HI)),
    (StepKind.HOUSEKEEPING, step(HI, place=Place(source="tool_selection"))),
]


@pytest.mark.parametrize(("kind", "read"), STRUCTURES, ids=[f"{k}: {s.kind_from}" for k, s in STRUCTURES])
def test_each_structure_of_a_call_tells_its_kind(kind, read):
    assert read.kind is kind


def test_every_kind_can_be_told_from_structure():
    assert {kind for kind, _ in STRUCTURES} == set(StepKind)


@pytest.mark.parametrize(
    ("open_", "read"),
    [
        (True, step(HI)),
        (True, step(HI, tools=bound("search"))),
        (True, step(HumanMessage(LONG), max_tokens=20)),
        (False, step(HI, called(), result(), tools=bound("search"))),
        (False, step(HI, place=Place(node="planner"))),
    ],
)
def test_only_what_structure_leaves_open_is_said_to_be_open(open_, read):
    assert read.kind_open is open_


def test_a_yes_after_a_plan_is_a_step_with_tools_and_not_a_chat():
    plan = AIMessage("1. Read the contracts. 2. Write to each supplier. Shall I?")
    assert step(HumanMessage(LONG), plan, HumanMessage("yes"), tools=bound("search")).kind is StepKind.TOOL_CALL


@given(st.text(max_size=200), st.text(max_size=200))
def test_the_words_of_a_short_message_never_decide_its_kind(one, other):
    kinds = {step(HumanMessage(words), tools=bound("search")).kind for words in (one, other)}
    assert len(kinds) == 1


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        (Place(node="agent", metadata={"steprouter_kind": "reflect"}, source="summarization"), StepKind.REFLECT),
        (Place(node="agent", source="summarization"), StepKind.SUMMARIZE),
        (Place(node="agent", source="something_new"), StepKind.EXTRACT),
        (Place(node="agent"), StepKind.EXTRACT),
        (Place(node="planner"), StepKind.PLAN),
        (Place(node="agent", metadata={"steprouter_kind": "no such kind"}), StepKind.EXTRACT),
        (Place(node="agent", metadata={"steprouter_kind": ["plan"]}), StepKind.EXTRACT),
    ],
)
def test_the_caller_then_the_middleware_then_the_node_map_then_the_nodes_name_say_the_kind(place, kind):
    assert step(HI, place=place, nodes={"agent": StepKind.EXTRACT}).kind is kind


def test_a_mapped_node_keeps_its_kind_even_where_a_tool_failed():
    failed = (HI, called(), result("error"))
    assert step(*failed, place=Place(node="planner")).kind is StepKind.RECOVER
    assert step(*failed, place=Place(node="planner"), nodes={"planner": StepKind.PLAN}).kind is StepKind.PLAN


@pytest.mark.parametrize(
    ("node", "kind"),
    [
        ("Planner", StepKind.PLAN),
        ("re-plan", StepKind.PLAN),
        ("taskPlanner", StepKind.PLAN),
        ("supervisor:plan", StepKind.PLAN),
        ("SummarizationMiddleware.before_model", StepKind.SUMMARIZE),
        ("tool_selector", StepKind.HOUSEKEEPING),
        ("grade documents", StepKind.REFLECT),
        ("airplane_booking", StepKind.CHAT),
        ("barcode", StepKind.CHAT),
        ("model", StepKind.CHAT),
        ("", StepKind.CHAT),
        ("\ud800", StepKind.CHAT),
    ],
)
def test_a_nodes_name_tells_its_kind_by_how_a_word_of_it_begins(node, kind):
    assert step(HI, place=Place(node=node)).kind is kind


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("edit_file", StepKind.CODE),
        ("applyPatch", StepKind.CODE),
        ("str_replace_based_edit_tool", StepKind.CODE),
        ("reddit_search", StepKind.TOOL_CALL),
        ("get_credit_limit", StepKind.TOOL_CALL),
        ("dispatch_driver", StepKind.TOOL_CALL),
        ("apply_discount", StepKind.TOOL_CALL),
    ],
)
def test_editing_tools_are_told_by_whole_words_of_their_names(name, kind):
    assert step(HI, tools=bound(name)).kind is kind


@pytest.mark.parametrize(
    ("messages", "kind"),
    [
        ((HI,), StepKind.TOOL_CALL),
        ((HI, called(), result()), StepKind.READ_RESULT),
        ((HumanMessage(LONG),), StepKind.PLAN),
    ],
)
def test_a_format_of_the_final_answer_does_not_make_an_agents_every_step_an_extraction(messages, kind):
    """LangChain's provider strategy sends the response format along with the tools of each call."""
    assert step(*messages, tools=bound("search", response_format=RECORD)).kind is kind


def test_a_format_is_what_the_step_is_for_where_tools_are_forbidden():
    tools = bound("search", tool_choice="none", response_format=CHOICE)
    assert step(HI, tools=tools).kind is StepKind.CLASSIFY


class Person(BaseModel):
    name: str
    orders: list[str]


@pytest.mark.parametrize(
    "given_format",
    [
        Person,
        Person.model_json_schema(),
        {"type": "json_schema", "json_schema": {"name": "person", "schema": Person.model_json_schema()}},
        {"type": "json_schema", "json_schema": {"name": "person", "schema": 7}},
        {"properties": ["not", "an", "object"]},
        {"type": "json_schema", "json_schema": None},
        dict,
    ],
)
def test_a_format_in_whatever_form_is_an_extraction(given_format):
    assert step(HI, tools=Toolset.of([], response_format=given_format)).kind is StepKind.EXTRACT


def test_a_format_of_plain_text_asks_for_nothing():
    assert step(HI, tools=Toolset.of([], response_format={"type": "text"})).kind is StepKind.CHAT


@pytest.mark.parametrize("parameters", [[], ["x"], {"properties": ["x"]}, {"properties": None}, None, {}])
def test_a_forced_tool_with_an_odd_schema_is_an_extraction(parameters):
    forced = {"type": "function", "function": {"name": "f", "description": "…", "parameters": parameters}}
    assert step(HI, tools=Toolset.of([forced], tool_choice="any")).kind is StepKind.EXTRACT


@pytest.mark.parametrize(
    ("limit", "kind"), [(400, StepKind.SUMMARIZE), (401, StepKind.ANSWER), (-1, StepKind.ANSWER), (0, StepKind.ANSWER)]
)
def test_long_input_for_at_most_400_tokens_is_a_summary(limit, kind):
    assert step(HumanMessage(LONG * 12), max_tokens=limit).kind is kind


MESSAGES = st.lists(
    st.one_of(
        st.builds(HumanMessage, st.text(max_size=30)),
        st.builds(SystemMessage, st.text(max_size=30)),
        st.builds(result, st.sampled_from(["success", "error"])),
        st.builds(called, st.sampled_from(["search", "edit_file"]), st.dictionaries(st.text(max_size=3), st.none())),
    ),
    max_size=8,
)


@settings(max_examples=60)
@given(MESSAGES, st.sampled_from([(), ("search",), ("edit_file",)]))
def test_any_conversation_at_all_has_a_kind_and_says_how_it_was_found(messages, names):
    ask = Ask(messages=tuple(messages), tools=bound(*names))
    read = read_step(ask, Place(), step_id="s", started_at=0.0)
    assert isinstance(read.kind, StepKind)
    assert read.kind_from
