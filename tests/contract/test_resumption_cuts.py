"""Cut anywhere, in any way: the text is shown once, exactly as if nothing had happened, and no part of a call is.

Some cuts by chance; `STEPROUTER_ALL_CUTS=1` (`make test-resumption`) takes every byte of every answer in every way.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import Any

import pytest
from cut_answers import ANSWERS, WAYS, CutWire, Said, Way, cuts_of, sample
from langchain_core.messages import HumanMessage

from steprouter.drive import Driver, Run
from steprouter.flow import Outcome, Setting, run_step
from steprouter.models.card import Abilities, ModelCard, Price, Tier
from steprouter.models.tokens import estimate_tokens
from steprouter.routing.policy import Policy
from steprouter.step.ask import Ask, Toolset
from steprouter.step.step import Needs, Step, StepKind
from steprouter.testing import FrozenClock

CARD = ModelCard(
    name="m",
    model="m",
    base_url="http://x",
    tier=Tier.LOW,
    price=Price(input=1, output=1),
    abilities=Abilities(prefill=True, prefill_with_tools=True),
)
WEATHER = {"name": "weather", "description": "x", "parameters": {"type": "object", "properties": {}}}
MOVE = {"name": "move", "description": "x", "parameters": {"type": "object", "properties": {}}}
TOOLS = Toolset.of([{"type": "function", "function": one} for one in (WEATHER, MOVE)])
FORMAT = Toolset.of([], response_format={"type": "object", "properties": {}, "title": "Any"})
QUESTION = (HumanMessage("hi"),)
STEPS = {
    tools: Step(id="step-1", kind=StepKind.CHAT, needs=Needs(input_tokens=9, tools=tools)) for tools in (False, True)
}
OTHER = replace(CARD, name="n", tier=Tier.HIGH)
SETTING = Setting(cards=(CARD, OTHER), policy=Policy(stream_structured=True))


def play(said: Said, wire: CutWire, *, watched: bool = True) -> tuple[str, Outcome, list[str]]:
    """What is shown of a step in all, what came of it, and what was told."""
    asked = TOOLS if said.calls else FORMAT if said.is_json else Toolset.of([])
    ask, step = Ask(messages=QUESTION, tools=asked), STEPS[bool(said.calls)]
    outcomes: list[Outcome] = []
    told: list[str] = []
    driver = Driver({"m": wire, "n": wire}, clock=FrozenClock(), settle=lambda run, outcome: outcomes.append(outcome))
    run: Run = driver.begin(step, run_step(step, ask, SETTING), lambda note: told.append(note.event))
    shown = "".join(delta.text for delta in driver.stream(run, watched=watched))
    (outcome,) = outcomes
    assert outcome.answered_by is not None, outcome.gave_up
    assert outcome.answered_by.answer is not None
    rest = "".join(delta.text for delta in outcome.answered_by.answer.unshown)
    return shown + rest, outcome, told


def check(said: Said, at: int, way: Way, again: int = 0, *, watched: bool = True) -> None:
    wire = CutWire(said, (at, again) if again else (at,), way)
    text, outcome, told = play(said, wire, watched=watched)
    where = (said.text[:20], at, way, again)
    given = outcome.answered_by
    assert given is not None
    assert given.answer is not None
    assert text == said.text == given.answer.text, where
    calls = [(call.name, call.raw) for call in given.answer.tool_calls]
    whole = [(name, args) for name, args in said.calls]
    # Complete calls are kept when the rest breaks off: the agent makes those, and asks for the others again.
    assert calls == whole or (given.kept is not None and calls == whole[: len(calls)] and calls), where
    assert all(json.loads(raw) is not None for _, raw in calls)
    # The trace bills every half; the message says what it took itself: the last prompt, and all output once.
    assert len(outcome.attempts) == len(wire.asks)
    assert all(attempt.usage.total_tokens for attempt in outcome.attempts if attempt.answer or attempt.shown)
    usage = given.answer.usage
    if given.kept is None and (usage is not None or len(wire.asks) > len(wire.cuts)):
        assert usage is not None, where  # but for a cut between the end of the answer and its figures
        assert usage.input_tokens == 100 + len(wire.asks), where
        if given.resumed is not None:
            before = said.text[: given.resumed.at_char]
            assert usage.output_tokens == estimate_tokens(before) + 50, where
    assert told.count("resumed") == sum(attempt.resumed is not None for attempt in outcome.attempts), where


@pytest.mark.parametrize("seed", range(8))
def test_a_cut_anywhere_changes_nothing_the_consumer_sees(seed: int) -> None:
    for answer, at, way, again in sample(250, seed):
        check(ANSWERS[answer], at, way, again)


@pytest.mark.parametrize("seed", range(2))
def test_a_cut_of_what_nobody_watches_changes_nothing_either(seed: int) -> None:
    for answer, at, way, again in sample(250, seed + 100):
        check(ANSWERS[answer], at, way, again, watched=False)


def test_there_are_fifty_answers_of_all_kinds() -> None:
    assert len(ANSWERS) >= 50
    assert sum(bool(said.calls) for said in ANSWERS) == 10
    assert sum(said.is_json for said in ANSWERS) == 5


@pytest.mark.skipif(not os.environ.get("STEPROUTER_ALL_CUTS"), reason="every cut takes minutes: make test-resumption")
@pytest.mark.parametrize("answer", range(len(ANSWERS)))
def test_every_cut_of_every_answer_in_every_way(answer: int) -> None:
    said: Any = ANSWERS[answer]
    for at in cuts_of(said):
        for way in WAYS:
            check(said, at, way)
