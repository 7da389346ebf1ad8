"""Every fault × how far the answer had come × sync and async × every wire: the right answer, or the right error.

A row says what a server does; `Expected` says what the router makes of it. Where the pieces of an answer are shown
while they come, text that was shown is not taken back: then a break is an `AnswerBroken` with what was shown.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from steprouter import ModelCard, Policy, Price, Resumption, StepRouter, Tier
from steprouter.errors import AnswerBroken, ContentFiltered
from steprouter.testing import (
    UNRESOLVABLE_URL,
    BrokenArguments,
    ContentFilter,
    Cut,
    CutAtByte,
    Duplicate,
    ErrorEvent,
    Fault,
    FrozenClock,
    Garbage,
    HangUp,
    HugeChunk,
    InvalidUtf8,
    Rejection,
    SimulatedProvider,
    SplitUtf8,
    Stall,
    WrongTool,
    call,
    refused_url,
    say,
)

WIRES = ("own", "own responses", "chat", "responses", "messages")
WAYS = ("invoke", "ainvoke", "stream", "astream")
TEXT = "Grüße aus Oslo: 東京 🌦️ and ten more words of a plain answer."
RESCUE = "Rescued by the large model."
ALONE = Resumption(resumes=0)
"""No answer is gone on with; how that goes is tested by itself."""


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What the router makes of a fault of the small model.

    Attributes:
        text: What the step is answered; None where it raises.
        error: What it raises.
        kinds: Failure kinds that the first attempt may have; empty where it has none.
    """

    text: str | None = RESCUE
    error: type[Exception] | None = None
    kinds: tuple[str, ...] = ()


def failing_over(*kinds: str) -> Expected:
    return Expected(kinds=kinds)


HEALTHY = Expected(text=TEXT)
LATER = datetime.now(UTC) + timedelta(seconds=2)

BEFORE: dict[str, tuple[Fault, Expected]] = {
    "401": (Rejection(status=401), failing_over("auth")),
    "402": (Rejection(status=402), failing_over("auth")),
    "403": (Rejection(status=403), failing_over("auth")),
    "404": (Rejection(status=404), failing_over("not_found")),
    "408": (Rejection(status=408), failing_over("unavailable")),
    "413": (Rejection(status=413), failing_over("context_overflow")),
    "400 too long": (Rejection(status=400, code="context_length_exceeded"), failing_over("context_overflow")),
    "429": (Rejection(status=429), failing_over("rate_limited")),
    "429 for long": (Rejection(status=429, retry_after_seconds=900), failing_over("rate_limited")),
    "429 garbage": (Rejection(status=429, retry_after="soon"), failing_over("rate_limited")),
    "429 for a moment": (Rejection(status=429, retry_after_seconds=1), Expected(text=TEXT, kinds=("rate_limited",))),
    "429 until": (Rejection(status=429, retry_after=LATER), Expected(text=TEXT, kinds=("rate_limited",))),
    "500": (Rejection(status=500), failing_over("unavailable")),
    "502 page": (Rejection(status=502, raw_body="<html>Bad gateway</html>"), failing_over("unavailable")),
    "503": (Rejection(status=503), failing_over("unavailable")),
    "529": (Rejection(status=529), failing_over("overloaded")),
    "400": (Rejection(status=400), Expected(text=None, error=Exception, kinds=("bad_request",))),
    "content filter": (
        ContentFilter(),
        Expected(text=None, error=ContentFiltered, kinds=("content_filtered",)),
    ),
    "hang up": (HangUp(how="drop"), failing_over("unavailable")),
    "reset": (HangUp(how="reset"), failing_over("unavailable")),
    "nothing, ended well": (Cut(after_chunks=0), failing_over("truncated", "unavailable", "broken_stream")),
    "error event": (ErrorEvent(), failing_over("unavailable", "overloaded")),
    "split characters": (SplitUtf8(), HEALTHY),
}

BREAKS: dict[str, Fault] = {
    "ended well": Cut(after_chunks=3, how="close"),
    "dropped": Cut(after_chunks=3, how="drop"),
    "reset": Cut(after_chunks=3, how="reset"),
    "error event": ErrorEvent(after_chunks=3),
    "overloaded event": ErrorEvent(after_chunks=3, code="overloaded_error"),
    "reset at a byte": CutAtByte(at_byte=1500),
}
"""What ends an answer amid its text or its call."""


@pytest.fixture(scope="module")
def provider() -> Iterator[SimulatedProvider]:
    with SimulatedProvider({"small": say(TEXT), "large": say(RESCUE)}) as running:
        yield running


@pytest.fixture(scope="module")
def models(provider: SimulatedProvider) -> dict[tuple[str, str], dict[str, Any]]:
    """How each wire reaches each of the two models, as arguments of a card."""
    return {(wire, name): reached(wire, name, provider) for wire in WIRES for name in ("small", "large")}


