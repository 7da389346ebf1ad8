"""Events of OpenAI's Responses as pieces of an answer: what is said, what is numbered, what is broken."""

import json
from itertools import pairwise
from typing import Any

import pytest
from dialects import named, response
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.utils._merge import merge_lists

from steprouter.answering.answer import Delta, ToolPiece
from steprouter.providers.refusals import BrokenOff, StreamRefusal
from steprouter.providers.responses_events import ResponseReader
from steprouter.providers.responses_stop import StopCutter

CREATED = named("response.created", sequence_number=0, response=response("in_progress"))


def at(number: int, kind: str, **fields: Any) -> bytes:
    return named(f"response.{kind}", sequence_number=number, **fields)


def words(number: int, text: str, **fields: Any) -> bytes:
    return at(number, "output_text.delta", **{"output_index": 0, "content_index": 0, "delta": text, **fields})


def end(number: int, kind: str = "completed", **fields: Any) -> bytes:
    return at(number, kind, response=response(kind, **fields))


def read(*events: bytes, after: int | None = None) -> list[Delta]:
    reader = ResponseReader("m", after=after)
    pieces = reader.feed(b"".join(events))
    reader.go_on()
    return pieces + reader.close()


def text(pieces: list[Delta]) -> str:
    return "".join(piece.text for piece in pieces)


def blocks(pieces: list[Delta]) -> list[dict[str, Any]]:
    return merge_lists([], [block for piece in pieces for block in piece.blocks]) or []


def test_an_event_that_comes_twice_is_taken_once() -> None:
    assert text(read(CREATED, words(1, "a"), words(2, "b"), words(1, "a"), words(2, "b"), words(3, "c"))) == "abc"


def test_a_gap_in_the_numbers_breaks_the_answer_after_what_came_before() -> None:
    reader = ResponseReader("m")
    assert text(reader.feed(CREATED + words(1, "a") + words(3, "c"))) == "a"
    with pytest.raises(BrokenOff, match="event 3 came after event 1"):
        reader.go_on()


@pytest.mark.parametrize("numbers", [(0, 0, 0), (-1, -1, -1), (10, 20, 30), (1, 2, 0), (None, None, None)])
def test_numbers_that_count_nothing_are_not_believed(numbers: tuple[int | None, ...]) -> None:
    said = [words(number, word) for number, word in zip(numbers, "abc", strict=True)]  # type: ignore[arg-type]  # that is the point
    assert text(read(*said)) == "abc"


def test_a_sign_of_life_may_have_a_number_to_itself_or_not() -> None:
    alive = named("keepalive", sequence_number=2)
    assert text(read(CREATED, words(1, "a"), alive, words(3, "b"))) == "ab"
    assert text(read(CREATED, words(1, "a"), alive, words(2, "b"))) == "ab"


def test_a_stream_taken_up_again_gives_only_what_follows() -> None:
    assert text(read(words(4, "d"), words(5, "e"), after=3)) == "de"
    assert text(read(CREATED, words(1, "a"), words(2, "b"), words(3, "c"), after=1)) == "bc"
    with pytest.raises(BrokenOff, match="gap"):
        read(words(6, "f"), after=3)


THOUGHT = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "HALF"}


def test_a_silent_thought_says_nothing_before_it_is_complete() -> None:
    reader = ResponseReader("m")
    assert reader.feed(CREATED + at(1, "output_item.added", output_index=0, item=THOUGHT)) == []
    assert not reader.said
    pieces = reader.feed(at(2, "output_item.done", output_index=0, item={**THOUGHT, "encrypted_content": "WHOLE"}))
    assert blocks(pieces) == [{**THOUGHT, "encrypted_content": "WHOLE", "index": 0}]


