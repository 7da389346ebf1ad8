"""Answers that their provider keeps: taken up again where they broke, and ended when nobody wants them."""

import asyncio
from typing import Any

import pytest
from hearing import ASK, both_ways, calls, card, finishes, text
from langchain_core.utils._merge import merge_lists
from openai import BadRequestError, OpenAI
from raw_server import RawServer, head

from steprouter.answering.answer import Delta
from steprouter.errors import ConfigError
from steprouter.providers.refusals import BrokenOff, HttpRefusal, Stalled, Unreachable
from steprouter.providers.responses import ResponsesWire
from steprouter.providers.responses_cursor import Bookmark, Cursor, ResumableWire
from steprouter.providers.wire import Timeouts
from steprouter.step.ask import Ask
from steprouter.testing import Cut, Reply, SimulatedProvider, Stall, say

LIMITS = Timeouts(connect=5, first_token=5, idle=5)
GONE = Cursor(response_id="resp_gone", after=3)


def kept(provider: SimulatedProvider) -> ResponsesWire:
    return ResponsesWire(card(provider.url, api="responses", settings={"background": True}))


async def said(
    wire: ResponsesWire, way: str, bookmark: Bookmark, start: Ask | Cursor = ASK, limits: Timeouts = LIMITS
) -> tuple[list[Delta], Exception | None]:
    """The pieces of a call or of one taken up again, and what ended it."""
    pieces: list[Delta] = []
    is_new = isinstance(start, Ask)
    try:
        if way == "sync":
            given = wire.stream(start, limits, bookmark) if is_new else wire.resume(start, limits, bookmark)  # type: ignore[arg-type]  # as is_new says
            pieces.extend(given)
        else:
            awaited = wire.astream(start, limits, bookmark) if is_new else wire.aresume(start, limits, bookmark)  # type: ignore[arg-type]  # as is_new says
            async for piece in awaited:
                pieces.append(piece)  # noqa: PERF401  # pieces before an error must be kept
    except Exception as error:
        return pieces, error
    finally:
        wire.close()
        await wire.aclose()
    return pieces, None


def blocks(pieces: list[Delta]) -> list[dict[str, Any]]:
    return merge_lists([], [block for piece in pieces for block in piece.blocks]) or []


LONG = say("one two three four", reasoning="Hm, well.").calling("look", at="sky")


@both_ways
@pytest.mark.parametrize("after_chunks", range(9))
async def test_a_broken_answer_goes_on_where_it_broke_as_if_it_never_had(way: str, after_chunks: int) -> None:
    scripts: dict[str, list[Reply]] = {"m": [LONG, LONG.failing(Cut(after_chunks=after_chunks, how="drop"))]}
    with SimulatedProvider(scripts) as provider:
        whole, _ = await said(kept(provider), way, Bookmark())
        bookmark = Bookmark()
        first, error = await said(kept(provider), way, bookmark)
        assert isinstance(error, BrokenOff)
        assert bookmark.cursor is not None
        rest, none = await said(kept(provider), way, bookmark, bookmark.cursor)
    assert (none, finishes(first), finishes(rest)) == (None, [], ["tool_calls"])
    assert text(first) + text(rest) == text(whole) == "one two three four"
    assert [one[1:] for one in calls(first + rest).values()] == [one[1:] for one in calls(whole).values()]
    assert nameless(blocks(first + rest)) == nameless(blocks(whole))