def reached(wire: str, name: str, provider: SimulatedProvider, url: str | None = None) -> dict[str, Any]:
    close: Any = {"Connection": "close"}
    base = url or (provider.root_url if wire == "messages" else provider.url)
    if wire.startswith("own"):
        api: Any = "responses" if "responses" in wire else "chat_completions"
        return {"model": name, "base_url": base, "api": api}
    common: dict[str, Any] = {
        "base_url": base,
        "api_key": "x",
        "model": name,
        "max_retries": 0,
        "default_headers": close,
    }
    if wire == "messages":
        return {"model": ChatAnthropic(**common)}
    return {"model": ChatOpenAI(**common, use_responses_api=wire == "responses")}


def router_over(small: dict[str, Any], large: dict[str, Any], **settings: Any) -> StepRouter:
    cards = [
        ModelCard(name="small", tier=Tier.LOW, price=Price(input=1, output=1), window_tokens=8_000, **small),
        ModelCard(name="large", tier=Tier.HIGH, price=Price(input=9, output=9), window_tokens=64_000, **large),
    ]
    return StepRouter(cards, store="memory", **{"clock": FrozenClock(), "policy": Policy(resume=ALONE), **settings})


async def asked(router: StepRouter, way: str) -> str:
    """What a step is answered, whole."""
    match way:
        case "invoke":
            return router.invoke("How are you?").text
        case "ainvoke":
            return (await router.ainvoke("How are you?")).text
        case "stream":
            return "".join(chunk.text for chunk in router.stream("How are you?"))
    chunks: AsyncIterator[Any] = router.astream("How are you?")
    return "".join([chunk.text async for chunk in chunks])


async def said_or_broken(router: StepRouter, way: str) -> tuple[str | None, str]:
    """What a step is answered; or None, and what was shown before the answer broke off."""
    try:
        return await asked(router, way), ""
    except AnswerBroken as broken:
        return None, broken.partial


def first_kind(router: StepRouter) -> str | None:
    """The failure of the first attempt of the only step."""
    failure = router.traces.list()[-1].attempts[0].failure
    return None if failure is None else failure.kind


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("fault", BEFORE)
async def test_a_fault_before_the_first_token_gets_its_own_answer(
    fault: str, wire: str, way: str, provider: SimulatedProvider, models: dict[tuple[str, str], dict[str, Any]]
) -> None:
    laid, expected = BEFORE[fault]
    provider.play("small", [say(TEXT).failing(laid), say(TEXT), say(TEXT)])
    router = router_over(models[wire, "small"], models[wire, "large"])
    if expected.error is not None:
        with pytest.raises(expected.error):
            await asked(router, way)
    else:
        assert await asked(router, way) == expected.text
    kind = first_kind(router)
    assert kind in expected.kinds if expected.kinds else kind is None
    await router.aclose()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("place", ["refused", "unknown host", "no TLS"])
async def test_a_server_that_cannot_be_reached_is_left_for_the_next(
    place: str, wire: str, way: str, provider: SimulatedProvider, models: dict[tuple[str, str], dict[str, Any]]
) -> None:
    with refused_url() as refused:
        url = {"refused": refused, "unknown host": UNRESOLVABLE_URL, "no TLS": provider.tls_url}[place]
        if wire == "messages":
            url = url.removesuffix("/v1")
        router = router_over(reached(wire, "small", provider, url), models[wire, "large"])
        assert await asked(router, way) == RESCUE
        assert first_kind(router) == "unavailable"
        await router.aclose()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("fault", BREAKS)
async def test_a_break_after_text_starts_over_where_nothing_was_shown_and_tells_what_was_where_something_was(
    fault: str, wire: str, way: str, provider: SimulatedProvider, models: dict[tuple[str, str], dict[str, Any]]
) -> None:
    provider.play("small", say(TEXT * 40).failing(BREAKS[fault]))
    router = router_over(models[wire, "small"], models[wire, "large"])
    if "invoke" in way:
        assert await asked(router, way) == RESCUE
    else:
        said, partial = await said_or_broken(router, way)
        assert said == RESCUE or (partial and (TEXT * 40).startswith(partial))
    assert first_kind(router) in ("truncated", "broken_stream", "unavailable", "overloaded")
    await router.aclose()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("wire", WIRES)