def test_a_thought_comes_with_its_summaries_its_name_and_its_seal() -> None:
    summed = at(2, "reasoning_summary_text.delta", item_id="rs_1", output_index=0, summary_index=0, delta="Hm")
    more = at(3, "reasoning_summary_text.delta", item_id="rs_1", output_index=0, summary_index=0, delta=".")
    done = at(4, "output_item.done", output_index=0, item={**THOUGHT, "encrypted_content": "WHOLE"})
    pieces = read(CREATED, at(1, "output_item.added", output_index=0, item=THOUGHT), summed, more, done)
    summary = [{"index": 0, "type": "summary_text", "text": "Hm."}]
    assert blocks(pieces) == [
        {"id": "rs_1", "type": "reasoning", "summary": summary, "index": 0, "encrypted_content": "WHOLE"}
    ]


def test_an_open_models_thoughts_are_kept_apart_from_its_words() -> None:
    pieces = read(CREATED, at(1, "reasoning_text.delta", item_id="rs_1", output_index=0, content_index=0, delta="Hm."))
    content = [{"index": 0, "type": "reasoning_text", "text": "Hm."}]
    assert (text(pieces), blocks(pieces)) == ("", [{"type": "reasoning", "content": content, "index": 0}])


def test_text_keeps_the_name_the_phase_and_the_citations_of_its_message() -> None:
    item = {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "phase": "final_answer"}
    note = {"type": "file_citation", "file_id": "f", "filename": "a", "index": 3}
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    pieces = read(
        CREATED,
        at(1, "output_item.added", output_index=0, item=item),
        words(2, "Hi", **place),
        at(3, "output_text.annotation.added", **place, annotation_index=0, annotation=note),
        at(4, "output_text.done", **place, text="Hi"),
    )
    cited = {"type": "file_citation", "file_id": "f", "filename": "a", "file_index": 3}
    fields = {"phase": "final_answer", "type": "text", "text": "Hi", "annotations": [cited]}
    assert blocks(pieces) == [{**fields, "id": "msg_1", "index": 0}]


def test_an_item_keeps_the_place_it_was_first_seen_at() -> None:
    item = {"id": "fc_1", "type": "function_call", "name": "f", "call_id": "c", "arguments": ""}
    pieces = read(
        CREATED,
        at(1, "output_item.added", output_index=2, item=item),
        at(2, "function_call_arguments.delta", output_index=5, item_id="fc_1", delta="{}"),
    )
    assert [piece.tools for piece in pieces] == [(ToolPiece(2, "c", "f", ""),), (ToolPiece(2, None, None, "{}"),)]


@pytest.mark.parametrize("kind", ["function_call_arguments.done", "output_item.done"])
def test_arguments_that_come_only_at_the_end_of_a_call_are_taken_there_once(kind: str) -> None:
    item = {"id": "fc_1", "type": "function_call", "name": "f", "call_id": "c", "arguments": ""}
    whole = {**item, "arguments": "{}"}
    done = at(2, kind, output_index=0, item_id="fc_1", arguments="{}", item=whole)
    again = at(3, "output_item.done", output_index=0, item=whole)
    pieces = read(CREATED, at(1, "output_item.added", output_index=0, item=item), done, again)
    assert [piece.tools[0].args for piece in pieces] == ["", "{}"]


def test_a_custom_tools_input_is_its_one_argument() -> None:
    item = {"id": "ctc_1", "type": "custom_tool_call", "name": "run", "call_id": "c", "input": "ls"}
    pieces = read(CREATED, at(1, "output_item.done", output_index=0, item=item), end(2))
    assert pieces[0].tools == (ToolPiece(0, "c", "run", '{"__arg1": "ls"}'),)
    assert (pieces[0].blocks, pieces[-1].finish) == (({**item, "index": 0},), "tool_calls")


