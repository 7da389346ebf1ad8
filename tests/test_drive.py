"""The drivers: what a flow commands is carried out, in both colours, and a consumer that goes away is settled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.errors import GraphBubbleUp

from steprouter import ConfigError
from steprouter.answering.answer import Delta, ToolPiece
from steprouter.answering.failures import Phase, Seen
from steprouter.drive import Driver, Run
from steprouter.flow import (
    Call,
    Embed,
    Embedded,
    Outcome,
    Race,
    Recall,
    Reserve,
    Setting,
    Settle,
    Spawn,
    Wait,
    run_step,
)
from steprouter.memory.recall import NOT_KEPT, Missing, Recalled
from steprouter.models.card import ModelCard, Price, Tier
from steprouter.models.cost import Usage
from steprouter.routing.policy import Policy
from steprouter.routing.resumption import Resumption
from steprouter.step.ask import Ask
from steprouter.step.step import Needs, Step, StepKind
from steprouter.testing import FrozenClock

ASK = Ask(messages=(HumanMessage("hi"),))
STEP = Step(id="step-1", kind=StepKind.CHAT, needs=Needs(input_tokens=12))
CARDS = tuple(
    ModelCard(name=name, model=name, base_url="http://x", tier=tier, price=Price(input=usd, output=usd))
    for name, tier, usd in (("small", Tier.LOW, 1), ("large", Tier.HIGH, 2))
)
DONE = Delta(finish="stop", usage=Usage(input_tokens=7, output_tokens=2))
HELLO = (Delta("Hello"), Delta(" you"), DONE)


class ListWire:
    """A wire that says a list of pieces; an exception in it is raised, a number lets that many seconds pass."""

    def __init__(self, *pieces: Delta | BaseException | float, clock: FrozenClock | None = None) -> None:
        self.pieces = pieces
        self.clock = clock
        self.asked: list[Ask] = []
        self.closed = 0

    def stream(self, ask: Ask, timeouts: Any) -> Iterator[Delta]:
        self.asked.append(ask)
        try:
            for piece in self.pieces:
                if isinstance(piece, BaseException):
                    raise piece
                if isinstance(piece, float):
                    assert self.clock is not None
                    self.clock.advance(piece)
                else:
                    yield piece
        finally:
            self.closed += 1

    async def astream(self, ask: Ask, timeouts: Any) -> AsyncIterator[Delta]:
        for piece in self.stream(ask, timeouts):
            await asyncio.sleep(0)
            yield piece

    def saw(self, error: Exception) -> Seen:
        return Seen(text=str(error), classes=tuple(c.__name__ for c in type(error).__mro__))

    def close(self) -> None: ...

    async def aclose(self) -> None: ...


class Bench:
    """A driver over two wires, and what it settled and told."""

    def __init__(
        self, small: ListWire, large: ListWire | None = None, *, mind: Any = None, policy: Policy | None = None
    ) -> None:
        self.policy = policy
        self.clock = small.clock or FrozenClock()
        self.settled: list[tuple[Run, Outcome]] = []
        self.told: list[str] = []
        wires = {"small": small, "large": large or ListWire(*HELLO)}
        self.driver = Driver(
            wires,
            clock=self.clock,
            settle=lambda run, outcome: self.settled.append((run, outcome)),
            embedder=mind,
            memory=mind,
        )

    def begin(self, policy: Policy | None = None) -> Run:
        flow = run_step(STEP, ASK, Setting(cards=CARDS, policy=policy or self.policy or Policy()))
        return self.driver.begin(STEP, flow, lambda note: self.told.append(note.event))

    async def play(self, *, asynchronous: bool, watched: bool = True) -> tuple[str, Outcome]:
        """What was shown, and the outcome."""
        run = self.begin()
        if asynchronous:
            shown = [delta.text async for delta in self.driver.astream(run, watched=watched)]
        else:
            shown = [delta.text for delta in self.driver.stream(run, watched=watched)]
        ((_, outcome),) = self.settled
        assert run.outcome is outcome
        return "".join(shown), outcome


colours = pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])


def test_beginning_a_step_decides_and_calls_nobody():
    wire = ListWire(*HELLO)
    run = Bench(wire).begin()
    assert run.decision is not None
    assert run.decision.models == ("small", "large")
    assert (type(run.pending), wire.asked) == (Reserve, [])


@colours
async def test_a_whole_answer_is_shown_and_settled_once(asynchronous):
    shown, outcome = await Bench(ListWire(*HELLO)).play(asynchronous=asynchronous)
    assert shown == "Hello you"
    assert [(a.model, a.shown, a.usage.output_tokens) for a in outcome.attempts] == [("small", "Hello you", 2)]


@colours
async def test_nothing_is_shown_to_nobody(asynchronous):
    shown, outcome = await Bench(ListWire(*HELLO)).play(asynchronous=asynchronous, watched=False)
    assert shown == ""
    assert outcome.answered_by is not None
    assert outcome.answered_by.shown == ""


@colours
async def test_a_wire_that_raises_makes_a_failed_attempt_and_the_next_model_answers(asynchronous):
    small = ListWire(ConnectionResetError("gone"))
    shown, outcome = await Bench(small).play(asynchronous=asynchronous)
    assert (shown, [a.failure.kind if a.failure else "ok" for a in outcome.attempts]) == (
        "Hello you",
        ["unavailable", "ok"],
    )
    assert small.closed == 1


@colours
async def test_a_stream_without_a_finish_is_a_failure_however_it_ended(asynchronous):
    policy = Policy(resume=Resumption(resumes=0))
    _, outcome = await Bench(ListWire(Delta("Hello you")), policy=policy).play(asynchronous=asynchronous)
    failure = outcome.attempts[0].failure
    assert failure is not None
    assert (failure.kind, failure.phase, outcome.answered_by) == ("truncated", Phase.IN_TEXT, None)


@colours
async def test_a_change_of_models_is_told_between_the_attempts(asynchronous):
    bench = Bench(ListWire(OSError("gone")))
    await bench.play(asynchronous=asynchronous)
    assert bench.told == ["decision", "attempt_failed", "failover"]


@pytest.mark.parametrize("error", [GraphBubbleUp("interrupt"), ConfigError("wrong"), KeyboardInterrupt()], ids=repr)
@colours
async def test_what_is_not_the_models_failure_passes_through_and_is_settled(error, asynchronous):
    bench = Bench(ListWire(Delta("Hello"), error))
    with pytest.raises(type(error)):
        await bench.play(asynchronous=asynchronous)
    ((_, outcome),) = bench.settled
    assert (outcome.gave_up and outcome.gave_up.why, len(outcome.attempts)) == ("cancelled", 1)


# Tokens to pay for


@colours
async def test_tokens_of_a_broken_stream_are_estimated_from_what_was_said(asynchronous):
    _, outcome = await Bench(ListWire(Delta("Hello you"), OSError("gone"))).play(asynchronous=asynchronous)
    usage = outcome.attempts[0].usage
    assert (usage.input_tokens, usage.estimated, usage.output_tokens > 0) == (12, True, True)


async def test_a_half_said_tool_call_is_paid_for():
    piece = ToolPiece(index=0, id="c", name="weather", args='{"city": "Oslo and a long tail')
    _, outcome = await Bench(ListWire(Delta(tools=(piece,)), OSError("gone"))).play(asynchronous=False)
    assert outcome.attempts[0].usage.output_tokens > 0


async def test_a_refused_request_costs_nothing():
    _, outcome = await Bench(ListWire(OSError("gone"))).play(asynchronous=False)
    assert outcome.attempts[0].usage == Usage()


@colours
async def test_attempts_say_when_they_began_and_when_the_first_token_came(asynchronous):
    clock = FrozenClock()
    small = ListWire(2.0, OSError("gone"), clock=clock)
    large = ListWire(0.5, Delta("Hi"), 0.25, DONE, clock=clock)
    bench = Bench(small, large)
    _, outcome = await bench.play(asynchronous=asynchronous)
    first, second = outcome.attempts
    assert (first.began_seconds, first.seconds, first.first_token_seconds) == (0.0, 2.0, None)
    assert (second.began_seconds, second.seconds, second.first_token_seconds) == (2.0, 0.75, 0.5)
    assert bench.settled[0][0].seconds == 2.75


# The consumer goes away


def test_closing_the_driver_amid_an_answer_closes_the_wire_and_settles_once():
    small = ListWire(*HELLO)
    bench = Bench(small)
    pieces = bench.driver.stream(bench.begin(), watched=True)
    next(pieces)
    pieces.close()
    ((_, outcome),) = bench.settled
    assert (outcome.gave_up and outcome.gave_up.why, outcome.attempts[0].shown, small.closed) == (
        "cancelled",
        "Hello",
        1,
    )


async def test_closing_the_async_driver_amid_an_answer_closes_the_wire_and_settles_once():
    small = ListWire(*HELLO)
    bench = Bench(small)
    pieces = bench.driver.astream(bench.begin(), watched=True)
    await anext(pieces)
    await pieces.aclose()
    ((_, outcome),) = bench.settled
    assert (outcome.gave_up and outcome.gave_up.why, outcome.attempts[0].shown) == ("cancelled", "Hello")


async def test_closing_the_run_settles_at_once_even_if_its_generator_is_closed_later():
    bench = Bench(ListWire(*HELLO))
    run = bench.begin()
    pieces = bench.driver.astream(run, watched=True)
    await anext(pieces)
    bench.driver.close(run)
    assert [outcome.gave_up and outcome.gave_up.why for _, outcome in bench.settled] == ["cancelled"]
    await pieces.aclose()
    assert len(bench.settled) == 1


def test_closing_a_run_that_called_nobody_settles_nothing():
    bench = Bench(ListWire())
    run = bench.begin()
    bench.driver.close(run)
    bench.driver.close(run)
    assert (run.pending, bench.settled) == (None, [])


def test_closing_an_ended_run_changes_nothing():
    bench = Bench(ListWire(*HELLO))
    run = bench.begin()
    assert list(bench.driver.stream(run, watched=True))
    bench.driver.close(run)
    assert len(bench.settled) == 1
    assert run.outcome is not None


# Commands


def flow_of(*commands: Any) -> Any:
    """A flow that yields commands and returns the reply to the last."""
    reply = None
    for command in commands:
        reply = yield command
    return reply


def reply_to(bench: Bench, *commands: Any) -> Any:
    run = Run(STEP, flow_of(*commands), lambda note: None, 0.0)
    for _ in bench.driver.stream(run, watched=True):
        pass
    return run.outcome


async def areply_to(bench: Bench, *commands: Any) -> Any:
    run = Run(STEP, flow_of(*commands), lambda note: None, 0.0)
    async for _ in bench.driver.astream(run, watched=True):
        pass
    return run.outcome


@colours
async def test_a_wait_sleeps_on_the_clock(asynchronous):
    bench = Bench(ListWire())
    reply = await areply_to(bench, Wait(seconds=3)) if asynchronous else reply_to(bench, Wait(seconds=3))
    assert (reply, bench.clock.slept) == (True, (3,))


@colours
async def test_a_race_is_answered_with_its_first_call(asynchronous):
    bench = Bench(ListWire(*HELLO))
    race = Race(calls=(Call(model="small", why="", ask=ASK), Call(model="large", why="", ask=ASK)), after_seconds=1)
    (attempt,) = await areply_to(bench, race) if asynchronous else reply_to(bench, race)
    assert (attempt.model, attempt.answer.text) == ("small", "Hello you")


class Mind:
    """Embeds and recalls, and says by which way it was asked."""

    def embed(self, text, question):
        return Embedded(vector=Missing(reason=f"embed {text}"))

    async def aembed(self, text, question):
        return Embedded(vector=Missing(reason=f"aembed {text}"))

    def recall(self, step, vector, lookup):
        return Recalled(sections={"way": "recall", "vector": vector})

    async def arecall(self, step, vector, lookup):
        return Recalled(sections={"way": "arecall", "vector": vector})


@colours
async def test_a_step_is_embedded_and_recalled_in_its_own_colour(asynchronous):
    bench, prefix = Bench(ListWire(), mind=Mind()), "a" if asynchronous else ""
    commands = (Embed(text="x"), Recall(step=STEP, vector=NOT_KEPT))
    replies = [await areply_to(bench, c) if asynchronous else reply_to(bench, c) for c in commands]
    assert replies == [
        Embedded(vector=Missing(reason=f"{prefix}embed x")),
        Recalled(sections={"way": f"{prefix}recall", "vector": NOT_KEPT}),
    ]


@colours
async def test_without_memory_nothing_is_known_and_nothing_is_broken(asynchronous):
    command = Recall(step=STEP, vector=NOT_KEPT)
    recalled = await areply_to(Bench(ListWire()), command) if asynchronous else reply_to(Bench(ListWire()), command)
    assert (dict(recalled.sections), recalled.degraded) == ({}, ())


def test_an_unknown_command_is_refused_by_name():
    with pytest.raises(TypeError, match="knows no command Spawn"):
        reply_to(Bench(ListWire()), Spawn(step=STEP, flow=flow_of(), why="probe"))


def test_settling_takes_the_time_of_the_whole_step():
    bench = Bench(ListWire())
    bench.clock.advance(4)
    outcome: Any = object()
    reply_to(bench, Settle(outcome=outcome))
    assert [(run.seconds, settled) for run, settled in bench.settled] == [(4.0, outcome)]


def test_a_run_prints_its_step_and_no_content():
    assert repr(Bench(ListWire()).begin()) == "Run('step-1', chat)"
