"""Shadow probes: what they ask, what they leave, and what they leave alone."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import chain, repeat
from threading import Event
from typing import Any, TypedDict

import pytest
from langchain_core.messages import HumanMessage
from langgraph.graph import START, StateGraph

from steprouter import Budget, Lessons, MemoryPolicy, ModelCard, Policy, Price, StepRouter, Tier
from steprouter.answering.agreement import Probed
from steprouter.answering.answer import Answer
from steprouter.answering.attempt import Attempt
from steprouter.answering.claims import Granted, Refused
from steprouter.flow import Call, Embed, Embedded, Recall, Reserve, Setting, Settle, Spawn, run_step
from steprouter.memory.labels import Source
from steprouter.memory.recall import Recalled
from steprouter.probing import PROBE_SECONDS
from steprouter.routing.probes import Probes
from steprouter.step.ask import Ask
from steprouter.step.step import Place, Step, StepKind
from steprouter.testing import FrozenClock, ScriptedChatModel, call, fail, say

ALWAYS = Probes(share=1, usd=1)
AT_DESK = {"metadata": {"langgraph_node": "desk"}}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
OSLO, BERGEN = call("weather", city="Oslo"), call("weather", city="Bergen")


class Desk:
    """A router whose reference answers all, and its two models."""

    def __init__(self, small: Any, large: Any, *, kind: str = "classify", kept: Any = None, **policy: Any) -> None:
        self.small = ScriptedChatModel(small, model_name="small")
        self.large = ScriptedChatModel(large, model_name="large")
        cards = [
            ModelCard(name="small", model=self.small, tier=Tier.LOW, price=Price(input=1, output=1)),
            ModelCard(name="large", model=self.large, tier=Tier.HIGH, price=Price(input=20, output=20)),
        ]
        given = {"mode": "observe", "probes": ALWAYS, "nodes": {"desk": kind}, **policy}
        self.router = StepRouter(
            cards, policy=Policy(**given), clock=FrozenClock(), **{"store": "memory", **(kept or {})}
        )
        self.engine: Any = self.router.engine

    def ask(self, text: str = "My invoice is wrong", config: Any = None, tools: Any = ()) -> Any:
        """The answer's own record, once what runs beside it has ended."""
        bound = self.router.bind_tools(list(tools)) if tools else self.router
        answer = bound.invoke(text, {**AT_DESK, **(config or {})})
        assert self.engine.background.wait()
        return answer.response_metadata["steprouter"]

    def probes(self, thread: str | None = None) -> list[Any]:
        return [trace for trace in self.router.traces.list(thread) if trace.probe_of is not None]

    def record(self, step_id: str, tenant: str = "default") -> Any:
        """What memory keeps of a step or a probe."""
        shelves = self.engine.memory.local.of_tenant(tenant)
        return next((shelf.kept[step_id].outcome for shelf in shelves if step_id in shelf.kept), None)


def test_without_a_word_of_the_user_nobody_else_is_asked():
    desk = Desk(say("Billing"), say("Billing"), probes=None)
    desk.ask()
    assert (len(desk.small.calls), desk.probes(), desk.engine.background.work) == (0, [], None)


REFERENCE = ModelCard(name="large", model="l", base_url="http://l", tier=Tier.HIGH, price=Price(input=20, output=20))
CHEAPER = ModelCard(name="small", model="s", base_url="http://s", tier=Tier.LOW, price=Price(input=1, output=1))
STEP = Step(id="step-1", kind=StepKind.CLASSIFY, place=Place(thread="t", deadline_seconds=3.0), prompt="a digest")
SAID = Attempt(model="large", answer=Answer(text="Billing", finish="stop"))


