"""What must be the same for an answer to be given again, and which steps are never answered so."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage
from pydantic import BaseModel
from questions import CACHE, DELETE, LOOK_UP, QUESTION, SYSTEM, asking, refused, round_of, scoped

from steprouter import ModelCard
from steprouter.caching.policy import AnswerCache
from steprouter.caching.scope import Scope, heat_of
from steprouter.step.step import Place, StepKind
from steprouter.testing import ScriptedChatModel

OTHERS = {
    "tenant": {"place": Place(tenant="other", node="faq")},
    "user": {"place": Place(tenant="acme", node="faq", user="ann")},
    "node": {"place": Place(tenant="acme", node="help")},
    "kind": {"kind": StepKind.CHAT},
    "policy": {"floor": "tier 2"},
    "format": {"response_format": {"type": "json_object"}},
    "tools that are forbidden": {"tools": [LOOK_UP], "tool_choice": "none"},
    "temperature": {"temperature": 0.2},
    "temperature of the models": {"heat": 0.1},
    "top_p": {"top_p": 0.5},
    "longest answer": {"max_tokens": 100},
    "stop": {"stop": ("\n",)},
    "a setting of the provider": {"extra_body": {"seed": 1}},
}


@pytest.mark.parametrize("asked", OTHERS.values(), ids=OTHERS)
def test_whatever_else_is_asked_otherwise_makes_another_question(asked):
    one, other = scoped(), scoped(**asked)
    assert one.exact != other.exact
    assert one.semantic != other.semantic


HISTORIES = {
    "system prompt": (SystemMessage("You answer questions on cars."), QUESTION),
    "no system prompt": (QUESTION,),
    "earlier message": (SYSTEM, HumanMessage("Hi"), AIMessage("Hello"), QUESTION),
    "earlier answer": (SYSTEM, HumanMessage("Hi"), AIMessage("Hello!"), QUESTION),
    "who speaks": (HumanMessage(SYSTEM.text), QUESTION),
    "name of who speaks": (SYSTEM, HumanMessage(QUESTION.text, name="ann")),
    "what a model thought": (
        SYSTEM, HumanMessage("Hi"), AIMessage("Hello", additional_kwargs={"reasoning_content": "…"}), QUESTION,
    ),
    "result of a tool": (SYSTEM, HumanMessage("Hi"), *round_of("look_up", "1"), AIMessage("So"), QUESTION),
    "another result": (SYSTEM, HumanMessage("Hi"), *round_of("look_up", "2"), AIMessage("So"), QUESTION),
    "another tool": (SYSTEM, HumanMessage("Hi"), *round_of("look", "1"), AIMessage("So"), QUESTION),
    "other arguments": (
        SYSTEM, HumanMessage("Hi"), *round_of("look_up", "1", args={"q": 1}), AIMessage("So"), QUESTION,
    ),
    "a role of one's own": (ChatMessage(content=SYSTEM.text, role="developer"), QUESTION),
    "another role of one's own": (ChatMessage(content=SYSTEM.text, role="critic"), QUESTION),
}  # fmt: skip


def test_whatever_else_was_said_before_makes_another_question():
    scopes = [scoped(), *(scoped(*messages) for messages in HISTORIES.values())]
    assert len({scope.exact for scope in scopes}) == len(scopes)
    assert len({scope.semantic for scope in scopes}) == len(scopes)


@given(st.lists(st.text(max_size=20), min_size=1, max_size=4), st.lists(st.text(max_size=20), min_size=1, max_size=4))
def test_no_texts_however_they_are_cut_make_two_histories_meet(one, other):
    assume(one != other)
    first, second = ([HumanMessage(text) for text in texts] for texts in (one, other))
    cache = AnswerCache(max_temperature=None)
    a, b = asking(*first, cache=cache), asking(*second, cache=cache)
    assume(isinstance(a, Scope) and isinstance(b, Scope))
    assert a.exact != b.exact
    if one[:-1] != other[:-1] and a.semantic and b.semantic:
        assert a.semantic != b.semantic


SIGNS = ["\0", "\x1f", '","', '"],["', "]]", "\n\nHuman: ", "|", "null", "s1exact", '"},{"type":"human","content":"']


@pytest.mark.parametrize("sign", SIGNS)
def test_separators_in_a_text_move_nothing_from_one_part_to_the_next(sign):
    one = scoped(SystemMessage(f"a{sign}b"), HumanMessage("How do I oil a chain?"))
    other = scoped(SystemMessage("a"), HumanMessage(f"b{sign}"), HumanMessage("How do I oil a chain?"))
    third = scoped(SystemMessage("a"), HumanMessage(f"{sign}b"), HumanMessage("How do I oil a chain?"))
    assert len({scope.exact for scope in (one, other, third)}) == 3
    assert len({scope.semantic for scope in (one, other, third)}) == 3


@given(st.text(max_size=9), st.text(max_size=9), st.text(max_size=9), st.text(max_size=9))
def test_tenants_and_users_never_meet_whatever_their_names(tenant, user, other_tenant, other_user):
    assume((tenant, user) != (other_tenant, other_user))
    one = scoped(place=Place(tenant=tenant, user=user, node="faq"))
    other = scoped(place=Place(tenant=other_tenant, user=other_user, node="faq"))
    assert one.exact != other.exact
    assert one.semantic != other.semantic


def test_ids_and_metadata_of_messages_make_no_other_question():
    other = AIMessage("Hello", id="run-2", response_metadata={"model_name": "x"}, usage_metadata=None)
    one = scoped(SYSTEM, HumanMessage("Hi"), AIMessage("Hello"), QUESTION)
    assert one == scoped(SYSTEM, HumanMessage("Hi", id="h"), other, QUESTION)


def test_ids_of_calls_make_no_other_question_while_their_order_is_the_same():
    first = [*round_of("look_up", "1", one="c1"), *round_of("look_up", "2", one="c2")]
    again = [*round_of("look_up", "1", one="x"), *round_of("look_up", "2", one="y")]
    reused = [*round_of("look_up", "1", one="call_0"), *round_of("look_up", "2", one="call_0")]
    assert scoped(SYSTEM, QUESTION, *first) == scoped(SYSTEM, QUESTION, *again) == scoped(SYSTEM, QUESTION, *reused)


def test_results_that_changed_places_make_another_question():
    calls = [{"name": "look_up", "args": {"q": q}, "id": f"c{q}", "type": "tool_call"} for q in (1, 2)]
    asked = [SYSTEM, QUESTION, AIMessage("", tool_calls=calls)]
    one, two = ToolMessage("a", tool_call_id="c1"), ToolMessage("a", tool_call_id="c2")
    assert scoped(*asked, one, ToolMessage("b", tool_call_id="c2")) != scoped(
        *asked, two, ToolMessage("b", tool_call_id="c1")
    )


def test_ids_of_blocks_make_no_other_question():
    def answered(number):
        return AIMessage([{"type": "text", "text": "Hello", "id": f"msg_{number}", "index": number}])

    assert scoped(HumanMessage("Hi"), answered(1), QUESTION) == scoped(HumanMessage("Hi"), answered(2), QUESTION)


def test_the_order_in_which_tools_and_settings_are_given_makes_no_other_question():
    tools = [LOOK_UP, {**LOOK_UP, "name": "read"}]
    one = scoped(tools=tools, tool_choice="none", top_p=1, seed=2)
    assert one == scoped(tools=tools[::-1], tool_choice="none", seed=2, top_p=1)


def test_a_changed_schema_of_a_tool_or_of_the_format_makes_another_question():
    def form(size: type) -> type[BaseModel]:
        class Form(BaseModel):
            __annotations__ = {"size": size}

        return Form

    changed = {**LOOK_UP, "description": "Looks up, twice."}
    assert scoped(tools=[LOOK_UP], tool_choice="none") != scoped(tools=[changed], tool_choice="none")

    was, now = form(int), form(float)
    assert was.__qualname__ == now.__qualname__
    assert scoped(response_format=was).exact != scoped(response_format=now).exact


def test_what_has_no_text_of_its_own_is_not_answered_again():
    assert "no text of its own" in refused(callback=object())
    circle = {}
    circle["self"] = circle
    assert "no text of its own" in refused(extra_body=circle)


def test_questions_in_other_words_share_the_semantic_scope_and_not_the_exact_one():
    one, other = scoped(SYSTEM, QUESTION), scoped(SYSTEM, HumanMessage("Please tell me how to oil a chain."))
    assert one.semantic == other.semantic is not None
    assert one.exact != other.exact
    assert one.alike == other.alike


def test_a_question_that_says_something_else_is_not_alike_in_the_same_semantic_scope():
    one, other = scoped(SYSTEM, QUESTION), scoped(SYSTEM, HumanMessage("How do I oil two chains?"))
    assert one.semantic == other.semantic
    assert one.alike != other.alike


def test_a_text_and_one_block_of_it_are_compared_by_meaning_alike():
    block = HumanMessage([{"type": "text", "text": QUESTION.text}])
    assert scoped(SYSTEM, block).semantic == scoped(SYSTEM, QUESTION).semantic


TO_THE_LETTER = {
    "to the letter only": {"cache": AnswerCache(semantic=False)},
    "not among those": {"cache": AnswerCache(nodes=["other"])},
    "plan step": {"kind": StepKind.PLAN},
    "tools may be called": {"tools": [LOOK_UP]},
}


@pytest.mark.parametrize(("told", "asked"), TO_THE_LETTER.items(), ids=TO_THE_LETTER)
def test_where_meaning_is_not_compared_the_trace_says_why(told, asked):
    scope = scoped(**asked)
    assert scope.semantic is None
    assert told in scope.why_not


def test_pictures_results_of_tools_and_documents_are_compared_to_the_letter_only():
    picture = HumanMessage([{"type": "text", "text": "What is it?"}, {"type": "image", "base64": "AAAA"}])
    assert scoped(SYSTEM, picture).why_not == "there is more than text"
    assert scoped(SYSTEM, QUESTION, *round_of("look_up", "1")).why_not == "the last message is no human's text"
    assert "too much or too little" in scoped(SYSTEM, HumanMessage("word " * 1_000)).why_not
    assert "too much or too little" in scoped(SYSTEM, HumanMessage("Thanks!")).why_not


NEVER = {
    "no temperature is set": {"temperature": None},
    "above 0.3": {"temperature": 0.31},
    "several answers": {"n": 2},
    "or their odds": {"logprobs": True},
    "tools of the provider": {"tools": [{"type": "web_search"}]},
    "look something up": {"web_search_options": {"search_context_size": "low"}},
    "may look something up": {"extra_body": {"plugins": [{"id": "web"}]}},
    "be called that are not declared read-only (delete)": {"tools": [LOOK_UP, DELETE]},
    "no user is named": {"cache": AnswerCache(personal="always")},
}


@pytest.mark.parametrize(("told", "asked"), NEVER.items(), ids=NEVER)
def test_some_steps_are_never_answered_again(told, asked):
    assert told in refused(**asked)


def test_no_number_passes_for_a_temperature_that_is_none():
    assert "above" in refused(temperature=float("nan"))
    assert "above" in refused(temperature="0")


def test_a_step_without_a_temperature_has_that_of_the_models():
    assert isinstance(asking(temperature=None, heat=0.2), Scope)
    assert isinstance(asking(temperature=0.1, heat=0.9), Scope)
    assert "above" in refused(temperature=None, heat=0.9)


def test_the_temperature_of_the_models_is_that_of_the_hottest():
    stated = {"base_url": "http://127.0.0.1", "settings": {"temperature": 0.2}}
    cards = [
        ModelCard(name="a", model=ScriptedChatModel(temperature=0.0)),
        ModelCard(name="b", model="b", **stated),
    ]
    assert heat_of(cards) == 0.2
    assert heat_of([*cards, ModelCard(name="c", model=ScriptedChatModel())]) is None
    assert heat_of([]) is None


def test_every_temperature_passes_where_the_user_says_so():
    assert isinstance(asking(temperature=1.5, cache=AnswerCache(max_temperature=None)), Scope)


def test_after_a_tool_that_writes_nothing_is_answered_again_until_the_user_speaks():
    done = round_of("delete", "gone")
    assert "were called that are not declared read-only (delete)" in refused(SYSTEM, QUESTION, *done)
    assert isinstance(asking(SYSTEM, QUESTION, *done, AIMessage("Gone."), HumanMessage("How do I oil it?")), Scope)
    assert isinstance(asking(SYSTEM, QUESTION, *round_of("look_up", "1")), Scope)


def test_a_call_that_bears_the_id_of_an_earlier_one_does_not_pass_for_it():
    history = [*round_of("look_up", "1", one="call_0"), *round_of("delete", "gone", one="call_0")]
    history[3] = ToolMessage("gone", tool_call_id="call_0")
    assert "(delete)" in refused(SYSTEM, QUESTION, *history)


def test_a_result_that_nobody_asked_for_counts_as_one_that_wrote():
    assert "(?)" in refused(SYSTEM, QUESTION, ToolMessage("gone", tool_call_id="c9"))


def test_only_a_few_tools_are_named():
    tools = [{**DELETE, "name": f"delete_{n}"} for n in range(5)]
    assert "(delete_0, delete_1, delete_2, …)" in refused(tools=tools)


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "image", "url": "http://example.com/a.png"},
        {"type": "file", "source": {"type": "url", "url": "gs://bucket/a.pdf"}},
        {"type": "document", "source": {"content": [{"type": "image", "url": "s3://bucket/a"}]}},
    ],
)
def test_what_lies_behind_an_address_may_change_and_is_not_answered_again(block):
    assert "behind an address" in refused(SYSTEM, HumanMessage([{"type": "text", "text": "What is it?"}, block]))


def test_an_address_in_a_text_or_in_the_arguments_of_a_call_is_but_named():
    text = HumanMessage([{"type": "text", "text": "https://example.com/a is what?"}])
    call = AIMessage([{"type": "tool_use", "id": "t", "name": "look_up", "input": {"url": "https://example.com"}}])
    assert isinstance(asking(SYSTEM, text), Scope)
    assert isinstance(asking(SYSTEM, HumanMessage("Hi"), call, AIMessage("So"), QUESTION), Scope)


def test_a_question_whose_answer_passes_is_not_answered_again():
    assert "tomorrow" in refused(SYSTEM, HumanMessage("Is it raining today?"))
    assert "tomorrow" in refused(
        SYSTEM, HumanMessage("Is it raining today?"), AIMessage("No."), HumanMessage("In Bonn?")
    )


def test_results_of_tools_say_for_themselves_what_is():
    asked = [SYSTEM, HumanMessage("Is it raining today?")]
    one, other = (scoped(*asked, *round_of("look_up", result)) for result in ("yes", "no"))
    assert one.exact != other.exact


def test_a_document_may_speak_of_today_where_its_task_does_not():
    document = "a " * 1_000 + "today " + "b " * 1_000
    assert isinstance(asking(SYSTEM, HumanMessage(f"Summarise this.\n{document}")), Scope)
    assert "tomorrow" in refused(SYSTEM, HumanMessage(f"{document}\nWhat of this is due today?"))


def test_users_share_answers_only_where_the_user_of_the_library_says_so():
    shared = AnswerCache(personal="never")
    ann, bob = (Place(tenant="acme", node="faq", user=user) for user in ("ann", "bob"))
    assert scoped(place=ann).exact != scoped(place=bob).exact
    assert scoped(place=ann, cache=shared) == scoped(place=bob, cache=shared)
    assert scoped(place=ann, cache=shared).exact == scoped(cache=shared).exact


def test_a_scope_shows_nothing_of_what_was_asked():
    assert "chain" not in repr(scoped(cache=CACHE))
