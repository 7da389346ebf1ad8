"""Races of models: the first to speak answers, the others are closed, and every call made is settled once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, closing, suppress
from contextvars import ContextVar
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.errors import GraphBubbleUp

from steprouter import ConfigError
from steprouter.answering.answer import Delta, ToolPiece
from steprouter.answering.attempt import Attempt
from steprouter.answering.failures import Seen
from steprouter.answering.shape import Shaping
from steprouter.drive import Driver, Run, passing_errors
from steprouter.flow import Call, Race, Settle
from steprouter.models.card import ModelCard
from steprouter.models.cost import Usage
from steprouter.providers.chat_completions import ChatCompletionsWire
from steprouter.providers.langchain_model import LangChainWire
from steprouter.providers.wire import Timeouts
from steprouter.racing import BEATEN, Racing, arace, race
from steprouter.step.ask import Ask
from steprouter.step.step import Needs, Step, StepKind
from steprouter.taking import Take
from steprouter.testing import FrozenClock, Reply, Request, ScriptedChatModel, SimulatedProvider, say

ASK = Ask(messages=(HumanMessage("hi"),))
STEP = Step(id="step-1", kind=StepKind.CHAT, needs=Needs(input_tokens=12))
DONE = Delta(finish="stop", usage=Usage(input_tokens=7, output_tokens=2))
HELLO = (Delta("Hello"), Delta(" you"), DONE)
NEVER_SECONDS = 3600.0
PATIENCE_SECONDS = 30.0
TIMEOUTS = Timeouts()
ASKED = Usage(input_tokens=12, estimated=True)

TRACE_ID: ContextVar[str] = ContextVar("TRACE_ID", default="none")


class Gate:
    """Lets a model go on when it is told to, in a thread or in a task."""

    def __init__(self) -> None:
        self.event = threading.Event()

    def wait(self) -> None:
        assert self.event.wait(PATIENCE_SECONDS)

    async def await_(self) -> None:
        while not self.event.is_set():
            await asyncio.sleep(0)


Beat = Delta | BaseException | Gate | Callable[[], object]


class GatedWire:
    """A wire that goes through a list: pieces are said, errors raised, gates waited for, functions called."""

    def __init__(self, *beats: Beat) -> None:
        self.beats = beats
        self.closed = threading.Event()
        self.said = 0

    def stream(self, ask: Ask, timeouts: Timeouts) -> Iterator[Delta]:
        try:
            for beat in self.beats:
                if isinstance(beat, Gate):
                    beat.wait()
                elif (piece := played(beat)) is not None:
                    self.said += 1
                    yield piece
        finally:
            self.closed.set()

    async def astream(self, ask: Ask, timeouts: Timeouts) -> AsyncIterator[Delta]:
        try:
            for beat in self.beats:
                await asyncio.sleep(0)
                if isinstance(beat, Gate):
                    await beat.await_()
                elif (piece := played(beat)) is not None:
                    self.said += 1
                    yield piece
        finally:
            self.closed.set()

    def saw(self, error: Exception) -> Seen:
        return Seen(text=str(error), classes=tuple(c.__name__ for c in type(error).__mro__))

    def close(self) -> None: ...

    async def aclose(self) -> None: ...


def played(beat: Any) -> Delta | None:
    if isinstance(beat, Delta):
        return beat
    if isinstance(beat, BaseException):
        raise beat
    beat()
    return None


class GatedClock:
    """Time that passes when a gate is opened."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    def sleep(self, seconds: float, /) -> None:
        self.gate.wait()

    async def asleep(self, seconds: float, /) -> None:
        await self.gate.await_()