def spawned() -> Spawn:
    """What a step whose reference has answered spawns, the last of its commands."""
    setting = Setting(cards=(REFERENCE, CHEAPER), policy=Policy(mode="observe", probes=ALWAYS))
    flow: Any = run_step(STEP, Ask(messages=(HumanMessage("hi"),)), setting)
    replies: dict[type, Any] = {Embed: Embedded(), Recall: Recalled(), Reserve: Granted(), Call: SAID}
    commands = [flow.send(None)]
    while not isinstance(commands[-1], Spawn):
        commands.append(flow.send(replies.get(type(commands[-1]))))
    assert isinstance(commands[-2], Settle)
    with pytest.raises(StopIteration):
        flow.send(None)
    return commands[-1]


def test_a_step_spawns_its_probe_when_it_is_settled_and_waits_for_nothing_more():
    probe = spawned()
    assert (probe.why, probe.step.id, probe.step.prompt) == ("probe", "step-1-probe", None)


def test_a_probe_is_reserved_called_within_its_own_time_and_settled_as_one():
    flow: Any = spawned().flow
    reserve = flow.send(None)
    asked = flow.send(Granted())
    assert (reserve.claim.reservation, reserve.claim.model, asked.id) == ("step-1-probe-1", "small", "step-1-probe-1")
    assert asked.timeouts.total == PROBE_SECONDS
    settled = flow.send(replace(SAID, model="small"))
    assert settled.outcome.probe == Probed(of="step-1", said="the same", score=1.0)
    assert settled.outcome.decision.models == ("small",)
    with pytest.raises(StopIteration):
        flow.send(None)


@pytest.mark.parametrize("grant", [Refused(by="budget", name="usd per day", why="used up"), None])
def test_a_probe_that_is_not_granted_ends_without_a_call(grant):
    flow: Any = spawned().flow
    flow.send(None)
    with pytest.raises(StopIteration):
        flow.send(grant)


async def ask_all(desk: Desk, way: str) -> None:
    match way:
        case "invoke":
            desk.router.invoke("hi", AT_DESK)
        case "stream":
            list(desk.router.stream("hi", AT_DESK))
        case "ainvoke":
            await desk.router.ainvoke("hi", AT_DESK)
        case _:
            [piece async for piece in desk.router.astream("hi", AT_DESK)]


@pytest.mark.parametrize("way", ["invoke", "stream", "ainvoke", "astream"])
async def test_a_step_that_the_reference_answered_is_probed_whichever_way_it_was_asked(way):
    desk = Desk(say("Billing"), say("billing."))
    await ask_all(desk, way)
    assert desk.engine.background.wait()
    (trace,) = desk.probes()
    assert (trace.model, trace.outcome, trace.score) == ("small", "the same", 1.0)


def test_the_step_does_not_wait_for_its_probe():
    gate = Event()

    def slow(request: Any) -> Any:
        gate.wait(10)
        return say("Billing")

    desk = Desk(slow, say("Billing"))
    assert desk.router.invoke("hi", AT_DESK).content == "Billing"
    gate.set()
    assert desk.engine.background.wait()
    assert len(desk.probes()) == 1


def test_the_same_is_asked_with_the_same_tools_and_settings_and_no_tool_runs():
    desk = Desk(OSLO, OSLO, kind="tool_call")
    desk.router.bind_tools([WEATHER], temperature=0.2).invoke([HumanMessage("Oslo?")], AT_DESK)
    assert desk.engine.background.wait()
    ((probe,), (given,)) = desk.small.calls, desk.large.calls
    assert (probe.messages, probe.tools, probe.temperature) == (given.messages, given.tools, given.temperature)


@pytest.mark.parametrize(
    ("small", "outcome", "score"),
    [(OSLO, "the same", 1.0), (BERGEN, "other arguments", 0.85), (say("It is cold."), "other calls", 0.5)],
)
def test_memory_is_told_how_the_answers_compare(small, outcome, score):
    desk = Desk(small, OSLO, kind="tool_call")
    step_id = desk.ask(tools=[WEATHER])["step_id"]
    (trace,) = desk.probes()
    kept = desk.record(trace.step_id)
    assert (trace.probe_of, trace.outcome, trace.score) == (step_id, outcome, score)
    assert (kept.model, kept.given, kept.label.source, kept.label.score, kept.label.confidence) == (
        "small", False, Source.JUDGE, score, 0.7,
    )  # fmt: skip


