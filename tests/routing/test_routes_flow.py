"""Routes in the order of a step: settled between embedding and recall, held by what the session knows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from route_tables import EMBEDDER, route, table

from steprouter.flow import Considered, Embed, Embedded, Recall, Setting, consider
from steprouter.memory.recall import Missing, Recalled
from steprouter.memory.session import Decided, Session
from steprouter.models.card import ModelCard, Price, Tier
from steprouter.routing.policy import Policy
from steprouter.step.ask import Ask
from steprouter.step.step import Step, StepKind

CARDS = tuple(
    ModelCard(name=name, model=f"openai:{name}", tier=tier, price=Price(input=usd, output=usd))
    for name, tier, usd in (("small", Tier.LOW, 1), ("large", Tier.HIGH, 20))
)
CODE, CHAT = route("code", "python bug", kind="code"), route("chat", "python poem", kind="chat", models=None)
STEP = Step(id="s", kind=StepKind.ANSWER, kind_open=True, text="x")


def considered(
    text: str, *, last: str | None = None, step: Step = STEP, embedded: Embedded | None = None
) -> tuple[Considered, list[StepKind]]:
    """What becomes of a text in a thread that took a route last, and the kinds that were recalled."""
    flow = consider(step, Ask(messages=(HumanMessage(text),)), Setting(cards=CARDS, policy=Policy()))
    session = Session(recent=(Decided(step_id="before", at=0, kind="chat", route=last),))
    kinds: list[StepKind] = []
    reply: Any = None
    while True:
        try:
            command = flow.send(reply)
        except StopIteration as end:
            return end.value, kinds
        if isinstance(command, Embed):
            assert command.text == text
            reply = embedded or Embedded(vector=EMBEDDER.embed(text), routes=table(CODE, CHAT))
        else:
            assert isinstance(command, Recall)
            kinds.append(command.step.kind)
            reply = Recalled(sections={"session": session})


def test_a_route_settles_the_kind_before_what_is_known_of_that_kind_is_recalled() -> None:
    found, kinds = considered("python bug")
    assert kinds == [StepKind.CODE]
    assert (found.step.kind, found.decision.route, found.decision.models) == (StepKind.CODE, "code", ("small",))


def test_a_route_that_is_held_against_the_words_has_its_own_kind_recalled() -> None:
    """The words alone are as near to both, and the session is known only once it was recalled."""
    found, kinds = considered("python", last="chat")
    assert kinds == [StepKind.CODE, StepKind.CHAT]
    assert (found.step.kind, found.decision.route) == (StepKind.CHAT, "chat")


def test_a_thread_that_stays_where_the_words_lead_recalls_once() -> None:
    assert considered("python", last="code")[1] == [StepKind.CODE]


def test_structure_that_knows_the_kind_is_not_overruled() -> None:
    found, kinds = considered("python poem", step=replace(STEP, kind_open=False))
    assert (kinds, found.step.kind, found.decision.route) == ([StepKind.ANSWER], StepKind.ANSWER, "chat")


@pytest.mark.parametrize(
    "embedded",
    [Embedded(), Embedded(vector=EMBEDDER.embed("python bug")), Embedded(vector=Missing(reason="x"), routes=table())],
)
def test_a_step_goes_on_without_routes_where_they_or_its_vector_are_not_there(embedded: Embedded) -> None:
    found, kinds = considered("python bug", embedded=embedded)
    assert (kinds, found.decision.route, len(found.decision.models)) == ([StepKind.ANSWER], None, 2)