class Track:
    """A race between wires, and what came of it."""

    def __init__(self, *wires: Any, after_seconds: float = 0.0) -> None:
        self.clock = FrozenClock()
        self.wires = {f"model-{number}": wire for number, wire in enumerate(wires, 1)}
        calls = tuple(Call(model=name, why="cheapest", ask=ASK) for name in self.wires)
        self.racing: Racing[Any] = Racing(
            Race(calls=calls, after_seconds=after_seconds),
            begin=self.begin,
            wires=self.wires,
            passing=passing_errors(),
        )
        self.shown: list[str] = []
        self.attempts: tuple[Attempt, ...] = ()

    def begin(self, call: Call) -> Take:
        shaper = Shaping().start(watched=True, now=self.clock.monotonic)
        return Take(command=call, shaper=shaper, clock=self.clock, step=STEP, began=0.0, run_began=0.0)

    def stream(self) -> Any:
        return race(self.racing, lambda take: self.wires[take.command.model].stream(take.command.ask, TIMEOUTS))

    def astream(self) -> Any:
        return arace(self.racing, lambda take: self.wires[take.command.model].astream(take.command.ask, TIMEOUTS))

    def run(self) -> Iterator[Delta]:
        self.attempts = yield from self.stream()

    async def play(self, *, asynchronous: bool) -> tuple[str, tuple[str, ...]]:
        """What was shown, and how each attempt ended."""
        if asynchronous:
            async with aclosing(self.astream()) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Delta):
                        self.shown.append(piece.text)
                    else:
                        self.attempts = piece
        else:
            self.shown += [piece.text for piece in self.run()]
        return "".join(self.shown), endings(self.attempts)


def endings(attempts: tuple[Attempt, ...]) -> tuple[str, ...]:
    return tuple(f"{a.model} {a.failure.kind if a.failure else 'ok'}" for a in attempts)


def ended(*wires: GatedWire) -> bool:
    """Whether all wires get closed; a thread may need a moment for it."""
    return all(wire.closed.wait(PATIENCE_SECONDS) for wire in wires)


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    """Every test leaves as many threads as it found, once its models are released."""
    yield
    join_races()


def join_races() -> None:
    """Wait until the threads of all races have ended."""
    for thread in threading.enumerate():
        if thread.name.startswith("steprouter race"):
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()


colours = pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])


# Who answers


@colours
async def test_a_first_call_that_speaks_in_time_answers_alone(asynchronous):
    second = GatedWire(*HELLO)
    track = Track(GatedWire(*HELLO), second, after_seconds=NEVER_SECONDS)
    assert await track.play(asynchronous=asynchronous) == ("Hello you", ("model-1 ok",))
    assert second.said == 0


@colours
async def test_a_second_call_answers_while_the_first_says_nothing_and_the_first_is_closed(asynchronous):
    gate = Gate()
    slow = GatedWire(gate, *HELLO)
    track = Track(slow, GatedWire(Delta("Hi"), DONE))
    assert await track.play(asynchronous=asynchronous) == ("Hi", ("model-1 cancelled", "model-2 ok"))
    gate.event.set()
    assert ended(slow, *track.wires.values())


@colours
async def test_the_first_call_may_still_win_after_the_second_was_made(asynchronous):
    gate, never = Gate(), Gate()
    second = GatedWire(gate.event.set, never, *HELLO)
    track = Track(GatedWire(gate, *HELLO), second)
    assert await track.play(asynchronous=asynchronous) == ("Hello you", ("model-1 ok", "model-2 cancelled"))
    never.event.set()
    assert ended(second)


@colours
async def test_calls_are_made_one_after_the_other_until_one_speaks(asynchronous):
    gates = Gate(), Gate()
    track = Track(GatedWire(gates[0], *HELLO), GatedWire(gates[1], *HELLO), GatedWire(*HELLO))
    _, endings = await track.play(asynchronous=asynchronous)
    assert endings == ("model-1 cancelled", "model-2 cancelled", "model-3 ok")
    for gate in gates:
        gate.event.set()


PIECES = {
    "a tool call": Delta(tools=(ToolPiece(0, "c", "weather", "{}"),)),
    "a block": Delta(blocks=({"type": "thinking", "thinking": "hm"},)),
    "reasoning": Delta(extra={"reasoning_content": "hm"}),
}


@pytest.mark.parametrize("piece", PIECES.values(), ids=PIECES)
@colours
async def test_any_content_counts_as_the_first_piece(piece, asynchronous):
    gate = Gate()
    track = Track(GatedWire(gate, *HELLO), GatedWire(piece, DONE))
    assert await track.play(asynchronous=asynchronous) == ("", ("model-1 cancelled", "model-2 ok"))
    gate.event.set()


@colours
async def test_metadata_before_the_first_piece_wins_nothing_and_reaches_the_answer(asynchronous):
    slow, started = Gate(), Gate()
    first = GatedWire(Delta(details={"model_name": "first"}), started.event.set, slow, *HELLO)
    track = Track(first, GatedWire(Delta(details={"model_name": "second"}), started, *HELLO))
    assert await track.play(asynchronous=asynchronous) == ("Hello you", ("model-1 cancelled", "model-2 ok"))
    answer = track.attempts[1].answer
    assert answer is not None
    assert answer.details == {"model_name": "second"}
    slow.event.set()