def test_an_answer_that_fails_a_check_counts_as_one_that_was_given_does():
    desk = Desk(call("weather", town="Oslo"), OSLO, kind="tool_call")
    desk.ask(tools=[WEATHER])
    (trace,) = desk.probes()
    label = desk.record(trace.step_id).label
    assert (trace.outcome, label.source, label.score) == ("insufficient", Source.FAILED_CHECK, 0.0)
    assert 0.5 <= label.confidence < 1


def test_of_a_provider_that_fails_memory_learns_nothing_and_the_breaker_does():
    desk = Desk(fail(503), say("Billing"))
    desk.ask()
    (trace,) = desk.probes()
    assert (trace.model, trace.outcome, trace.score, desk.record(trace.step_id)) == (None, "failed", None, None)
    health = desk.engine.gate.health.health(desk.engine.clock.now())["small"]
    assert sum(bucket.errors for bucket in health.breaker.buckets) == 1


def test_a_judge_is_asked_where_the_answers_differ():
    asked: list[Any] = []

    def judge(ask: Any, given: Any, other: Any) -> float:
        asked.append((ask.messages[-1].content, given.text, other.text))
        return 0.4

    desk = Desk(
        chain([say("It rains.")], repeat(say("Sun."))), say("Sun."), kind="chat", probes=Probes(share=1, judge=judge)
    )
    desk.ask("Weather?")
    desk.ask("Weather?")
    assert asked == [("Weather?", "Sun.", "It rains.")]
    assert [(trace.outcome, trace.score) for trace in desk.probes()] == [("judged", 0.4), ("the same", 1.0)]


@pytest.mark.parametrize("verdict", [None, 1.5, "good", True, ValueError("the prompt")])
def test_a_judge_that_cannot_tell_or_fails_leaves_nothing_to_learn_of_prose(verdict, caplog):
    def judge(ask: Any, given: Any, other: Any) -> Any:
        if isinstance(verdict, Exception):
            raise verdict
        return verdict

    desk = Desk(say("It rains."), say("Sun."), kind="chat", probes=Probes(share=1, judge=judge))
    desk.ask("Weather?")
    (trace,) = desk.probes()
    assert (trace.outcome, trace.score, desk.record(trace.step_id)) == ("not judged", None, None)
    assert "the prompt" not in caplog.text
    assert bool(caplog.records) is (verdict is not None)


def test_session_ledger_lessons_and_counts_of_the_reference_are_as_without_probes():
    def learned(probes: Probes | None) -> Any:
        memory = MemoryPolicy(lessons=Lessons(kinds=("classify",)))
        desk = Desk(
            say("Tech"),
            say("Billing"),
            probes=probes,
            kept={"memory_policy": memory},
            mode="route",
            kinds={"classify": "high"},
        )
        for _ in range(3):
            desk.ask(config={"configurable": {"thread_id": "t"}})
        local = desk.engine.memory.local
        known = local.learned("default")
        session = local.sessions["default", "t"]
        counted = local.shelves["default", "classify"].tallies[None]
        lessons = desk.engine.memory.local_lessons
        facts = (session.steps, session.incumbent, session.escalation, session.spent_usd, session.warm.keys())
        return facts, known.ledger, known.paces, known.shifts, counted["large"], len(lessons.verified("default", None))

    assert learned(None) == learned(Probes(share=1, usd=1))


def test_a_probe_counts_for_its_model_at_the_kind_and_the_node():
    desk = Desk(say("Billing"), say("Billing"))
    desk.ask()
    shelf = desk.engine.memory.local.shelves["default", "classify"]
    assert [shelf.tallies[place]["small"].successes for place in (None, "desk")] == [0.7, 0.7]
    assert shelf.tallies[None]["small"].seen == 1


def test_a_verdict_on_a_thread_is_none_on_its_probes():
    desk = Desk(say("Tech"), say("Billing"))
    desk.ask(config={"configurable": {"thread_id": "t"}})
    desk.router.feedback(thread="t", score=0.0)
    (trace,) = desk.probes("t")
    assert desk.record(trace.step_id).label.source is Source.JUDGE