def nameless(given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Blocks without their ids, of which every answer has its own."""
    return [{key: value for key, value in block.items() if key not in ("id", "call_id")} for block in given]


def test_the_providers_own_library_takes_up_a_kept_response_here_too() -> None:
    with (
        SimulatedProvider({"m": say("one two three")}) as provider,
        OpenAI(base_url=provider.url, api_key="x") as client,
    ):
        events = list(client.responses.create(model="m", input="Hi", background=True, stream=True))
        name = events[0].response.id  # type: ignore[union-attr]  # the first is `response.created`
        again = list(client.responses.retrieve(name, stream=True, starting_after=3))
        assert [event.sequence_number for event in again] == [event.sequence_number for event in events[4:]]
        assert client.responses.retrieve(name).output_text == "one two three"
        assert client.responses.cancel(name).status == "cancelled"
        with pytest.raises(BadRequestError):
            client.responses.create(model="m", input="Hi", background=True, store=False)


@both_ways
async def test_an_answer_that_stalls_or_ends_too_early_can_be_taken_up_too(way: str) -> None:
    scripts = [say("one two").failing(Stall(after_chunks=1)), say("one two").cut(after_chunks=1)]
    with SimulatedProvider({"m": scripts}) as provider:
        for limits, end in ((Timeouts(idle=0.15), Stalled), (LIMITS, type(None))):
            bookmark = Bookmark()
            first, error = await said(kept(provider), way, bookmark, limits=limits)
            assert bookmark.cursor is not None
            rest, _ = await said(kept(provider), way, bookmark, bookmark.cursor)
            assert (type(error), text(first), text(rest), finishes(rest)) == (end, "one", " two", ["stop"])
        assert [retrieval.after for retrieval in provider.retrievals] == [4, 4]


@both_ways
async def test_the_bookmark_is_where_the_listener_left_in_the_middle_of_what_had_come(way: str) -> None:
    with SimulatedProvider({"m": say("one two three four")}) as provider:
        wire, bookmark = kept(provider), Bookmark()
        if way == "sync":
            pieces = wire.stream(ASK, LIMITS, bookmark)
            heard = [next(pieces), next(pieces)]
            pieces.close()
        else:
            awaited = wire.astream(ASK, LIMITS, bookmark)
            heard = [await anext(awaited), await anext(awaited)]
            await awaited.aclose()
        assert bookmark.cursor is not None
        rest, _ = await said(wire, way, bookmark, bookmark.cursor)
    assert (text(heard), text(rest)) == ("one two", " three four")


async def test_an_answer_has_a_place_before_its_first_word_so_that_it_can_be_cancelled() -> None:
    with SimulatedProvider({"m": say("one").failing(Stall(after_chunks=0))}) as provider:
        bookmark = Bookmark()
        await said(kept(provider), "sync", bookmark, limits=Timeouts(first_token=0.15))
        assert bookmark.cursor is not None
        assert bookmark.cursor.after == 0


@both_ways
async def test_an_answer_that_nobody_wants_is_cancelled_once_or_twice(way: str) -> None:
    with SimulatedProvider({"m": say("one two").cut(after_chunks=1)}) as provider:
        wire, bookmark = kept(provider), Bookmark()
        await said(wire, way, bookmark)
        assert bookmark.cursor is not None
        for _ in range(2):
            if way == "sync":
                wire.cancel(bookmark.cursor, LIMITS)
            else:
                await wire.acancel(bookmark.cursor, LIMITS)
        await wire.aclose()
        assert provider.cancelled == (bookmark.cursor.response_id,) * 2
        rest, _ = await said(wire, way, bookmark, bookmark.cursor)
        assert (text(rest), finishes(rest)) == ("", [])


@both_ways
async def test_a_response_that_is_kept_no_longer_is_refused_and_needs_no_cancelling(way: str) -> None:
    with SimulatedProvider({"m": say("one two").cut(after_chunks=1)}) as provider:
        wire, bookmark = kept(provider), Bookmark()
        await said(wire, way, bookmark)
        provider.expire_responses()
        assert bookmark.cursor is not None
        _, error = await said(wire, way, bookmark, bookmark.cursor)
        assert isinstance(error, HttpRefusal)
        assert error.status == 404
        wire.cancel(bookmark.cursor, LIMITS)
        wire.close()


@both_ways
async def test_what_keeps_a_cancel_from_its_provider_is_said(way: str) -> None:
    async def cancel(wire: ResponsesWire) -> None:
        try:
            if way == "sync":
                await asyncio.to_thread(wire.cancel, GONE, LIMITS)
            else:
                await wire.acancel(GONE, LIMITS)
        finally:
            await wire.aclose()

    with SimulatedProvider({}) as provider:
        provider.down(503)
        with pytest.raises(HttpRefusal):
            await cancel(kept(provider))
    with pytest.raises(Unreachable):
        await cancel(kept(provider))


async def test_only_calls_in_the_background_move_their_bookmark() -> None:
    with SimulatedProvider({"m": say("one")}) as provider:
        bookmark = Bookmark()
        plain = ResponsesWire(card(provider.url, api="responses"))
        await said(plain, "sync", bookmark)
        await said(kept(provider), "sync", bookmark, Ask(messages=ASK.messages, stop=("X",)))
        assert bookmark.cursor is None
        assert [request.extra.get("background") for request in provider.requests] == [None, None]
        wires: list[ResumableWire] = [plain, kept(provider)]
        assert [wire.keeps_answers for wire in wires] == [False, True]


async def test_a_response_is_asked_for_under_its_base_url_whatever_it_is_called() -> None:
    with RawServer([head()]) as server:
        wire = ResponsesWire(card(f"{server.origin}/openai?api-version=1", api="responses"))
        list(wire.resume(Cursor(response_id="../x?y", after=7), LIMITS))
        wire.cancel(Cursor(response_id="resp_1", after=7), LIMITS)
        wire.close()
        lines = [sent.split(b"\r\n")[0] for sent, _ in server.requests]
    path = b"/openai/responses/..%2Fx%3Fy?api-version=1&stream=true&starting_after=7"
    assert lines == [b"GET " + path + b" HTTP/1.1", b"POST /openai/responses/resp_1/cancel?api-version=1 HTTP/1.1"]


@pytest.mark.parametrize(("name", "after"), [("", 1), ("resp_1", -1)])
def test_a_cursor_that_no_provider_gives_is_refused(name: str, after: int) -> None:
    with pytest.raises(ConfigError):
        Cursor(response_id=name, after=after)
