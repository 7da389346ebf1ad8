"""The router without LangChain's face: steps read where they happen, traces kept, connections given back."""

from __future__ import annotations

import logging
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from typing import Any, TypedDict

import pytest
from langchain_core.messages import HumanMessage
from langgraph.graph import START, StateGraph
from pydantic import SecretBytes, SecretStr

from steprouter import ConfigError, MemoryPolicy, ModelCard, Policy, Price, Resumption, Rule, StepKind, Tier
from steprouter.engine import Engine, surroundings
from steprouter.keeping import Keeping
from steprouter.memory.journal import place_of
from steprouter.step.ask import Ask
from steprouter.step.step import Step
from steprouter.store.live.journal_cipher import Cipher
from steprouter.testing import FrozenClock, ScriptedChatModel, fail, say

ASK = Ask(messages=(HumanMessage("hi"),))


class State(TypedDict, total=False):
    """A graph that is there for its node alone."""

    said: str


def card(name: str, script: Any, tier: Tier = Tier.LOW, usd: float = 1.0, **settings: Any) -> ModelCard:
    model = ScriptedChatModel(script, model_name=name, **settings)
    return ModelCard(name=name, model=model, tier=tier, price=Price(input=usd, output=usd))


def engine_over(*cards: ModelCard, policy: Policy | None = None, clock: Any = None, **kept: Any) -> Engine:
    cards = cards or (card("m", repeat(say("ok"))),)
    return Engine(cards, policy or Policy(), Keeping(store="memory", **kept), clock=clock)


def run(engine: Engine, ask: Ask = ASK, config: Any = None, model: str | None = None) -> Any:
    """The trace of one step, driven to its end."""
    begun = engine.begin(ask, config, model)
    for _ in engine.driver.stream(begun, watched=False):
        pass
    return begun.trace


def test_making_an_engine_calls_nobody_and_opens_nothing():
    engine = engine_over(card("m", []))
    assert engine.shelf.opened is None
    assert engine.sink.thread is None


def test_a_step_is_dated_and_timed_by_the_engines_clock():
    clock = FrozenClock()
    clock.advance(7)
    trace = run(engine_over(clock=clock))
    assert (trace.started_at, trace.seconds) == (clock.now(), 0.0)


def test_step_ids_sort_by_time():
    engine = engine_over()
    ids = [run(engine).step_id for _ in range(20)]
    assert ids == sorted(set(ids))


def test_a_trace_is_found_by_its_step_and_by_its_thread():
    engine = engine_over()
    trace = run(engine, config={"configurable": {"thread_id": "t"}})
    assert engine.traces.get(trace.step_id).model_copy(update={"cached": None}) == trace
    assert [one.step_id for one in engine.traces.list("t")] == [trace.step_id]


def test_without_tracing_nothing_is_kept_and_the_step_has_its_trace_all_the_same():
    engine = engine_over(tracing=False)
    trace = run(engine)
    assert (trace.outcome, engine.traces.get(trace.step_id)) == ("sufficient", None)


def test_the_engines_tenant_wins_and_a_run_may_name_one_where_there_is_none():
    config = {"configurable": {"tenant": "acme"}}
    assert run(engine_over(tenant="blue"), config=config).tenant == "blue"
    assert run(engine_over(), config=config).tenant == "acme"
    assert run(engine_over()).tenant == "default"


def test_traces_of_one_tenant_are_not_seen_by_another():
    engine = engine_over(tenant="blue")
    trace = run(engine)
    assert engine.shelf.keeper().step("default", trace.step_id) is None


@pytest.mark.parametrize(
    ("script", "outcome"),
    [(say("ok"), "sufficient"), (say(""), "insufficient"), (fail(503), "exhausted"), (fail(400), "bad_request")],
)
def test_a_trace_says_in_a_word_how_the_step_ended(script, outcome):
    assert run(engine_over(card("m", script))).outcome == outcome


def test_an_unknown_model_is_refused_before_anything_is_sent():
    engine = engine_over(card("m", []))
    with pytest.raises(ConfigError, match="one of \\['m'\\], got 'n'"):
        engine.begin(ASK, model="n")


def test_a_named_model_is_the_only_one_that_is_tried():
    engine = engine_over(card("small", []), card("large", repeat(fail(401)), Tier.HIGH, 9.0))
    trace = run(engine, model="large")
    assert [a.model for a in trace.attempts] == ["large"]


def test_recommend_decides_without_calling_telling_or_keeping():
    engine = engine_over(card("small", []), card("large", [], Tier.HIGH, 9.0))
    considered = engine.recommend(ASK)
    assert (considered.step.kind, considered.decision.models) == (StepKind.CHAT, ("small", "large"))
    assert engine.traces.list() == []


def test_a_node_that_the_policy_maps_has_the_kind_it_says():
    engine = engine_over(policy=Policy(nodes={"judge": StepKind.REFLECT}))
    step = engine.recommend(ASK, {"metadata": {"langgraph_node": "judge"}}).step
    assert (step.kind, step.kind_from) == (StepKind.REFLECT, "node judge is mapped")


def test_surroundings_outside_a_graph_are_empty_and_nobody_is_told():
    place, tell = surroundings(None, None, 0.0)
    assert (place.thread, place.node, place.task, place.tenant) == (None, None, None, "default")
    assert tell.__name__ == "hear_nothing"


def test_settings_change_a_models_identity_and_are_not_readable_in_it():
    cold, hot = (engine_over(card("m", [], temperature=t)).identities for t in (0.0, 1.0))
    assert cold != hot
    assert cold == engine_over(card("m", [], temperature=0.0)).identities
    secret = ModelCard(name="m", model="openai:gpt-x", settings={"api_key": "sk-secret-123"})
    assert "sk-secret" not in repr(Engine((secret,), Policy(), Keeping(store="memory")).identities)