def test_a_probe_stays_with_its_tenant_thread_and_user():
    desk = Desk(say("Billing"), say("Billing"))
    desk.ask(config={"configurable": {"thread_id": "t", "tenant": "acme", "user_id": "ann"}})
    trace = next(one for one in desk.router.traces.of("acme").list("t") if one.probe_of)
    kept = desk.record(trace.step_id, "acme")
    assert (trace.tenant, trace.thread, kept.thread, kept.user) == ("acme", "t", "t", "ann")
    assert desk.probes() == []


def test_a_probe_costs_what_it_costs_and_saves_nothing():
    desk = Desk(say("Billing"), say("Billing"))
    desk.ask()
    (trace,) = desk.probes()
    assert trace.cost_usd is not None
    assert trace.cost_usd > 0
    assert (trace.reference_cost_usd, trace.saved_usd, trace.ventured) == (None, None, 0.0)


def test_a_probe_that_a_budget_refuses_is_not_made():
    """The answer takes 144 tokens of 200, and the probe may take more than the 56 that are left."""
    desk = Desk(say("Billing"), say("Billing"), kept={"budget": Budget(tokens=200, per="thread", cheaper_at=1.0)})
    desk.ask("word " * 110, config={"configurable": {"thread_id": "t"}, **AT_DESK})
    assert (len(desk.large.calls), len(desk.small.calls), desk.probes("t")) == (1, 0, [])


def test_what_a_probe_sets_aside_is_settled():
    budget = Budget(usd=5, per="tenant")
    desk = Desk(say("Billing"), say("Billing"), kept={"budget": [budget]})
    desk.ask()
    spent = sum(trace.cost_usd or 0.0 for trace in desk.router.traces.list())
    shares = desk.engine.gate.ledger.shares(STEP, desk.engine.clock.now())
    assert (len(desk.probes()), shares) == (1, {budget.name: pytest.approx(spent / 5)})


def test_a_graph_hears_nothing_of_a_probe():
    class State(TypedDict, total=False):
        said: str

    desk = Desk(say("Tech"), say("Billing"))
    seen: list[str] = []

    def node(state: State) -> State:
        return {"said": str(desk.router.invoke("hi").content)}

    built = StateGraph(State).add_node("desk", node).add_edge(START, "desk").compile()
    streamed: Any = built.stream({}, stream_mode=["custom", "messages"])
    for mode, told in streamed:
        seen.append(told["event"] if mode == "custom" else str(told[0].content))
    assert desk.engine.background.wait()
    assert (seen, len(desk.probes())) == (["decision", "Billing", ""], 1)


def test_a_step_that_a_cheaper_model_answered_is_not_probed():
    desk = Desk(say("Billing"), say("Billing"), mode="route")
    assert desk.ask()["model"] == "small"
    assert desk.probes() == []


def test_closing_a_router_amid_a_probe_drops_the_others_and_leaves_one_trace_for_each_that_was_begun():
    began, gate = Event(), Event()

    def slow(request: Any) -> Any:
        began.set()
        gate.wait(10)
        return say("Billing")

    desk = Desk(slow, say("Billing"))
    for _ in range(6):
        desk.router.invoke("hi", AT_DESK)
    assert began.wait(10)
    background, work = desk.engine.background, desk.engine.background.work
    background.close(0)
    gate.set()
    assert work.wait(10)
    desk.router.close()
    assert background.dropped >= 4
    assert desk.probes() == []


def test_no_content_is_in_a_trace_or_a_log_of_a_probe(caplog):
    desk = Desk(fail(400, "you said SECRET"), say("Billing"))
    caplog.set_level("DEBUG")
    desk.ask("SECRET words")
    assert "SECRET words" not in json.dumps([one.model_dump(mode="json") for one in desk.router.traces.list()])
    assert "SECRET words" not in caplog.text