async def test_a_filter_amid_the_answer_is_an_error_or_a_label_and_is_asked_nobody_else(
    wire: str, way: str, provider: SimulatedProvider, models: dict[tuple[str, str], dict[str, Any]]
) -> None:
    provider.play("small", say(TEXT).failing(ContentFilter(after_chunks=3)))
    router = router_over(models[wire, "small"], models[wire, "large"])
    before = len(provider.requests_to("large"))
    assert TEXT.startswith(await asked(router, way))
    assert len(provider.requests_to("large")) == before
    assert router.traces.list()[-1].outcome == "insufficient"
    await router.aclose()


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("after", [None, 3])
async def test_a_model_that_falls_silent_is_left_in_time_for_another(
    after: int | None, wire: str, way: str, provider: SimulatedProvider, models: dict[tuple[str, str], dict[str, Any]]
) -> None:
    """By the real clock, because sockets wait by it: the step has 1.2 s, of which the first model gets half."""
    provider.play("small", say(TEXT).failing(Stall(after_chunks=after)))
    policy = Policy(deadline_seconds=1.2, resume=ALONE)
    router = StepRouter(router_over(models[wire, "small"], models[wire, "large"]).cards, store="memory", policy=policy)
    assert await asked(router, way) == RESCUE
    assert first_kind(router) in ("timeout_first_token", "stalled")
    await router.aclose()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("fault", [InvalidUtf8(chunk=0), Garbage(), Garbage(after_chunks=2)], ids=str)
async def test_bytes_that_make_no_sense_are_no_answer(
    fault: Fault, wire: str, way: str, provider: SimulatedProvider, models: dict[tuple[str, str], dict[str, Any]]
) -> None:
    """Some clients replace such bytes, others give up: the step is answered by somebody, and no half is taken whole."""
    provider.play("small", say(TEXT).failing(fault))
    router = router_over(models[wire, "small"], models[wire, "large"])
    said, partial = await said_or_broken(router, way)
    assert TEXT.startswith(partial) if said is None else said in (RESCUE, TEXT) or "\N{REPLACEMENT CHARACTER}" in said
    await router.aclose()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("wire", WIRES)
async def test_one_huge_chunk_is_read_whole(
    wire: str, way: str, provider: SimulatedProvider, models: dict[tuple[str, str], dict[str, Any]]
) -> None:
    provider.play("small", say("x").failing(HugeChunk(characters=300_000)))
    router = router_over(models[wire, "small"], models[wire, "large"])
    assert len(await asked(router, way)) == 300_000
    await router.aclose()


PLACE = "/home/bob/old drafts/2026"

IN_CALLS: dict[str, Fault] = {
    **{name: fault for name, fault in BREAKS.items() if name != "reset at a byte"},
    "garbage": Garbage(after_chunks=2),
    "reset at a byte": CutAtByte(at_byte=700),
    "broken arguments": BrokenArguments(),
    "wrong tool": WrongTool(),
    "duplicate": Duplicate(chunk=2),
    "silence": Stall(after_chunks=2),
    "filter": ContentFilter(after_chunks=2),
}


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("fault", IN_CALLS)
async def test_no_part_of_a_tool_call_is_ever_executed(
    fault: str,
    wire: str,
    asynchronous: bool,
    provider: SimulatedProvider,
    models: dict[tuple[str, str], dict[str, Any]],
) -> None:
    deleted: list[str] = []

    @tool
    def delete_files(place: str) -> str:
        """Delete all files in a place."""
        deleted.append(place)
        return "done"

    provider.play("small", [call("delete_files", place=PLACE).failing(IN_CALLS[fault]), say("Done.")])
    provider.play("large", [call("delete_files", place=PLACE), say("Done.")])
    policy = Policy(deadline_seconds=1.0) if fault == "silence" else Policy()
    router = StepRouter(router_over(models[wire, "small"], models[wire, "large"]).cards, store="memory", policy=policy)
    agent: Any = create_agent(router, [delete_files])
    question = {"messages": [("user", "Delete the old drafts.")]}
    try:
        await agent.ainvoke(question) if asynchronous else agent.invoke(question)
    except ContentFiltered:
        assert fault == "filter"
    finally:
        provider.play("large", say(RESCUE))
        await router.aclose()
    assert set(deleted) <= {PLACE}
    if fault != "filter":
        assert deleted == [PLACE]


@pytest.mark.parametrize("wire", ["own", "own responses"])
async def test_a_call_of_which_bytes_are_lost_is_not_made_with_others_in_their_place(
    wire: str, provider: SimulatedProvider, models: dict[tuple[str, str], dict[str, Any]]
) -> None:
    moved: list[str] = []

    @tool
    def move_files(place: str) -> str:
        """Move all files of a place."""
        moved.append(place)
        return "done"

    provider.play("small", [call("move_files", place=PLACE).failing(InvalidUtf8(chunk=2)), say("Done.")])
    provider.play("large", [call("move_files", place=PLACE), say("Done.")])
    router = router_over(models[wire, "small"], models[wire, "large"])
    agent: Any = create_agent(router, [move_files])
    agent.invoke({"messages": [("user", "Move the old drafts.")]})
    provider.play("large", say(RESCUE))
    await router.aclose()
    assert moved == [PLACE]