def steps_in_a_graph(engine: Engine, *asks: Ask, thread: str | None = "t") -> list[Step]:
    """The steps that calls of one node are."""
    found = list[Step]()

    def node(state: State) -> State:
        found.extend(engine.read(ask, None)[0] for ask in asks)
        return {}

    graph = StateGraph(State)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    graph.compile().invoke({}, {"configurable": {} if thread is None else {"thread_id": thread}})
    return found


def test_a_step_in_a_thread_of_a_graph_has_the_digest_of_its_prompt_by_which_its_journal_is_found():
    one, same, other = steps_in_a_graph(engine_over(), ASK, ASK, Ask(messages=(HumanMessage("you"),)))
    assert one.prompt == same.prompt != other.prompt
    assert str(one.prompt) not in repr(one)
    where = place_of(one.place, str(one.prompt))
    assert where is not None
    assert (where.thread, where.tenant) == ("t", "default")


def test_a_digest_of_a_prompt_says_nothing_to_who_has_not_the_key():
    (one,), (other,) = (steps_in_a_graph(engine_over(), ASK) for _ in range(2))
    assert one.prompt != other.prompt


@pytest.mark.parametrize("on", [True, False])
def test_without_memory_too_one_prompt_has_one_digest(on):
    one, same = steps_in_a_graph(engine_over(memory=MemoryPolicy(on=on)), ASK, ASK)
    assert one.prompt == same.prompt is not None


def test_no_digest_is_taken_where_no_journal_is_kept():
    outside, _ = engine_over().read(ASK, {"configurable": {"thread_id": "t"}})
    (threadless,) = steps_in_a_graph(engine_over(), ASK, thread=None)
    (unwanted,) = steps_in_a_graph(engine_over(policy=Policy(resume=Resumption(journal=False))), ASK)
    assert [step.prompt for step in (outside, threadless, unwanted)] == [None] * 3


KEY = "correct horse battery staple"


@pytest.mark.parametrize("key", [KEY, KEY.encode(), SecretStr(KEY), SecretBytes(KEY.encode())], ids=type)
def test_a_key_for_journals_in_whatever_form_is_the_same_key_and_shown_nowhere(key):
    pytest.importorskip("cryptography")
    engine = engine_over(memory=MemoryPolicy(journal_key=key))
    assert engine.cipher is not None
    assert Cipher(KEY).open(engine.cipher.seal(b"said", b"here"), b"here") == b"said"
    assert "horse" not in f"{engine.kept!r} {engine.kept.memory!r} {vars(engine)!r}"


@pytest.mark.parametrize("on", [True, False])
def test_a_key_for_journals_that_is_none_is_refused_when_the_router_is_made_and_not_shown(on):
    with pytest.raises(ConfigError, match="needs at least 16 characters, got 9") as short:
        engine_over(memory=MemoryPolicy(on=on, journal_key="too short"))
    with pytest.raises(ConfigError, match="journal_key must be text, bytes or a SecretStr, got int") as number:
        MemoryPolicy(on=on, journal_key=1234567890123456)
    assert "too short" not in str(short.value)
    assert "1234" not in str(number.value)


def test_a_key_for_journals_without_the_extra_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with pytest.raises(ConfigError, match=r"pip install 'steprouter\[encryption\]'"):
        engine_over(memory=MemoryPolicy(journal_key=KEY))


def test_a_journal_is_opened_once_however_many_threads_come_first():
    engine = engine_over()
    journal = engine.driver.journal
    assert journal is not None
    with ThreadPoolExecutor(16) as pool:
        opened = list(pool.map(lambda _: id(journal()), range(64)))
    assert set(opened) == {id(engine.journal)}


def test_closing_twice_is_harmless_and_memory_is_not_forgotten():
    engine = engine_over()
    trace = run(engine)
    engine.close()
    engine.close()
    assert engine.traces.get(trace.step_id).model_copy(update={"cached": None}) == trace
    assert run(engine).outcome == "sufficient"


async def test_closing_inside_an_event_loop_writes_what_waits():
    engine = engine_over()
    trace = run(engine)
    await engine.aclose()
    assert engine.traces.get(trace.step_id).model_copy(update={"cached": None}) == trace


class Full:
    """A keeper that takes nothing."""

    def write(self, traces: Any) -> int:
        return 0


def test_traces_that_the_store_does_not_take_are_one_line_in_the_log(caplog):
    engine = engine_over()
    full: Any = Full()
    engine.shelf.opened = full
    trace = run(engine)
    with caplog.at_level(logging.WARNING, "steprouter"):
        engine.close()
    assert trace.outcome == "sufficient"
    assert [r.getMessage() for r in caplog.records] == ["1 traces were lost: not kept"]


def test_a_rule_that_names_a_node_nobody_listed_is_said_once_when_the_router_is_made(caplog):
    rule = Rule(name="planning", node="plnner", models="m")
    card = ModelCard(name="m", model=ScriptedChatModel())
    Engine([card], Policy(rules=(rule,)), Keeping(store="memory"))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "['planning'] name graph nodes" in caplog.text


def test_a_rule_that_names_a_node_that_is_not_listed_is_an_error():
    rule = Rule(name="planning", node="plnner", models="m")
    card = ModelCard(name="m", model=ScriptedChatModel())
    with pytest.raises(ConfigError, match="unknown node 'plnner'; did you mean 'planner'"):
        Engine([card], Policy(rules=(rule,), nodes={"planner": None}), Keeping(store="memory"))