def test_a_refusal_is_said_apart_from_text() -> None:
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    pieces = read(
        CREATED,
        at(1, "refusal.delta", **place, delta="I "),
        at(2, "refusal.delta", **place, delta="won't."),
        at(3, "refusal.done", **place, refusal="I won't."),
        end(4),
    )
    assert "".join(piece.extra["refusal"] for piece in pieces if piece.extra) == "I won't."
    assert (blocks(pieces)[0]["refusal"], text(pieces), pieces[-1].finish) == ("I won't.", "", "stop")


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("max_output_tokens", "length"), ("content_filter", "content_filter"), ("other", "other"), (None, "incomplete")],
)
def test_why_a_response_is_incomplete_is_said_in_known_words(reason: str | None, finish: str) -> None:
    details = {"reason": reason} if reason else None
    assert read(CREATED, words(1, "a"), end(2, "incomplete", incomplete_details=details))[-1].finish == finish


def test_a_stream_that_is_nothing_but_its_end_gives_the_whole_answer() -> None:
    said = {"type": "message", "id": "msg_1", "content": [{"type": "output_text", "text": "Hi"}]}
    thought = {**THOUGHT, "summary": [{"type": "summary_text", "text": "Hm."}]}
    pieces = read(CREATED, end(1, output=[thought, said]))
    assert (text(pieces), pieces[-1].finish) == ("Hi", "stop")
    assert [block["type"] for block in blocks(pieces)] == ["reasoning", "text"]


def test_log_probabilities_are_gathered_in_the_details() -> None:
    logprob = {"token": "a", "logprob": -0.1, "top_logprobs": []}
    pieces = read(CREATED, words(1, "a", logprobs=[logprob]), end(2))
    assert pieces[-1].details is not None
    assert pieces[-1].details["logprobs"] == {"content": [logprob]}


ERRORS = [
    named("error", sequence_number=7, code="server_error", message="Oh.", param=None),
    b"data: " + json.dumps({"type": "error", "error": {"code": "server_error", "message": "Oh."}}).encode() + b"\n\n",
    b'event: error\ndata: {"error": {"code": "server_error", "message": "Oh."}}\n\n',
    end(7, "failed", error={"code": "server_error", "message": "Oh."}),
]


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_of_any_shape_and_number_is_raised_after_what_was_said(error: bytes) -> None:
    reader = ResponseReader("m")
    assert text(reader.feed(CREATED + words(1, "a") + error)) == "a"
    with pytest.raises(StreamRefusal) as caught:
        reader.go_on()
    assert (caught.value.status, caught.value.code, caught.value.text) == (200, "server_error", "Oh.")


@pytest.mark.parametrize("event", [b"data: [1]\n\n", b"data: {}\n\n", b"data: <html>\n\n", at(1, "output_item.added")])
def test_what_is_no_event_breaks_the_answer_off(event: bytes) -> None:
    with pytest.raises(BrokenOff):
        read(CREATED, event)


def test_a_cancelled_response_is_broken_off_and_an_unknown_event_is_passed_over() -> None:
    assert text(read(CREATED, at(1, "something.new"), words(2, "a"), b"data: [DONE]\n\n")) == "a"
    with pytest.raises(BrokenOff, match="cancelled"):
        read(CREATED, end(1, "cancelled"))


def test_nothing_counts_after_the_end_and_an_end_cut_short_is_none() -> None:
    assert text(read(CREATED, words(1, "a"), end(2), words(9, "b"))) == "a"
    assert [piece.finish for piece in read(CREATED, words(1, "a"), end(2)[:-30])] == [None]


@given(st.text("ab\nX", max_size=30), st.lists(st.integers(0, 30), max_size=8))
def test_however_a_text_is_cut_into_pieces_it_ends_before_the_first_stop(said: str, cuts: list[int]) -> None:
    stops = ("\nX", "bb")
    places = sorted({0, len(said), *(min(cut, len(said)) for cut in cuts)})
    parts = [said[one:other] for one, other in pairwise(places)]
    cutter = StopCutter(stops)
    cut = [piece for part in parts for piece in cutter.cut([(Delta(part), None)])]
    given = [delta for delta, _ in (*cut, *cutter.rest())]
    first = min((place for stop in stops if (place := said.find(stop)) >= 0), default=len(said))
    assert text(given) == said[:first]
    assert cutter.is_cut == (first < len(said))
