"""How a broken answer goes on over HTTP: by which way, with which model, how often, and when it does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from cut_over_http import LAST, PLAIN, PREFILL, card_of, router_over
from langchain_core.messages import AIMessageChunk

from steprouter import ModelCard, Policy, Price, Resumption, StepRouter, Tier
from steprouter.answering.hedge import CALLS_PER_HEDGE
from steprouter.clock import SystemClock
from steprouter.errors import AnswerBroken
from steprouter.models.card import Abilities
from steprouter.step.step import StepKind
from steprouter.testing import (
    ContentFilter,
    Cut,
    ErrorEvent,
    Fault,
    Reply,
    Request,
    SimulatedProvider,
    continuing,
    fail,
    say,
)
from steprouter.testing.continuing import Continuing

TEXT = "The harbour was quiet before dawn, and the lamps on the water looked like a second, slower city."
ANSWER = say(TEXT, headers=LAST)
RESET, ENDED = Cut(after_chunks=7, how="reset"), Cut(after_chunks=7, how="close")
SHOWN = "The harbour was quiet before dawn,"
"""What is shown of seven words: the last is held, since it may go on."""


@pytest.fixture(scope="module")
def provider() -> Iterator[SimulatedProvider]:
    with SimulatedProvider({"small": ANSWER, "large": ANSWER}) as running:
        yield running


def script(*faults: Fault | None, **how: Any) -> Continuing:
    return continuing(ANSWER, faults, **how)


def own(
    provider: SimulatedProvider, name: str, script: Any, abilities: Abilities = PREFILL, tier: Tier = Tier.LOW
) -> ModelCard:
    """A model over the own wire, which plays this script from now on."""
    provider.play(name, script)
    usd = tier.rank + 1
    return ModelCard(
        name=name,
        model=name,
        base_url=provider.url,
        abilities=abilities,
        tier=tier,
        price=Price(input=usd, output=usd),
    )


def streamed(router: StepRouter) -> tuple[str, list[dict[str, Any]]]:
    """What is shown of a step, and how it was gone on with."""
    chunks: list[AIMessageChunk] = list(router.stream("hi"))
    router.close()
    assert len({chunk.id for chunk in chunks}) == 1
    resumed: list[dict[str, Any]] = chunks[-1].response_metadata["steprouter"]["resumed"]
    return "".join(str(chunk.text) for chunk in chunks), resumed


def way(resumed: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(one["to"], one["rung"]) for one in resumed]


@pytest.mark.parametrize("fault", [RESET, ENDED, ErrorEvent(after_chunks=7)], ids=["reset", "ended", "error event"])
@pytest.mark.parametrize("preamble", ["", "Sure! Continuing from where I left off: ", "Here is the rest:\n\n"])
@pytest.mark.parametrize("how", [{}, {"repeats_characters": 30}, {"starts_over": True}], ids=["on", "echo", "over"])
def test_what_a_model_says_again_and_before_it_goes_on_is_shown_to_nobody(
    how: dict[str, Any], preamble: str, fault: Fault, provider: SimulatedProvider
) -> None:
    small = own(provider, "small", script(fault, preamble=preamble, **how), PLAIN)
    router = router_over([small])
    text, resumed = streamed(router)
    assert text == TEXT
    assert way(resumed) == [("small", "instruction")]
    (trace,) = router.traces.list()
    told = trace.attempts[1].resumed
    assert told is not None
    assert bool(told.preamble_characters) == bool(preamble)
    assert (told.dropped_characters > 0) == bool(how)


def test_no_model_is_asked_in_words_without_the_users_leave(provider: SimulatedProvider) -> None:
    small = script(RESET)
    router = router_over([own(provider, "small", small, PLAIN)], resume=Resumption())
    with pytest.raises(AnswerBroken) as caught:
        streamed(router)
    assert caught.value.partial == SHOWN
    assert small.continuations == []


def test_a_model_that_refuses_a_partial_turn_is_asked_in_words_and_never_given_one_again(
    provider: SimulatedProvider,
) -> None:
    small = script(RESET, None, None, RESET, None, refuses_prefill=True)
    router = router_over([own(provider, "small", small)])
    assert streamed(router) == (
        TEXT,
        [{"from": "small", "to": "small", "rung": "instruction", "at_char": len(SHOWN), "certain": True}],
    )
    (first,) = router.traces.list()
    assert [(one.failure.kind if one.failure else None) for one in first.attempts] == [
        "broken_stream",
        "bad_request",
        None,
    ]
    assert first.attempts[1].resumed.failed == "it refused a partial turn"  # type: ignore[union-attr]
    # The next step of the same router has learnt it.
    assert streamed(router)[0] == TEXT
    second = router.traces.list()[-1]
    assert [one.resumed and one.resumed.rung for one in second.attempts] == [None, "instruction"]
    assert [how for how, _ in small.continuations] == ["instruction", "instruction"]


def test_a_refused_partial_turn_masks_no_failure(provider: SimulatedProvider) -> None:
    small = script(RESET, refuses_prefill=True)
    router = router_over([own(provider, "small", small)], resume=Resumption(instruction=False))
    with pytest.raises(AnswerBroken, match="broken_stream") as caught:
        streamed(router)
    assert caught.value.partial == SHOWN
    assert caught.value.__notes__ == ["small could not go on by prefill: it refused a partial turn"]
    assert "prefill" not in str(caught.value.__cause__)


@pytest.mark.parametrize("abilities", [PREFILL, PLAIN], ids=["prefill", "in words"])
def test_another_model_of_at_least_the_same_tier_goes_on_where_the_first_cannot(
    abilities: Abilities, provider: SimulatedProvider
) -> None:
    gone = iter([ANSWER.failing(RESET)])

    def small(request: Request) -> Reply:
        return next(gone, fail(503))

    large = script()
    cards = [own(provider, "small", small), own(provider, "large", large, abilities, Tier.HIGH)]
    text, resumed = streamed(router_over(cards))
    assert text == TEXT
    rung = "prefill" if abilities is PREFILL else "instruction"
    assert way(resumed) == [("large", rung)]
    assert resumed[0]["from"] == "small"
    assert large.continuations == [(rung, len(SHOWN))]


def test_no_weaker_model_goes_on(provider: SimulatedProvider) -> None:
    gone, weak = iter([ANSWER.failing(RESET)]), script()
    strong = own(provider, "large", lambda request: next(gone, fail(503)), tier=Tier.HIGH)
    router = router_over([strong, own(provider, "small", weak)], kinds={StepKind.CHAT: Tier.HIGH})
    with pytest.raises(AnswerBroken) as caught:
        streamed(router)
    assert caught.value.partial == SHOWN
    assert weak.requests == 0
    (trace,) = router.traces.list()
    assert [(one.model, one.kept) for one in trace.candidates] == [("large", True), ("small", True)]


def test_an_answer_is_gone_on_with_twice_at_most(provider: SimulatedProvider) -> None:
    short = Cut(after_chunks=3, how="reset")
    small = script(short, short, short, short)
    large = script(short, short, short, short)
    cards = [own(provider, "small", small), own(provider, "large", large, tier=Tier.HIGH)]
    router = router_over(cards)
    with pytest.raises(AnswerBroken) as caught:
        streamed(router)
    (trace,) = router.traces.list()
    assert [one.resumed and one.resumed.rung for one in trace.attempts] == [None, "prefill", "prefill"]
    assert TEXT.startswith(caught.value.partial)
    assert len(caught.value.partial.split()) >= 6


def test_what_a_filter_stopped_is_gone_on_with_by_nobody(provider: SimulatedProvider) -> None:
    small, large = script(ContentFilter(after_chunks=7)), script()
    cards = [own(provider, "small", small), own(provider, "large", large, tier=Tier.HIGH)]
    router = router_over(cards)
    text, resumed = streamed(router)
    assert TEXT.startswith(text)
    assert len(text) < len(TEXT)
    assert resumed == []
    assert small.continuations == large.continuations == []
    assert (small.requests, large.requests) == (1, 0)


@pytest.mark.parametrize("wire", ["own chat", "ChatOpenAI", "ChatAnthropic", "asked in words", "by cursor"])
@pytest.mark.parametrize("fault", [RESET, ENDED, ErrorEvent(after_chunks=7)], ids=["reset", "ended", "error event"])
def test_what_nobody_watches_goes_on_with_the_same_model_or_begins_anew(
    fault: Fault, wire: str, provider: SimulatedProvider
) -> None:
    small = script(fault)
    provider.play("small", small)
    router = router_over([card_of(wire, provider, "small")])
    message = router.invoke("hi")
    router.close()
    assert message.text == TEXT
    (trace,) = router.traces.list()
    assert all(one.input_tokens for one in trace.attempts if not (one.resumed and one.resumed.rung == "cursor"))
    rungs = {one.resumed.rung for one in trace.attempts if one.resumed}
    assert rungs <= {"prefill", "cursor"}
    assert message.usage_metadata is not None
    if wire == "by cursor":
        assert (rungs, small.requests) == ({"cursor"}, 1)
    elif wire != "asked in words":
        assert rungs <= {"prefill"}
        assert small.requests <= 2


@pytest.mark.parametrize("wire", ["own chat", "ChatOpenAI", "ChatAnthropic", "asked in words", "by cursor"])
async def test_it_goes_on_in_an_event_loop_as_in_a_thread(wire: str, provider: SimulatedProvider) -> None:
    for fault in (RESET, ENDED, ErrorEvent(after_chunks=7)):
        provider.play("small", script(fault))
        router = router_over([card_of(wire, provider, "small")])
        chunks = [chunk async for chunk in router.astream("hi")]
        await router.aclose()
        assert "".join(str(chunk.text) for chunk in chunks) == TEXT
        assert len(chunks[-1].response_metadata["steprouter"]["resumed"]) == 1


def test_the_winner_of_a_race_that_breaks_goes_on(provider: SimulatedProvider) -> None:
    """The clock is real: how late a first token is, is measured. Fifty answers earn a hedge."""
    slow = ANSWER.slowly(first_token_seconds=5)
    first = iter([ANSWER] * CALLS_PER_HEDGE + [slow])
    second = script(RESET)
    cards = [
        own(provider, "small", lambda request: next(first)),
        own(provider, "large", second, tier=Tier.LOW),
    ]
    router = StepRouter(cards, store="memory", policy=Policy(hedge=True), clock=SystemClock())
    for _ in range(CALLS_PER_HEDGE):
        assert router.invoke("hi").text == TEXT
    text, resumed = streamed(router)
    assert text == TEXT
    assert way(resumed) == [("large", "prefill")]
    trace = router.traces.list()[-1]
    assert [(one.model, one.lost_race) for one in trace.attempts] == [
        ("small", True),
        ("large", False),
        ("large", False),
    ]
    assert second.continuations == [("prefill", len(SHOWN))]


def test_what_nobody_watches_waits_for_no_model_while_another_can_begin_anew(provider: SimulatedProvider) -> None:
    gone = iter([ANSWER.failing(RESET)])
    cards = [
        own(provider, "small", lambda request: next(gone, fail(503))),
        own(provider, "large", script(), tier=Tier.HIGH),
    ]
    router = router_over(cards)
    assert router.invoke("hi").text == TEXT
    router.close()
    (trace,) = router.traces.list()
    tried = [(one.model, one.resumed.rung if one.resumed else None) for one in trace.attempts]
    assert tried == [("small", None), ("small", "prefill"), ("large", None)]
    assert sum(one.waited_seconds for one in trace.attempts) == 0
