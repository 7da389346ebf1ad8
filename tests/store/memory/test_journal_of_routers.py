"""A router in a graph keeps a journal of what it says while it says it, at no further trip to its store."""

from __future__ import annotations

import operator
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from broken_store import FAULTS, BreakableServer, Fault, wire_to
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from store_processes import Eventually

from steprouter import Abilities, AnswerBroken, MemoryPolicy, ModelCard, Policy, StepRouter
from steprouter.store.embedded import EmbeddedServer
from steprouter.store.embedded.find import find
from steprouter.store.live.journal_scripts import OVER
from steprouter.store.memory.recollection import Recollection
from steprouter.store.memory.remote import RedisMemory
from steprouter.testing import Cut, ScriptedChatModel, SimulatedProvider, continuing, say

QUESTION = "Tell me."
TEXT = " ".join(f"word{number}" for number in range(40)) + "."
HALF = " ".join(f"word{number}" for number in range(19))
THREAD: Any = {"configurable": {"thread_id": "t-1"}}
PATIENT_SECONDS = 20.0
HEALED_SECONDS = 20.0
"""A busy machine may take the store for away once more."""

Amid = Callable[[StepRouter], object]


class State(TypedDict, total=False):
    said: Annotated[list[str], operator.add]
    degraded: list[str]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A place whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="sr-") as name:
        yield Path(name)


@pytest.fixture
def breakable(server: EmbeddedServer, folder: Path) -> Iterator[BreakableServer]:
    program = find(Path(server.facts.data).parent)
    assert program is not None
    one = BreakableServer(program, folder)
    one.start()
    one.wait()
    yield one
    one.kill()


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """What keys are named with, so that no file is made."""
    monkeypatch.setenv("STEPROUTER_KEY", "a secret for tests only")


@pytest.fixture
def routers() -> Iterator[Callable[..., StepRouter]]:
    """Makes routers that talk at length, each of a process of its own as far as the store can tell."""
    made: list[StepRouter] = []

    def make(store: str, **fields: Any) -> StepRouter:
        card = ModelCard(name="m", model=ScriptedChatModel(lambda request: say(TEXT), model_name="m"))
        made.append(StepRouter([card], store=store, **fields))
        return made[-1]

    yield make
    for router in made:
        router.close()


def patient(router: StepRouter) -> StepRouter:
    """The router with a store that may take its time: a busy machine is no outage."""
    settings = router.engine.connection.settings
    router.engine.connection.settings = lambda: replace(settings(), deadline_seconds=PATIENT_SECONDS)
    return router


def answered(router: StepRouter, amid: Mapping[int, Amid] | None = None, config: Any = THREAD) -> Any:
    """What a node says that calls the router; at some pieces of the answer something happens."""

    def speak(state: State) -> State:
        pieces, degraded = list[str](), list[str]()
        for number, chunk in enumerate(router.stream(QUESTION)):
            pieces.append(chunk.text)
            degraded = chunk.response_metadata.get("steprouter", {}).get("degraded", degraded)
            (amid or {}).get(number, flushed_not)(router)
        return {"said": ["".join(pieces)], "degraded": degraded}

    graph = StateGraph(State)
    graph.add_node("speak", speak)
    graph.add_edge(START, "speak")
    found: Any = graph.compile(checkpointer=InMemorySaver()).invoke({"said": []}, config)
    return found


def flushed_not(router: StepRouter) -> None:
    """Most pieces are just said."""


def flushed(router: StepRouter, seconds: float = PATIENT_SECONDS) -> bool:
    """Whether the store has what was said so far."""
    assert router.engine.journal is not None
    return router.engine.journal.flush(seconds)


def unfinished(server: BreakableServer) -> int:
    """How many answers have a journal; that one was given may be remembered for a minute."""
    hashes = [key for key in server.client.scan_iter("sr:*:journal:*") if server.client.type(key) == b"hash"]
    kept = [pair for key in hashes for pair in server.client.hgetall(key).items()]
    return sum(name.endswith(b":owner") and owner != OVER.encode() for name, owner in kept)


def recall_of(router: StepRouter, config: Any = None) -> tuple[RedisMemory, Any]:
    """The router's memory, and the step that its question is here and now."""
    memory = router.engine.memory
    assert isinstance(memory, Recollection)
    ask, _, _ = router.read_call([HumanMessage(QUESTION)], None, {})
    return memory.redis(), router.engine.read(ask, config)[0]


def test_a_journal_is_recalled_in_the_trip_that_is_made_anyway(
    breakable: BreakableServer, folder: Path, routers: Any
) -> None:
    asked, names = list[int](), list[list[str]]()
    with wire_to(breakable.socket, folder / "w") as wire:

        def look(router: StepRouter) -> None:
            memory, step = recall_of(router)
            memory.recall(step, None)  # opens the connection
            before = wire.asked
            assert memory.recall(step, None)["journal"] == ()
            asked.append(wire.asked - before)
            names.append([str(command[1]) for command in memory.trip(step, None).commands])

        def recalled(state: State) -> State:
            look(router)
            return {"said": []}

        router = patient(routers(wire.url))
        graph = StateGraph(State)
        graph.add_node("look", recalled)
        graph.add_edge(START, "look")
        graph.compile(checkpointer=InMemorySaver()).invoke({"said": []}, THREAD)
        router.close()
    assert asked == [1]
    assert sum(":journal:" in name for name in names[0]) == 1


