"""What a journal holds, and which one belongs to a call of a resumed graph."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from pydantic import BaseModel

from steprouter.answering.answer import ToolCall
from steprouter.memory.journal import (
    Began,
    JournalEntry,
    JournalPlace,
    Line,
    Segment,
    Stood,
    decode,
    encode,
    pick,
    place_of,
    prompt_digest,
)
from steprouter.step.ask import Ask, Toolset
from steprouter.step.digests import read_trail
from steprouter.step.step import Place

KEY = b"k" * 32
LOOK_UP = ToolCall(id="c1", name="look_up", args={"q": "x"}, raw='{"q": "x"}')


def entry(*lines: Line, **fields: Any) -> JournalEntry:
    known: dict[str, Any] = {"run": "r", "owner": "o", "task": "t", "began_at": 1.0}
    return JournalEntry(**{**known, **fields}, lines=lines, length=len(lines))


def called(one: str, two: str) -> AIMessage:
    calls: list[Any] = [{"name": "find", "args": {"q": name}, "id": name, "type": "tool_call"} for name in (one, two)]
    return AIMessage("", tool_calls=calls)


def digest(*messages: BaseMessage, **ask: Any) -> str:
    one = Ask(messages=messages, **ask)
    found = prompt_digest(one, KEY)
    assert found == prompt_digest(one, KEY, read_trail(messages, KEY).asked)
    return found


def test_lines_come_back_with_neighbouring_texts_joined() -> None:
    lines = [Began("small", "a1"), "Once ", "upon", LOOK_UP, Stood({"mode": "exact", "at": 9}), "a", " time"]
    assert decode(encode(lines)) == (7, [lines[0], "Once upon", LOOK_UP, lines[4], "a time"])


@given(st.lists(st.text(st.characters())))
def test_no_text_is_altered_whatever_its_characters(texts: list[str]) -> None:
    number, lines = decode(encode(texts))
    assert (number, "".join(map(str, lines))) == (len(texts), "".join(texts))


@pytest.mark.parametrize(
    "text", [b"", b"{}", b"[]", b'["a"]', b"[1,2]", b'[1,{"b":1}]', b'[1,{"z":[]}]', b"\xff", b"[0,1]"]
)
def test_what_is_no_journal_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="these are no lines of a journal"):
        decode(text)


def test_an_entry_tells_what_each_attempt_said() -> None:
    one = entry(
        *(Began("small", "a1"), "Once ", LOOK_UP, Stood({"at": 1})),
        *(Began("large", "a2", goes_on=True), "upon", Stood({"at": 2})),
    )
    assert one.segments == (
        Segment(model="small", attempt="a1", text="Once ", calls=(LOOK_UP,)),
        Segment(model="large", attempt="a2", text="upon"),
    )
    assert (one.text, one.facts, one.calls) == ("Once upon", {"at": 2}, ())


def test_an_attempt_that_does_not_go_on_begins_the_answer_anew() -> None:
    one = entry(Began("small", "a1"), "Once ", LOOK_UP, Stood({"at": 1}), Began("large", "a2"), "Twice")
    assert one.segments == (Segment(model="large", attempt="a2", text="Twice"),)
    assert (one.text, one.facts, one.calls) == ("Twice", {}, ())
    assert not entry("Once", Began("large", "a2")).says_something


def test_what_is_said_before_any_attempt_is_a_segment_of_nobody() -> None:
    assert entry("a", Began("m", goes_on=True)).segments == (Segment(text="a"), Segment(model="m"))
    assert entry().segments == ()


MINE, OTHER = entry("mine"), entry("theirs", task="other")


@pytest.mark.parametrize(
    ("entries", "may_be_another_task", "picked"),
    [
        pytest.param([], True, None, id="nothing_there"),
        pytest.param([OTHER, MINE], True, MINE, id="the_same_task_comes_first"),
        pytest.param([OTHER], True, OTHER, id="another_task_that_died_will_do"),
        pytest.param([OTHER], False, None, id="but_not_in_time_travel"),
        pytest.param([replace(OTHER, is_left=True)], True, None, id="nor_if_it_lived_to_leave_it"),
        pytest.param(
            [replace(MINE, is_left=True)], False, replace(MINE, is_left=True), id="the_same_task_may_leave_it"
        ),
        pytest.param([entry(Began("m"), task="t")], True, None, id="one_that_says_nothing_is_none"),
        pytest.param([replace(MINE, began_at=2.0), MINE], True, MINE, id="of_several_the_oldest"),
    ],
)
def test_the_journal_of_a_call(
    entries: list[JournalEntry], may_be_another_task: bool, picked: JournalEntry | None
) -> None:
    assert pick(entries, "t", may_be_another_task=may_be_another_task) == picked


def test_ids_of_messages_do_not_count_and_those_of_calls_by_order_only() -> None:
    first = [called("a", "b"), ToolMessage("1", tool_call_id="a", id="m1"), ToolMessage("2", tool_call_id="b")]
    again = [called("a", "b"), ToolMessage("1", tool_call_id="a", id="m9"), ToolMessage("2", tool_call_id="b", id="m8")]
    assert digest(*first) == digest(*again)
    swapped = [called("a", "b"), ToolMessage("1", tool_call_id="b"), ToolMessage("2", tool_call_id="a")]
    assert digest(*first) != digest(*swapped)


def test_new_ids_of_calls_are_the_same_prompt() -> None:
    def said(one: str) -> list[BaseMessage]:
        return [AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": one}]), ToolMessage("1", tool_call_id=one)]

    assert digest(*said("call_1")) == digest(*said("call_2"))


class City(BaseModel):
    """A city."""

    name: str


@pytest.mark.parametrize(
    "ask",
    [
        {"tools": Toolset.of([City])},
        {"tools": Toolset.of([City], tool_choice="any")},
        {"tools": Toolset.of([], response_format=City)},
        {"tools": Toolset.of([], response_format={"type": "json_object"})},
        {"tools": Toolset.of([], options={"strict": True})},
        {"stop": ("\n",)},
        {"settings": {"temperature": 0.0}},
    ],
)
def test_whatever_is_bound_makes_another_prompt(ask: dict[str, Any]) -> None:
    assert digest(HumanMessage("hi"), **ask) != digest(HumanMessage("hi"))
    assert digest(HumanMessage("hi"), **ask) == digest(HumanMessage("hi", id="x"), **ask)


@pytest.mark.parametrize(
    "other",
    [
        [HumanMessage("hi "), SystemMessage("s")],
        [SystemMessage("s"), HumanMessage("hi")],
        [HumanMessage("hi", name="bob"), SystemMessage("s")],
        [HumanMessage("hi")],
        [HumanMessage(["hi"]), SystemMessage("s")],
        [HumanMessage("his"), SystemMessage("")],
    ],
)
def test_another_conversation_is_another_prompt(other: list[BaseMessage]) -> None:
    assert digest(*other) != digest(HumanMessage("hi"), SystemMessage("s"))


def test_nobody_without_the_key_can_tell_a_prompt() -> None:
    ask = Ask(messages=(HumanMessage("hi"),))
    assert prompt_digest(ask, b"a" * 32) != prompt_digest(ask, b"b" * 32)


HERE = Place(
    thread="t-1",
    node="b",
    graph_step=3,
    task="11111111-2222-3333-4444-555555555555",
    namespace="sub:aaaaaaaa-2222-3333-4444-555555555555|b:11111111-2222-3333-4444-555555555555",
    metadata={"langgraph_path": ("__pregel_push", 1, False)},
)


def here(**other: Any) -> JournalPlace:
    place = place_of(replace(HERE, **other), "p")
    assert place is not None
    return place


def test_a_place_has_one_name_whatever_ids_are_drawn() -> None:
    namespace = "sub:bbbbbbbb-2222-3333-4444-555555555555|b:cccccccc-2222-3333-4444-555555555555"
    assert here(namespace=namespace, task="another").name == here().name


@pytest.mark.parametrize(
    "other",
    [
        {"thread": "t-2"},
        {"graph_step": 4},
        {"namespace": "sub:x|c:y"},
        {"node": "c"},
        {"metadata": {"langgraph_path": ("__pregel_push", 2, False)}},
    ],
)
def test_another_place_has_another_name(other: dict[str, Any]) -> None:
    assert here(**other).name != here().name
    other_prompt = place_of(HERE, "q")
    assert other_prompt is not None
    assert other_prompt.name != here().name


def test_another_task_will_do_only_where_nothing_speaks_against_it() -> None:
    assert here().may_be_another_task
    assert not here(graph_step=None).may_be_another_task
    assert not here(metadata={**HERE.metadata, "checkpoint_id": "an old one"}).may_be_another_task


def test_outside_a_thread_or_a_graph_there_is_no_journal() -> None:
    assert place_of(replace(HERE, thread=None), "p") is None
    assert place_of(replace(HERE, task=None), "p") is None