@colours
async def test_an_empty_answer_that_was_finished_ends_the_race(asynchronous):
    gate = Gate()
    track = Track(GatedWire(gate, *HELLO), GatedWire(DONE))
    assert await track.play(asynchronous=asynchronous) == ("", ("model-1 cancelled", "model-2 ok"))
    gate.event.set()


# Real wires


@colours
async def test_models_on_real_connections_race_and_the_beaten_connection_is_closed(asynchronous):
    gate = threading.Event()

    def slow(request: Request) -> Reply:
        assert gate.wait(PATIENCE_SECONDS)
        return say("Late.")

    with SimulatedProvider({"model-1": slow, "model-2": say("Hello you.")}) as provider:
        names = ("model-1", "model-2")
        cards = [ModelCard(name=name, model=name, base_url=provider.url) for name in names]
        track = Track(*[ChatCompletionsWire(card) for card in cards])
        assert await track.play(asynchronous=asynchronous) == ("Hello you.", ("model-1 cancelled", "model-2 ok"))
        gate.set()
        join_races()
        for wire in track.wires.values():
            await wire.aclose()


@colours
async def test_langchain_models_race(asynchronous):
    gate = Gate()
    script = {True: say("Late.").slowly(first_token_seconds=1.0), False: say("Hello you.")}
    clock = GatedClock(gate)
    models = [ScriptedChatModel(script[slow], clock=clock) for slow in (True, False)]
    cards = [ModelCard(name=f"model-{number}", model=model) for number, model in enumerate(models, 1)]
    track = Track(*[LangChainWire(model, card) for model, card in zip(models, cards, strict=True)])
    assert await track.play(asynchronous=asynchronous) == ("Hello you.", ("model-1 cancelled", "model-2 ok"))
    gate.event.set()


# Calls that fail


@colours
async def test_a_first_call_that_fails_in_time_ends_the_race(asynchronous):
    track = Track(GatedWire(OSError("gone")), GatedWire(*HELLO), after_seconds=NEVER_SECONDS)
    assert await track.play(asynchronous=asynchronous) == ("", ("model-1 unavailable",))


@colours
async def test_a_call_that_fails_while_another_runs_leaves_the_race_to_it(asynchronous):
    failed, second_runs = Gate(), Gate()
    first = GatedWire(second_runs, failed.event.set, OSError("gone"))
    track = Track(first, GatedWire(second_runs.event.set, failed, *HELLO))
    assert await track.play(asynchronous=asynchronous) == ("Hello you", ("model-1 unavailable", "model-2 ok"))


@colours
async def test_a_race_in_which_every_call_fails_gives_every_failure(asynchronous):
    both = Gate()
    first = GatedWire(both, OSError("gone"))
    track = Track(first, GatedWire(both.event.set, DONE._replace(finish=None)))
    assert await track.play(asynchronous=asynchronous) == ("", ("model-1 unavailable", "model-2 truncated"))


@colours
async def test_a_winner_may_still_break_and_nobody_answers_instead(asynchronous):
    gate = Gate()
    track = Track(GatedWire(gate, *HELLO), GatedWire(Delta("Hel lo"), OSError("gone")))
    assert await track.play(asynchronous=asynchronous) == ("Hel", ("model-1 cancelled", "model-2 broken_stream"))
    assert [attempt.shown for attempt in track.attempts] == ["", "Hel"]
    gate.event.set()


@pytest.mark.parametrize("error", [GraphBubbleUp("interrupt"), ConfigError("wrong"), KeyboardInterrupt()], ids=repr)
@colours
async def test_what_is_not_a_models_failure_closes_all_calls_and_passes_through(error, asynchronous):
    gate = Gate()
    slow, wrong = GatedWire(gate, *HELLO), GatedWire(error)
    track = Track(slow, wrong)
    with pytest.raises(type(error)):
        await track.play(asynchronous=asynchronous)
    assert endings(track.racing.cancelled()) == ("model-1 cancelled", "model-2 cancelled")
    gate.event.set()
    assert ended(slow, wrong)


@colours
async def test_a_beaten_call_that_fails_while_it_is_closed_is_still_only_beaten(asynchronous):
    gate = Gate()
    slow = GatedWire(gate, ValueError("broke while closing"))
    track = Track(slow, GatedWire(*HELLO))
    _, endings = await track.play(asynchronous=asynchronous)
    assert endings == ("model-1 cancelled", "model-2 ok")
    gate.event.set()
    assert ended(slow)


