"""Lessons from end to end: a strong model's solution helps a small one in a real agent, and the effect is measured."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool

from steprouter import ModelCard, Policy, Price, StepKind, StepRouter, Tier
from steprouter.answering.answer import Answer, ToolCall
from steprouter.answering.attempt import Attempt
from steprouter.answering.claims import Granted
from steprouter.flow import Call, Embed, Embedded, Recall, Reserve, Setting, run_step
from steprouter.memory.effect import Verdict
from steprouter.memory.labels import Source
from steprouter.memory.lessons import AtHand, Lesson, Lessons, drawn
from steprouter.memory.policy import MemoryPolicy
from steprouter.memory.recall import Recalled
from steprouter.step.ask import Ask
from steprouter.step.step import Evidence, Step
from steprouter.testing import Cut, ScriptedChatModel, call, say


@tool
def orders(status: str, region: str) -> str:
    """Count orders."""
    return f"12 orders are {status} in {region}; ask ann@example.org"


def strong(request: Any) -> Any:
    """Solves every task."""
    if request.messages[-1]["role"] == "tool" or not request.tools:
        return say("There are 12.")
    return call("orders", status="OPEN", region="EU")


def weak(request: Any) -> Any:
    """Knows the arguments only where it has seen them in an example."""
    if request.messages[-1]["role"] == "tool" or "<solved_example>" in str(request.messages):
        return strong(request)
    return call("orders", state="open")


def misled(request: Any) -> Any:
    """Does well by itself, and copies the example's mistake where there is one."""
    if "<solved_example>" in str(request.messages):
        return call("orders", state="open")
    return strong(request)


class Agent:
    """An agent with a small and a large model, and what was asked of the small one."""

    def __init__(self, small: Any = weak, lessons: Lessons | None = None, **settings: Any) -> None:
        self.small = ScriptedChatModel(small, model_name="small")
        large = ScriptedChatModel(strong, model_name="large")
        cards = [
            ModelCard(name="small", model=self.small, tier=Tier.LOW, price=Price(input=1, output=1)),
            ModelCard(name="large", model=large, tier=Tier.HIGH, price=Price(input=9, output=9)),
        ]
        memory = MemoryPolicy(lessons=lessons)
        first = Policy(reference="small", critical=list(StepKind))  # asked first, however often it fails
        settings.setdefault("policy", first)
        self.router = StepRouter(cards, store="memory", memory_policy=memory, **settings)
        self.engine = self.router.engine
        self.agent = create_agent(self.router, tools=[orders])

    def ask(self, number: int, words: str = "How many orders are open in Europe in week") -> list[Any]:
        """The first step's attempts of a new thread."""
        thread: Any = {"configurable": {"thread_id": f"t{number}"}}
        self.agent.invoke({"messages": [HumanMessage(f"{words} {number}?")]}, thread)
        return list(self.first(number).attempts)

    async def aask(self, number: int) -> list[Any]:
        """As `ask`, without blocking the event loop."""
        thread: Any = {"configurable": {"thread_id": f"t{number}"}}
        message = HumanMessage(f"How many orders are open in Europe in week {number}?")
        await self.agent.ainvoke({"messages": [message]}, thread)
        return list(self.first(number).attempts)

    def first(self, number: int) -> Any:
        self.engine.sink.flush()
        return self.engine.traces.list(f"t{number}")[0]


def teach(agent: Agent) -> None:
    """One lesson, learnt from an escalation and verified by the tool."""
    assert [a.model for a in agent.ask(0)] == ["small", "large"]
    agent.engine.sink.flush()


def test_a_small_model_that_failed_succeeds_once_it_is_shown_how_a_large_one_did_it():
    agent = Agent(lessons=Lessons(holdout=0.5))
    teach(agent)
    tried = [agent.ask(number) for number in range(1, 40)]
    with_lesson = [a for a in tried if a[0].lesson.shown]
    without = [a for a in tried if not a[0].lesson.shown]
    assert {tuple(one.model for one in a) for a in with_lesson} == {("small",)}
    assert {tuple(one.model for one in a) for a in without} == {("small", "large")}


def test_the_effect_shows_in_the_tallies_of_the_kind():
    agent = Agent(lessons=Lessons())
    teach(agent)
    attempts = [agent.ask(number)[0] for number in range(1, 40)]
    agent.engine.sink.flush()
    effect = agent.engine.memory.lesson_effects("default")["tool_call"]
    withheld = sum(not a.lesson.shown for a in attempts)
    assert 0.45 * withheld < effect.withheld.failures <= withheld  # a refusal is not always right
    assert (effect.shown.failures, effect.withheld.successes) == (0, 0)
    assert effect.shown.successes > 10


