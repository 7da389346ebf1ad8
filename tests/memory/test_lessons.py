"""Lessons: what is taken from a step, what is kept of it, who is shown it, and when it is dropped."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from steprouter.answering.answer import Answer, ToolCall
from steprouter.answering.attempt import Attempt
from steprouter.errors import ConfigError
from steprouter.memory.books import at_hand, book_of, is_superfluous, suits
from steprouter.memory.drafts import Draft, clipped, cut, draft_of, sealed, sealed_result, tool_results, with_result
from steprouter.memory.effect import Effect, Verdict, effect_of, superfluous
from steprouter.memory.labels import Source, label
from steprouter.memory.lessons import AtHand, Lesson, Lessons, drawn, judged
from steprouter.memory.outcomes import Tally
from steprouter.memory.policy import MemoryPolicy
from steprouter.memory.recall import Recalled
from steprouter.models.card import ModelCard, Price, Tier
from steprouter.routing.decide import decide
from steprouter.routing.policy import Policy
from steprouter.routing.rules import Rule
from steprouter.step.ask import Ask, Toolset
from steprouter.step.step import Evidence, Needs, Place, Step, StepKind

SMALL = ModelCard(name="small", model="s", base_url="http://s", tier=Tier.LOW, price=Price(input=1, output=2))
LARGE = ModelCard(name="large", model="l", base_url="http://l", tier=Tier.HIGH, price=Price(input=5, output=25))
CARDS = (LARGE, SMALL)
STEP = Step(
    id="step-1",
    kind=StepKind.TOOL_CALL,
    text="How many orders are open?",
    tool_names=("orders",),
    evidence=Evidence(turns=1, last_role="human"),
    needs=Needs(tools=True, input_tokens=100),
)
ASK = Ask(messages=(HumanMessage(STEP.text),))
LESSON = Lesson(
    id="l1", kind="tool_call", task="orders?", approach="orders({})", tools=("orders",), tier=Tier.HIGH, tokens=80
)
NOW = 1_000_000.0
FAKE_KEY = "sk-" + "proj-" + "a1B2c3D4e5F6g7H8" * 3
NO_TALLY = Tally(at=NOW)


def vector(*numbers: float) -> bytes:
    unit = np.array(numbers, dtype="<f4") / np.linalg.norm(numbers)
    return bytes(unit.astype("<f4").tobytes())


def called(args, name="orders", model="large") -> Attempt:
    call = ToolCall(id="c", name=name, args=args, raw=json.dumps(args))
    return Attempt(model=model, answer=Answer(tool_calls=(call,), finish="tool_calls"))


def said(text, model="large") -> Attempt:
    return Attempt(model=model, answer=Answer(text=text, finish="stop"))


def draft(step=STEP, attempt=None, ask=ASK, cards=CARDS, recalled=None, policy=None):
    decision = decide(step, cards, Policy(), recalled or Recalled())
    return draft_of(step, ask, decision, attempt or called({"status": "OPEN"}), cards, policy or Lessons())


def drafted(task="How many orders are open?", args=None, answer="") -> Draft:
    calls = () if args is None else called(args).answer.tool_calls
    lesson = replace(LESSON, task="", approach="", tools=tuple(c.name for c in calls))
    return Draft(lesson=lesson, task=task, calls=calls, answer=answer)


def shown_by(lessons, step=STEP, cards=CARDS, rules=(), **policy):
    known = Recalled(sections={"lessons": AtHand(lessons=tuple(lessons), policy=Lessons(**policy))})
    return decide(step, cards, Policy(rules=rules), known)


def step_drawn(*, below: float | None = None, above: float | None = None) -> Step:
    """A step whose id draws a number below or above a bound."""
    names = (f"step-{n}" for n in range(1000))
    fits = (n for n in names if (below is None or drawn(n) < below) and (above is None or drawn(n) >= above))
    return replace(STEP, id=next(fits))


SHOWN, WITHHELD = step_drawn(above=0.2), step_drawn(below=0.2)


@pytest.mark.parametrize(
    "wrong",
    [{"tokens": 50}, {"per_kind": 0}, {"holdout": 0}, {"holdout": 1}, {"similarity": 0}, {"kinds": ("dream",)}],
)
def test_a_policy_of_lessons_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ConfigError):
        Lessons(**wrong)


def test_lessons_are_off_unless_they_are_asked_for():
    assert MemoryPolicy().lessons is None
    assert Lessons(kinds=("extract",)).kinds == (StepKind.EXTRACT,)


def test_a_step_that_a_strong_model_solved_leaves_a_draft_of_its_call():
    found = draft(replace(STEP, place=Place(node="model", thread="t", user="u")))
    assert (found.task, found.lesson.tools, found.lesson.model) == (STEP.text, ("orders",), "large")
    assert (found.lesson.tier, found.lesson.node, found.lesson.user) == (Tier.HIGH, "model", "u")


def test_nothing_is_taken_from_what_could_be_shown_to_nobody():
    assert draft(attempt=called({}, model="small")) is None
    assert draft(cards=(LARGE,)) is None
    assert draft(replace(STEP, kind=StepKind.PLAN)) is None
    assert draft(replace(STEP, text="")) is None
    assert draft(replace(STEP, needs=Needs(images=True))) is None


def test_nothing_is_taken_from_an_answer_that_is_not_sufficient():
    assert draft(attempt=replace(called({}), problems=("empty answer",))) is None
    assert draft(attempt=Attempt(model="large")) is None


def test_nothing_is_taken_from_an_answer_that_an_example_had_helped():
    mid = ModelCard(name="mid", model="m", base_url="http://m", tier=Tier.MID, price=Price(input=2, output=2))
    known = Recalled(sections={"lessons": AtHand(lessons=(LESSON,), policy=Lessons())})
    assert draft(SHOWN, called({}, model="mid"), cards=(*CARDS, mid), recalled=known) is None
    assert draft(WITHHELD, called({}, model="mid"), cards=(*CARDS, mid), recalled=known) is not None


def test_an_answer_in_json_leaves_the_names_of_its_fields():
    schema = {"title": "Order", "type": "object", "properties": {"number": {}, "city": {}}}
    ask = Ask(messages=ASK.messages, tools=Toolset.of([], response_format=schema))
    step = replace(STEP, kind=StepKind.EXTRACT, needs=Needs(json_schema=True))
    lesson = sealed(draft(step, said('{"number": 7, "city": "Oslo"}'), ask), 400)
    assert (lesson.approach, lesson.result) == ("JSON with the fields number, city", '{"number": 7, "city": "Oslo"}')


def test_the_results_that_end_a_prompt_are_those_of_the_last_calls():
    results = [ToolMessage("12 open", tool_call_id="a"), ToolMessage("3 late", tool_call_id="b")]
    assert tool_results([HumanMessage("?"), AIMessage(""), *results]) == "12 open\n3 late"
    assert tool_results([*results, HumanMessage("thanks")]) == ""


@pytest.mark.parametrize(
    ("source", "score", "means"),
    [
        (Source.FEEDBACK, 1.0, True),
        (Source.JUDGE, 0.9, True),
        (Source.TOOL, 1.0, True),
        (Source.TOOL, 0.5, False),
        (Source.FEEDBACK, 0.7, False),
        (Source.PASSED_CHECK, 1.0, None),
        (Source.NO_COMPLAINT, 1.0, None),
        (Source.EPISODE, 1.0, None),
        (Source.RETRY, 0.0, False),
        (Source.FAILED_CHECK, 0.0, False),
    ],
)
def test_only_a_verdict_on_the_very_step_makes_a_lesson_and_any_failure_takes_it_back(source, score, means):
    assert judged(label("s", source, score, NOW)) is means
    assert judged(None) is None


def test_the_same_address_has_the_same_placeholder_in_task_and_call():
    lesson = sealed(drafted("Mail ann@example.org, not bob@example.org", {"to": "bob@example.org"}), 400)
    assert (lesson.task, lesson.approach) == ("Mail <email-1>, not <email-2>", 'orders({"to":"<email-2>"})')


def test_a_call_that_holds_a_secret_makes_no_lesson():
    assert sealed(drafted(args={"key": FAKE_KEY}), 400) is None
    assert sealed(drafted(args={"password": "correct7horse"}), 400) is None


def test_a_secret_in_task_or_result_is_replaced_and_a_private_key_makes_no_lesson():
    key = "-----BEGIN " + "PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC"
    lesson = sealed(drafted(f"Use {FAKE_KEY} for the orders", {}), 400)
    assert FAKE_KEY not in lesson.task
    assert FAKE_KEY not in sealed_result(f"the key is {FAKE_KEY}")
    assert sealed(drafted(f"Sign with {key}", {}), 400) is None
    assert "MIIEvQ" not in sealed_result(key)


def test_placeholders_of_a_later_result_are_not_mistaken_for_those_of_the_task():
    assert sealed_result("written to eve@example.org") == "written to <email>"


def test_a_long_text_loses_the_word_at_which_it_was_cut_before_it_is_redacted():
    assert clipped("use the key " + FAKE_KEY, 20) == "use the key"
    assert clipped("a short text", 100) == "a short text"
    assert clipped("x" * 50, 20) == ""


@given(st.text(max_size=3000), st.text(max_size=3000), st.integers(100, 600))
def test_a_lesson_is_never_longer_than_it_may_be(task, answer, tokens):
    lesson = sealed(drafted(task, answer=answer), tokens)
    assert lesson is None or (lesson.tokens <= tokens and lesson.task)
    if lesson is not None:
        assert with_result(lesson, answer, tokens).tokens <= tokens


@given(st.text(max_size=500), st.integers(0, 50))
def test_a_text_is_cut_to_the_tokens_that_it_may_take(text, tokens):
    from steprouter.models.tokens import estimate_tokens

    assert estimate_tokens(cut(text, tokens)) <= tokens


def test_an_approach_that_is_too_long_and_json_that_would_be_cut_make_no_lesson():
    words = " ".join(f"item{n}" for n in range(400))
    assert sealed(drafted(args={"text": words}), 200) is None
    broken = replace(drafted(answer=json.dumps({"text": words})), lesson=replace(LESSON, json=True))
    assert sealed(broken, 200) is None


def test_only_a_model_weaker_than_the_one_that_solved_it_is_shown_a_lesson():
    decision = shown_by([LESSON], SHOWN)
    assert decision.candidate("small").example.shown
    assert decision.candidate("large").example is None
    assert shown_by([replace(LESSON, tier=Tier.LOW)], SHOWN).examples == {}


def test_the_tokens_of_a_shown_lesson_are_in_the_price_and_in_the_reason():
    plain, with_lesson = decide(SHOWN, CARDS, Policy(), Recalled()), shown_by([LESSON], SHOWN)
    more = with_lesson.candidate("small").expected_usd - plain.candidate("small").expected_usd
    assert more == pytest.approx(80 * 1 / 1e6)
    assert (with_lesson.candidate("small").lesson_tokens, plain.candidate("small").lesson_tokens) == (80, 0)
    assert "shown a solved example (~80 tokens)" in with_lesson.reason


def test_a_lesson_whose_price_makes_the_small_model_dearer_costs_it_the_first_place():
    near = replace(LARGE, name="near", price=Price(input=1.3, output=2))
    assert decide(SHOWN, (near, SMALL), Policy(), Recalled()).models[0] == "small"
    assert shown_by([LESSON], SHOWN, (near, SMALL)).models[0] == "near"


def test_a_withheld_lesson_costs_nothing_and_is_known_to_have_been_at_hand():
    decision = shown_by([LESSON], WITHHELD)
    example = decision.candidate("small").example
    assert (example.shown, example.propensity, decision.candidate("small").lesson_tokens) == (False, 0.2, 0)
    assert shown_by([LESSON], WITHHELD) == decision


def test_lessons_are_withheld_as_often_as_the_policy_says():
    withheld = [drawn(f"step {n}") < 0.2 for n in range(5000)]
    assert sum(withheld) / 5000 == pytest.approx(0.2, abs=0.02)


def test_a_lesson_stays_under_the_rule_it_was_taken_under():
    rules = (Rule(name="private", kind="tool_call", models=("small", "large")),)
    assert shown_by([LESSON], SHOWN, rules=rules).examples == {}
    assert shown_by([replace(LESSON, rule="private")], SHOWN).examples == {}
    assert "small" in shown_by([replace(LESSON, rule="private")], SHOWN, rules=rules).examples


def test_a_model_outside_the_named_ones_or_without_room_is_shown_nothing():
    cards = (LARGE, replace(SMALL, window_tokens=4_300))
    long = replace(SHOWN, needs=Needs(input_tokens=150, output_tokens=4_000))
    assert shown_by([LESSON], SHOWN, models=("other",)).examples == {}
    assert "small" in shown_by([LESSON], long, cards).examples
    assert shown_by([replace(LESSON, tokens=390)], long, cards).examples == {}


def fits(lesson=LESSON, step=STEP, policy=None, node=None, thread=None, user=None):
    return suits(lesson, step, policy or Lessons(), node=node, thread=thread, user=user)


def test_a_lesson_suits_steps_of_its_node_its_tools_and_its_form_only():
    assert fits()
    assert not fits(node="planner")
    assert not fits(step=replace(STEP, tool_names=("weather",)))
    assert not fits(step=replace(STEP, needs=Needs(json_schema=True)))
    assert not fits(step=replace(STEP, evidence=Evidence()))


def test_a_lesson_is_not_shown_to_the_thread_that_it_comes_from():
    assert not fits(replace(LESSON, thread="t"), thread="t")
    assert fits(replace(LESSON, thread="t"), thread="other")


def test_another_user_is_shown_a_lesson_by_choice_only():
    theirs = replace(LESSON, user="ann")
    assert not fits(theirs, user="bob")
    assert not fits(theirs)
    assert fits(theirs, user="bob", policy=Lessons(per_user=False))


def test_the_nearest_lessons_come_first_and_those_too_far_or_too_long_not_at_all():
    lessons = [
        replace(LESSON, id="far", vector=vector(0, 1)),
        replace(LESSON, id="near", vector=vector(1, 0.1)),
        replace(LESSON, id="nearer", vector=vector(1, 0)),
        replace(LESSON, id="long", vector=vector(1, 0), tokens=900),
    ]
    found = at_hand(book_of(lessons, 2), np.array([1, 0], dtype=np.float32), Lessons(), suits=lambda _: True)
    assert [one.id for one in found.lessons] == ["nearer", "near"]


def test_nothing_is_at_hand_where_lessons_do_not_help():
    lessons = [replace(LESSON, vector=vector(1, 0))]
    for verdict, count in ((Verdict.HELPING, 1), (Verdict.UNPROVEN, 1), (Verdict.HARMFUL, 0), (Verdict.USELESS, 0)):
        book = book_of(lessons, 2, verdict)
        found = at_hand(book, np.array([1, 0], dtype=np.float32), Lessons(), suits=lambda _: True)
        assert len(found.lessons) == count


def test_what_a_book_says_already_is_not_kept_again():
    book = book_of([replace(LESSON, vector=vector(1, 0))], 2)
    alike = replace(LESSON, id="l2", vector=vector(1, 0.05))
    assert is_superfluous(book, alike)
    assert not is_superfluous(book, replace(alike, user="bob"))
    assert not is_superfluous(book, replace(alike, vector=vector(1, 1)))
    assert not is_superfluous(book_of([replace(LESSON, vector=vector(1, 0), tier=Tier.MID)], 2), alike)


def tally(successes: float, failures: float) -> Tally:
    return Tally(successes=successes, failures=failures, at=NOW)


@pytest.mark.parametrize(
    ("shown", "withheld", "verdict"),
    [
        ((29, 0), (0, 29), Verdict.UNPROVEN),
        ((28, 2), (15, 15), Verdict.HELPING),
        ((15, 15), (28, 2), Verdict.HARMFUL),
        ((25, 10), (25, 10), Verdict.UNPROVEN),
        ((180, 40), (180, 40), Verdict.USELESS),
        ((900, 40), (0, 3), Verdict.UNPROVEN),
    ],
)
def test_a_kind_is_judged_by_steps_with_and_without_once_there_are_enough_of_both(shown, withheld, verdict):
    assert Effect(shown=tally(*shown), withheld=tally(*withheld)).verdict(NOW) is verdict


def test_what_was_switched_off_is_tried_again_when_its_counts_have_faded():
    harmful = Effect(shown=tally(15, 15), withheld=tally(28, 2))
    assert harmful.verdict(NOW + 30 * 24 * 3600) is Verdict.UNPROVEN


def test_a_lesson_that_does_worse_than_none_is_dropped_and_then_the_least_useful():
    lessons = [replace(LESSON, id=name, at=NOW) for name in ("bad", "good", "unused", "old")]
    lessons[3] = replace(lessons[3], at=NOW - 60 * 24 * 3600)
    effect = effect_of({"without": tally(20, 5), "bad": tally(1, 8), "good": tally(9, 0)})
    assert superfluous(lessons, effect, Lessons(), NOW) == {"bad"}
    assert superfluous(lessons, effect, Lessons(per_kind=2), NOW) == {"bad", "old"}


def test_too_little_evidence_drops_no_lesson():
    effect = effect_of({"without": tally(20, 5), "l1": tally(0, 4)})
    assert superfluous([LESSON], effect, Lessons(), NOW) == frozenset()