# What it costs


@colours
async def test_a_beaten_call_pays_for_its_prompt_and_says_that_it_was_beaten(asynchronous):
    gate = Gate()
    track = Track(GatedWire(gate, *HELLO), GatedWire(*HELLO))
    await track.play(asynchronous=asynchronous)
    beaten, winner = track.attempts
    assert (beaten.failure and beaten.failure.text, beaten.usage, beaten.answer) == (BEATEN, ASKED, None)
    assert winner.usage == DONE.usage
    gate.event.set()


@colours
async def test_a_call_that_was_refused_pays_nothing(asynchronous):
    track = Track(GatedWire(OSError("gone")), after_seconds=NEVER_SECONDS)
    await track.play(asynchronous=asynchronous)
    assert track.attempts[0].usage == Usage()


# The consumer goes away


def test_closing_a_race_amid_its_answer_closes_every_call_in_threads():
    gate = Gate()
    slow, fast = GatedWire(gate, *HELLO), GatedWire(*HELLO)
    track = Track(slow, fast)
    with closing(track.stream()) as pieces:
        assert next(pieces).text == "Hello"
    assert fast.closed.is_set()
    cancelled = track.racing.cancelled()
    assert endings(cancelled) == ("model-1 cancelled", "model-2 cancelled")
    assert [attempt.failure and attempt.failure.text for attempt in cancelled] == [BEATEN, "the consumer went away"]
    assert (cancelled[1].shown, cancelled[1].usage.input_tokens) == ("Hello", 12)
    gate.event.set()
    assert ended(slow)


async def test_closing_a_race_amid_its_answer_closes_every_call_in_tasks():
    slow, fast = GatedWire(Gate(), *HELLO), GatedWire(*HELLO)
    track = Track(slow, fast)
    async with aclosing(track.astream()) as pieces:
        assert (await anext(pieces)).text == "Hello"
    assert (slow.closed.is_set(), fast.closed.is_set()) == (True, True)
    assert endings(track.racing.cancelled()) == ("model-1 cancelled", "model-2 cancelled")


async def test_cancelling_a_task_before_any_piece_closes_every_call():
    both = Gate()
    wires = GatedWire(Gate(), *HELLO), GatedWire(both.event.set, Gate(), *HELLO)
    track = Track(*wires)
    task = asyncio.create_task(track.play(asynchronous=True))
    await both.await_()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [wire.closed.is_set() for wire in wires] == [True, True]
    assert endings(track.racing.cancelled()) == ("model-1 cancelled", "model-2 cancelled")


async def test_no_task_is_left_when_a_race_is_over():
    track = Track(GatedWire(Gate(), *HELLO), GatedWire(*HELLO))
    await track.play(asynchronous=True)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_beaten_model_that_ignores_being_cancelled_does_not_hold_up_the_answer(monkeypatch):
    monkeypatch.setattr("steprouter.racing.CLOSING_SECONDS", 0.0)
    released = asyncio.Event()

    class Deaf(GatedWire):
        async def astream(self, ask: Ask, timeouts: Timeouts) -> AsyncIterator[Delta]:
            while not released.is_set():
                with suppress(asyncio.CancelledError):
                    await released.wait()
            yield DONE
            self.closed.set()

    track = Track(Deaf(), GatedWire(*HELLO))
    assert await track.play(asynchronous=True) == ("Hello you", ("model-1 cancelled", "model-2 ok"))
    released.set()
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})


def test_races_run_on_one_event_loop_after_another():
    for _ in range(2):
        track = Track(GatedWire(Gate(), *HELLO), GatedWire(*HELLO))
        shown, _ = asyncio.run(track.play(asynchronous=True))
        assert shown == "Hello you"


# Threads


def test_models_in_threads_see_the_context_of_their_consumer_from_beginning_to_end():
    seen: list[str] = []

    def note() -> None:
        seen.append(TRACE_ID.get())

    token = TRACE_ID.set("trace-1")
    try:
        track = Track(GatedWire(note, Delta("Hello"), note, DONE, note))
        assert [piece.text for piece in track.run()] == ["Hello"]
    finally:
        TRACE_ID.reset(token)
    assert seen == ["trace-1"] * 3


