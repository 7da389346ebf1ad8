"""Cut over real HTTP, anywhere and in any way, on every wire: one message, its text once, and no part of a call.

In memory, and byte by byte, `test_resumption_cuts` does the same; here servers, clients and LangChain's integrations
stand between.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import pytest
from cut_answers import ANSWERS, Said
from cut_over_http import (
    REACHED,
    Shown,
    calls_of,
    cuts,
    events,
    is_other_reading,
    is_same_but_for_seams,
    play,
    was_heard,
    whole_calls,
)

from steprouter.testing import CutAtByte, SimulatedProvider, say

IN_WORDS = "asked in words"


@pytest.fixture(scope="module")
def provider() -> Iterator[SimulatedProvider]:
    with SimulatedProvider({"small": say("x"), "large": say("x")}) as running:
        yield running


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("wire", REACHED)
def test_a_cut_anywhere_shows_the_whole_text_once_in_one_message(
    wire: str, seed: int, provider: SimulatedProvider
) -> None:
    for answer, faults in cuts(wire, 50, seed):
        said = ANSWERS[answer]
        shown = play(provider, wire, said, faults)
        where = (wire, answer, faults)
        check_text(wire, said, shown, where)
        check_attempts(wire, said, shown, where)
        if shown.broken is None:
            check_message(wire, said, shown, len(faults), where)


def check_text(wire: str, said: Said, shown: Shown, where: Any) -> None:
    """The text is whole; only where a model was asked in words, and nothing tells what it meant, it may not be."""
    if shown.broken is not None:
        # JSON is gone on with from a partial turn only, and what may be an echo or the next row is not guessed at.
        refused = [attempt.resumed.failed for attempt in shown.trace.attempts if attempt.resumed]
        assert wire == IN_WORDS, where
        assert said.is_json or any(refused), where
        assert shown.text == shown.broken.partial, where
        assert said.text.startswith(shown.text), where
    elif wire != IN_WORDS or shown.text == said.text:
        assert shown.text == said.text, where
    else:
        resumed = shown.resumed
        seams = [one["at_char"] for one in resumed]
        is_guess = not all(one["certain"] for one in resumed) and is_other_reading(shown.text, said.text, seams)
        assert is_guess or is_same_but_for_seams(shown.text, said.text, seams), where


def check_attempts(wire: str, said: Said, shown: Shown, where: Any) -> None:
    """Whatever was heard is paid for; a replay is paid for with the call that it replays."""
    attempts = shown.trace.attempts
    assert all(one.input_tokens for one in attempts if was_heard(one) and not is_replay(one)), where
    assert len(shown.requests) == sum(not is_replay(one) for one in attempts), where
    assert len([one for one in attempts if one.resumed and not one.resumed.failed]) <= 2, where
    assert {one.resumed.rung for one in attempts if one.resumed} <= REACHED[wire].rungs, where


def is_replay(attempt: Any) -> bool:
    return attempt.resumed is not None and attempt.resumed.rung == "cursor"


def check_message(wire: str, said: Said, shown: Shown, faults: int, where: Any) -> None:
    """The chunks add up to one message, with whole calls, one end and figures that are of all of it."""
    message, attempts = shown.message, shown.trace.attempts
    assert len({chunk.id for chunk in shown.chunks}) == 1, where
    assert sum(chunk.chunk_position == "last" for chunk in shown.chunks) == 1, where
    calls, whole = calls_of(message), whole_calls(said)
    is_kept = any(attempt.kept_after for attempt in attempts)
    # Complete calls are kept when the rest breaks off: the agent makes those, and asks for the others again.
    assert calls == whole or (is_kept and calls and calls == whole[: len(calls)]), where
    assert not message.invalid_tool_calls, where
    assert all(json.loads(chunk["args"] or "") is not None for chunk in message.tool_call_chunks), where
    # A cut between the end of an answer and its figures leaves none.
    if len(attempts) > faults:
        assert message.usage_metadata is not None, where
        assert message.usage_metadata["input_tokens"] > 0, where
        assert message.usage_metadata["output_tokens"] > 0, where
    for one in shown.resumed:
        assert set(one) == {"from", "to", "rung", "at_char", "certain"}, where
        assert one["rung"] in REACHED[wire].rungs, where
        assert 0 <= one["at_char"] <= len(said.text), where
    if wire != IN_WORDS:
        assert all(one["certain"] for one in shown.resumed if one["rung"] == "cursor"), where


def test_a_replay_goes_on_after_an_event_whose_last_line_was_lost(provider: SimulatedProvider) -> None:
    """The piece of such an event is heard when the stream ends, and is not said again."""
    said = Said(text="Donaudampfschiff fahrt.", sizes=(4,))
    for end in list(accumulate(map(len, events(REACHED["by cursor"].path, said))))[2:-1]:
        shown = play(provider, "by cursor", said, (CutAtByte(at_byte=end - 1, how="close"),))
        assert shown.text == said.text, end


def test_a_response_in_the_background_is_asked_for_once_and_then_replayed(provider: SimulatedProvider) -> None:
    before = len(provider.retrievals)
    shown = play(provider, "by cursor", ANSWERS[0], (CutAtByte(at_byte=4000),))
    (retrieval,) = provider.retrievals[before:]
    (request,) = shown.requests
    assert request.extra["background"]
    assert retrieval.after is not None
    assert [one["rung"] for one in shown.resumed] == ["cursor"]