def test_lessons_that_mislead_a_small_model_are_switched_off_for_their_kind():
    agent = Agent(misled, Lessons(holdout=0.5))
    memory, now = agent.engine.memory, agent.engine.clock.now()
    vector = memory.embedder.embed("How many orders are open in Europe in week 7?").tobytes()
    bad = Lesson(id="bad", kind="tool_call", node="model", task="?", tools=("orders",), tier=Tier.HIGH, at=now)
    bad = replace(bad, vector=vector, tokens=60, verified=Source.FEEDBACK)
    memory.local_lessons.tidy("default", "tool_call", {"bad": bad}, (), now)
    asked = [agent.ask(number)[0].lesson for number in range(180)]
    assert asked[0].id == "bad"
    assert memory.lesson_effects("default")["tool_call"].verdict(now) is Verdict.HARMFUL
    assert asked[-1] is None


def test_what_the_small_model_is_asked_holds_the_example_and_nothing_else_does():
    agent = Agent(lessons=Lessons(holdout=1e-9))
    teach(agent)
    thread: Any = {"configurable": {"thread_id": "seen"}}
    said = agent.agent.invoke({"messages": [HumanMessage("How many orders are open in Europe today?")]}, thread)
    sent = agent.small.calls[-2].messages[0]["content"]
    assert sent.startswith("<solved_example>")
    assert 'orders({"status":"OPEN","region":"EU"})' in sent
    assert "12 orders are OPEN in EU; ask <email>" in sent
    assert "solved_example" not in str(said)
    agent.engine.sink.flush()
    assert "solved_example" not in str(agent.engine.traces.list("seen"))


def test_the_lesson_is_in_the_trace_by_name_and_price():
    agent = Agent(lessons=Lessons(holdout=1e-9))
    teach(agent)
    [attempt] = agent.ask(1)
    [lesson] = agent.engine.memory.list_lessons("default")
    assert (attempt.lesson.id, attempt.lesson.tokens, attempt.lesson.shown) == (lesson.id, lesson.tokens, True)
    assert agent.first(1).candidates[0].lesson_tokens == lesson.tokens
    assert "shown a solved example" in agent.first(1).reason


def test_an_async_agent_learns_and_shows_the_same():
    async def learnt() -> list[Any]:
        agent = Agent(lessons=Lessons(holdout=1e-9))
        await agent.aask(0)
        agent.engine.sink.flush()
        return await agent.aask(1)

    [attempt] = asyncio.run(learnt())
    assert (attempt.model, attempt.lesson.shown) == ("small", True)


def test_without_lessons_nothing_is_kept_and_nothing_is_shown():
    agent = Agent()
    for number in range(3):
        assert [(a.model, a.lesson) for a in agent.ask(number)] == [("small", None), ("large", None)]
    assert agent.engine.memory.list_lessons("default") == []
    assert not any("solved_example" in str(one.messages) for one in agent.small.calls)


def test_a_prompt_whose_tokens_nobody_reports_is_estimated_with_its_example():
    def breaks_off(request: Any) -> Any:
        taught = "<solved_example>" in str(request.messages)
        return replace(weak(request), fault=Cut(after_chunks=2)) if taught else weak(request)

    agent = Agent(breaks_off, Lessons(holdout=1e-9))
    teach(agent)
    broken = agent.ask(1)[0]
    assert (broken.failure.kind, broken.estimated, broken.lesson.shown) == ("truncated", True, True)
    assert broken.input_tokens == agent.first(1).input_tokens + broken.lesson.tokens


def test_observing_shows_no_lessons():
    agent = Agent(lessons=Lessons(), policy=Policy(mode="observe", reference="small"))
    memory, now = agent.engine.memory, agent.engine.clock.now()
    vector = memory.embedder.embed("How many orders are open in Europe in week 7?").tobytes()
    known = Lesson(id="l", kind="tool_call", node="model", task="?", tools=("orders",), tier=Tier.HIGH, at=now)
    known = replace(known, vector=vector, tokens=60, verified=Source.FEEDBACK)
    memory.local_lessons.tidy("default", "tool_call", {"l": known}, (), now)
    assert agent.ask(1)[0].lesson is None