def test_a_model_may_set_a_context_variable_around_its_stream():
    class Traced(GatedWire):
        def stream(self, ask: Ask, timeouts: Timeouts) -> Iterator[Delta]:
            token = TRACE_ID.set("inner")
            try:
                yield from super().stream(ask, timeouts)
            finally:
                TRACE_ID.reset(token)

    track = Track(Traced(*HELLO))
    assert "".join(piece.text for piece in track.run()) == "Hello you"
    assert (endings(track.attempts), TRACE_ID.get()) == (("model-1 ok",), "none")


def test_pieces_come_no_faster_than_they_are_taken():
    wire = GatedWire(Delta("Hello "), *HELLO)
    with closing(Track(wire).stream()) as pieces:
        next(pieces)
        assert wire.said == 1


# Carried out by the driver


class Bench:
    """A driver that is to race wires, and the attempts it settled."""

    def __init__(self, *wires: GatedWire) -> None:
        self.settled: list[tuple[Attempt, ...]] = []
        self.wires = {f"model-{number}": wire for number, wire in enumerate(wires, 1)}
        self.driver = Driver(self.wires, clock=FrozenClock(), settle=lambda run, outcome: self.settled.append(outcome))
        self.race = Race(calls=tuple(Call(model=name, why="cheapest", ask=ASK) for name in self.wires), after_seconds=0)

    def flow(self) -> Any:
        reply = yield self.race
        yield Settle(outcome=reply)

    def run(self) -> Run:
        return Run(STEP, self.flow(), lambda note: None, 0.0)

    async def play(self, *, asynchronous: bool) -> str:
        if asynchronous:
            return "".join([piece.text async for piece in self.driver.astream(self.run(), watched=True)])
        return "".join(piece.text for piece in self.driver.stream(self.run(), watched=True))


@colours
async def test_the_driver_answers_a_race_with_every_attempt_and_settles_once(asynchronous):
    gate = Gate()
    bench = Bench(GatedWire(gate, *HELLO), GatedWire(*HELLO))
    assert await bench.play(asynchronous=asynchronous) == "Hello you"
    assert [endings(attempts) for attempts in bench.settled] == [("model-1 cancelled", "model-2 ok")]
    gate.event.set()


BOTH_CANCELLED = [("model-1 cancelled", "model-2 cancelled")]


def test_leaving_a_race_in_a_thread_settles_every_call_once():
    gate = Gate()
    bench = Bench(GatedWire(gate, *HELLO), GatedWire(*HELLO))
    with closing(bench.driver.stream(bench.run(), watched=True)) as pieces:
        next(pieces)
    assert [endings(attempts) for attempts in bench.settled] == BOTH_CANCELLED
    gate.event.set()


@pytest.mark.parametrize("is_run_closed_first", [False, True])
async def test_leaving_a_race_in_a_task_settles_every_call_once(is_run_closed_first):
    bench = Bench(GatedWire(Gate(), *HELLO), GatedWire(*HELLO))
    run = bench.run()
    async with aclosing(bench.driver.astream(run, watched=True)) as pieces:
        await anext(pieces)
        if is_run_closed_first:
            bench.driver.close(run)
    assert [endings(attempts) for attempts in bench.settled] == BOTH_CANCELLED


async def test_cancelling_a_task_before_a_race_is_decided_settles_every_call_once():
    both = Gate()
    bench = Bench(GatedWire(Gate(), *HELLO), GatedWire(both.event.set, Gate(), *HELLO))
    task = asyncio.create_task(bench.play(asynchronous=True))
    await both.await_()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [endings(attempts) for attempts in bench.settled] == BOTH_CANCELLED


@colours
async def test_a_race_that_is_interrupted_by_the_graph_is_settled(asynchronous):
    gate = Gate()
    bench = Bench(GatedWire(gate, *HELLO), GatedWire(Delta("Hi"), GraphBubbleUp("interrupt")))
    with pytest.raises(GraphBubbleUp):
        await bench.play(asynchronous=asynchronous)
    assert [endings(attempts) for attempts in bench.settled] == BOTH_CANCELLED
    gate.event.set()


def test_a_race_left_to_the_end_of_its_event_loop_is_settled():
    bench = Bench(GatedWire(Gate(), *HELLO), GatedWire(*HELLO))
    left: list[Any] = []

    async def main() -> None:
        left.append(bench.driver.astream(bench.run(), watched=True))
        await anext(left[0])

    asyncio.run(main())
    assert [endings(attempts) for attempts in bench.settled] == BOTH_CANCELLED