def test_what_an_answer_says_is_in_the_store_until_it_was_given(breakable: BreakableServer, routers: Any) -> None:
    kept = list[int]()

    def look(router: StepRouter) -> None:
        assert flushed(router)
        kept.append(unfinished(breakable))

    router = patient(routers(breakable.url))
    assert answered(router, {5: look, 30: look})["said"] == [TEXT]
    look(router)
    assert kept == [1, 1, 0]


def test_closing_a_router_writes_what_an_answer_under_way_has_said(
    breakable: BreakableServer, routers: Any, eventually: Eventually
) -> None:
    kept = list[int]()

    def close(router: StepRouter) -> None:
        router.close()
        assert router.engine.journal is not None
        assert router.engine.journal.desk().is_closing  # by itself it is written a little later too
        eventually(lambda: unfinished(breakable) == 1)
        kept.append(unfinished(breakable))

    answered(patient(routers(breakable.url)), {5: close})
    assert kept == [1]


def test_a_journal_is_found_by_the_same_call_of_its_own_tenant_alone(breakable: BreakableServer, routers: Any) -> None:
    found: dict[str, list[str]] = {}

    def look(router: StepRouter) -> None:
        assert flushed(router)
        for tenant in ("acme", "globex"):
            memory, step = recall_of(other, {"configurable": {"tenant": tenant}})
            assert (step.place.tenant, step.place.thread) == (tenant, "t-1")
            found[tenant] = [entry.text for entry in memory.recall(step, None)["journal"]]

    router, other = (patient(routers(breakable.url)) for _ in range(2))
    answered(router, {20: look}, {"configurable": {**THREAD["configurable"], "tenant": "acme"}})
    assert TEXT.startswith(found["acme"][0])
    assert len(found["acme"][0]) >= len(HALF)
    assert found["globex"] == []


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_an_answer_is_the_same_whatever_happens_to_its_journal(
    breakable: BreakableServer, routers: Any, eventually: Eventually, fault: Fault
) -> None:
    router = routers(breakable.url)
    router.engine.connection.open()

    def harm(router: StepRouter) -> None:
        flushed(router)
        fault.harm(breakable)

    assert answered(router, {5: harm, 30: lambda router: flushed(router, 0.2)})["said"] == [TEXT]
    fault.heal(breakable)
    breakable.wait()
    eventually(lambda: router.engine.connection.degraded is None, seconds=HEALED_SECONDS)
    assert answered(router)["said"] == [TEXT]
    eventually(lambda: flushed(router) and unfinished(breakable) == 0, seconds=HEALED_SECONDS)
    assert router.engine.journal.degraded is None


def test_a_journal_that_does_not_reach_the_store_is_told_with_the_answer(
    breakable: BreakableServer, routers: Any
) -> None:
    def kill(router: StepRouter) -> None:
        assert flushed(router)
        breakable.kill()

    def told_of_it(router: StepRouter) -> None:
        assert not flushed(router)

    router = patient(routers(breakable.url))
    found = answered(router, {5: kill, 30: told_of_it})
    assert found["said"] == [TEXT]
    (told,) = found["degraded"]
    assert told.startswith("journal: store degraded: ")


def test_without_memory_a_journal_stays_in_its_process_and_serves_it(breakable: BreakableServer) -> None:
    model = continuing(TEXT, [Cut(after_chunks=20)])
    graph = StateGraph(State)
    with SimulatedProvider({"m": model}) as provider:
        card = ModelCard(name="m", model="m", base_url=provider.url, abilities=Abilities(prefill=True))
        off, alone = MemoryPolicy(on=False), Policy(max_attempts=1)
        router = StepRouter([card], store=breakable.url, memory_policy=off, policy=alone)
        graph.add_node("speak", lambda state: {"said": ["".join(c.text for c in router.stream(QUESTION))]})
        graph.add_edge(START, "speak")
        made: Any = graph.compile(checkpointer=InMemorySaver())
        with pytest.raises(AnswerBroken):
            made.invoke({"said": []}, THREAD)
        assert flushed(router)
        assert unfinished(breakable) == 0
        assert made.invoke(None, THREAD)["said"] == [TEXT]
        router.close()
    assert model.continuations == [("prefill", len(HALF))]


def test_a_journal_of_one_process_needs_no_secret_and_makes_no_file(
    tmp_path: Path, routers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STEPROUTER_KEY")
    monkeypatch.setenv("STEPROUTER_DATA", str(tmp_path / "data"))
    router = routers("memory")
    assert answered(router)["said"] == [TEXT]
    assert router.engine.journal is not None
    assert not (tmp_path / "data").exists()