def test_a_person_makes_a_lesson_of_an_answer_by_feedback_and_takes_it_back():
    agent = Agent(lessons=Lessons(kinds=("chat",)), policy=Policy(kinds={"chat": "high"}))
    agent.router.invoke([HumanMessage("Which form is for refunds?")], {"configurable": {"thread_id": "a"}})
    agent.engine.sink.flush()
    step_id = agent.engine.traces.list("a")[0].step_id
    assert agent.engine.memory.list_lessons("default") == []
    agent.router.feedback(step_id, 1.0)
    assert [one.verified for one in agent.engine.memory.list_lessons("default")] == [Source.FEEDBACK]
    agent.router.feedback(step_id, 0.0)
    assert agent.engine.memory.list_lessons("default") == []


def test_a_warm_prefix_ends_before_the_message_that_an_example_was_put_into():
    agent = Agent(lessons=Lessons(holdout=1e-9))
    teach(agent)
    agent.ask(1)
    session = agent.engine.memory.local.sessions["default", "t1"]
    shown = min(session.recent, key=lambda decided: decided.at)
    assert session.steps == 2
    assert session.warm["small"].digest != shown.asked


# The same without models: commands and replies alone.

SMALL = ModelCard(name="small", model="s", base_url="http://s", tier=Tier.LOW, price=Price(input=1, output=2))
LARGE = ModelCard(name="large", model="l", base_url="http://l", tier=Tier.HIGH, price=Price(input=5, output=25))
LESSON = Lesson(id="l1", kind="chat", task="hello?", result="Hello!", tier=Tier.HIGH, tokens=70)
ASK = Ask(messages=(HumanMessage("hi?"),))
STEP = Step(id="step-1", kind=StepKind.CHAT, text="hi?", evidence=Evidence(turns=1, last_role="human"))


def driven(setting: Setting, lessons: tuple[Lesson, ...], attempts: list[Attempt], step: Step = STEP) -> Any:
    """The calls of a flow that recalls these lessons, and its outcome."""
    flow, calls, reply = run_step(step, ASK, setting), [], None
    known = {"lessons": AtHand(lessons=lessons, policy=setting.lessons)} if setting.lessons else {}
    while True:
        try:
            command = flow.send(reply)
        except StopIteration as end:
            return calls, end.value
        reply = None
        if isinstance(command, Call):
            calls.append(command)
            reply = attempts.pop(0)
        elif isinstance(command, Reserve):
            reply = Granted()
        elif isinstance(command, Embed | Recall):
            reply = Embedded() if isinstance(command, Embed) else Recalled(sections=known)


def test_the_stronger_model_that_takes_over_is_asked_without_the_example():
    setting = Setting(cards=(SMALL, LARGE), policy=Policy(), lessons=Lessons(holdout=1e-9))
    empty, good = (Attempt(model=m, answer=Answer(text=t, finish="stop")) for m, t in (("small", ""), ("large", "Hi.")))
    calls, outcome = driven(setting, (LESSON,), [empty, good])
    assert drawn(STEP.id) > 1e-9
    assert calls[0].ask.messages[0].content.endswith("The task now:\nhi?")
    assert (calls[0].added_tokens, calls[1].added_tokens, calls[1].ask is ASK) == (70, 0, True)
    assert outcome.decision.candidate("large").example is None


def test_a_flow_without_lessons_gleans_nothing():
    good = Attempt(model="large", answer=Answer(text="Hi.", finish="stop"))
    _, outcome = driven(Setting(cards=(LARGE, SMALL), policy=Policy(kinds={"chat": "high"})), (), [good])
    assert outcome.material is None
    taught = Setting(cards=(LARGE, SMALL), policy=Policy(kinds={"chat": "high"}), lessons=Lessons(kinds=("chat",)))
    _, outcome = driven(taught, (), [good])
    assert outcome.material.draft.answer == "Hi."


def test_a_call_that_the_checks_refuse_is_not_gleaned():
    made = ToolCall(id="c", name="orders", args={"status": "OPEN"}, raw="{}")
    good = Attempt(model="large", answer=Answer(tool_calls=(made,), finish="tool_calls"), problems=())
    setting = Setting(cards=(LARGE, SMALL), policy=Policy(kinds={"chat": "high"}), lessons=Lessons(kinds=("chat",)))
    _, outcome = driven(setting, (), [good, good])
    assert outcome.material.draft is None  # no such tool was bound
