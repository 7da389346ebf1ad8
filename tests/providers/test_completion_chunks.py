"""Chat Completions chunks, in all the dialects that call themselves compatible."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hearing import calls, finishes, text
from hypothesis import given
from hypothesis import strategies as st
from raw_server import DONE, event, finish_event, text_event

from steprouter.answering.answer import Delta, ToolPiece
from steprouter.models.cost import Usage
from steprouter.providers.completion_chunks import CompletionReader
from steprouter.providers.refusals import BrokenOff, StreamRefusal


def reader(**fields: Any) -> CompletionReader:
    return CompletionReader("model 'm'", provider="openai_compatible", **fields)


def read(*pieces: bytes) -> list[Delta]:
    listening = reader()
    return [piece for data in pieces for piece in listening.feed(data)] + listening.close()


def chunk(delta: dict[str, Any], **fields: Any) -> bytes:
    return event({"choices": [{"index": 0, "delta": delta}], **fields})


def call(index: int | None, call_id: str | None, name: str | None, args: Any) -> dict[str, Any]:
    fragment = {"index": index, "id": call_id, "function": {"name": name, "arguments": args}}
    return {key: value for key, value in fragment.items() if value is not None}


def test_text_comes_piece_by_piece_and_finish_and_usage_once() -> None:
    usage = event({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}})
    pieces = read(text_event("Go"), text_event("od"), finish_event(), usage, DONE)
    assert [piece.text for piece in pieces] == ["Go", "od", "", ""]
    assert [piece.finish for piece in pieces] == [None, None, "stop", None]
    assert [piece.usage for piece in pieces] == [None, None, None, Usage(input_tokens=3, output_tokens=2)]


def test_details_come_with_the_first_piece_and_hold_no_ids() -> None:
    said = chunk({"content": "Hi"}, id="chatcmpl-1", model="qwen", system_fingerprint="fp")
    expected = {"model_provider": "openai_compatible", "model_name": "qwen", "system_fingerprint": "fp"}
    assert [piece.details for piece in read(said, text_event("!"))] == [expected, None]


def test_an_opening_that_only_names_the_role_is_no_piece() -> None:
    assert read(chunk({"role": "assistant", "content": ""}), chunk({}), event({"choices": []})) == []


def test_fragments_of_parallel_calls_keep_their_index() -> None:
    first = chunk({"tool_calls": [call(0, "a", "search", ""), call(1, "b", "clock", "")]})
    rest = chunk({"tool_calls": [call(1, None, None, "{}"), call(0, None, None, '{"q":1}')]})
    assert calls(read(first, rest)) == {0: ("a", "search", '{"q":1}'), 1: ("b", "clock", "{}")}


def test_calls_that_all_say_index_zero_are_told_apart_by_id() -> None:
    pieces = read(*[chunk({"tool_calls": [call(0, key, key, "{}")]}) for key in ("a", "b", "b")])
    assert calls(pieces) == {0: ("a", "a", "{}"), 1: ("b", "b", "{}{}")}


def test_fragments_without_an_index_go_on_with_the_last_call() -> None:
    pieces = read(
        chunk({"tool_calls": [call(None, "a", "search", '{"q"')]}),
        chunk({"tool_calls": [call(None, None, None, ":1}")]}),
        chunk({"tool_calls": [call(None, "b", "clock", {"zone": "é"})]}),
    )
    assert calls(pieces) == {0: ("a", "search", '{"q":1}'), 1: ("b", "clock", '{"zone": "é"}')}


def test_the_form_before_tool_calls_is_understood_too() -> None:
    assert read(chunk({"function_call": {"name": "f", "arguments": "{}"}}))[0].tools == (ToolPiece(0, None, "f", "{}"),)


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning"])
def test_thoughts_are_kept_out_of_the_text(key: str) -> None:
    pieces = read(chunk({key: "Hm."}), text_event("Yes."))
    assert [(piece.text, piece.extra) for piece in pieces] == [("", {"reasoning_content": "Hm."}), ("Yes.", None)]


def test_a_list_of_blocks_is_parted_into_thoughts_and_text() -> None:
    blocks = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": "Yes."}]
    (piece,) = read(chunk({"content": blocks}))
    assert (piece.text, piece.extra) == ("Yes.", {"reasoning_content": "Hm."})


def test_a_refusal_is_kept_apart_from_the_text() -> None:
    assert read(chunk({"content": None, "refusal": "No."}))[0].extra == {"refusal": "No."}


def test_running_totals_of_usage_are_not_added_up() -> None:
    totals = [chunk({"content": "x"}, usage={"prompt_tokens": 3, "completion_tokens": n}) for n in (1, 2)]
    assert [piece.usage for piece in read(*totals)] == [None, None, Usage(input_tokens=3, output_tokens=2)]


def test_cached_and_reasoning_tokens_are_counted_as_parts() -> None:
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 8},
        "completion_tokens_details": {"reasoning_tokens": 4},
    }
    expected = Usage(input_tokens=10, output_tokens=5, cache_read_tokens=8, reasoning_tokens=4)
    assert read(text_event("x"), event({"choices": [], "usage": usage}))[-1].usage == expected


def test_log_probabilities_are_gathered_for_the_last_piece() -> None:
    probable = [event({"choices": [{"delta": {"content": t}, "logprobs": {"content": [{"token": t}]}}]}) for t in "ab"]
    assert read(*probable)[-1].details == {"logprobs": {"content": [{"token": "a"}, {"token": "b"}]}}


def test_only_the_first_of_several_choices_is_heard() -> None:
    other = event({"choices": [{"index": 1, "delta": {"content": "other"}}]})
    assert text(read(text_event("one"), other)) == "one"


def test_a_finish_reason_said_twice_is_given_once() -> None:
    assert finishes(read(text_event("x"), finish_event("stop"), finish_event("stop"))) == ["stop"]


def test_nothing_counts_after_the_end_mark() -> None:
    assert text(read(text_event("x") + DONE + text_event("y") + b"garbage\n\n")) == "x"


def test_a_stream_that_ends_without_a_reason_has_no_finish() -> None:
    assert finishes(read(text_event("x"), b'data: {"choices":[{"delta":{"content":"y"},"finish_rea')) == []


def test_an_error_inside_the_stream_carries_code_and_message() -> None:
    error = {"error": {"message": "Slow down, key sk-abcdefgh", "type": "server_error", "code": "overloaded"}}
    with pytest.raises(StreamRefusal) as caught:
        read(text_event("x"), event(error))
    assert (caught.value.status, caught.value.code, caught.value.text) == (200, "overloaded", "Slow down, key ***")


@pytest.mark.parametrize(
    ("sent", "code", "said"),
    [
        (b'error: {"code":500,"message":"bad","type":"server_error"}\n\n', "server_error", "bad"),
        (b'event: error\ndata: {"error":{"type":"overloaded_error","message":"busy"}}\n\n', "overloaded_error", "busy"),
        (b"event: error\ndata: out of memory\n\n", None, "out of memory"),
        (event({"error": "no slot"}), None, "no slot"),
        (event({"object": "error", "message": "too long", "code": 40303}), "40303", "too long"),
    ],
)
def test_errors_inside_streams_are_read_in_every_dialect(sent: bytes, code: str | None, said: str) -> None:
    with pytest.raises(StreamRefusal) as caught:
        read(sent)
    assert (caught.value.code, caught.value.text) == (code, said)


@pytest.mark.parametrize("sent", [b"<html>", b"[1]", b'"text"', b'{"choices":[7]}', b'{"choices":[{"delta":[1]}]}'])
def test_what_is_no_chunk_breaks_the_stream_off(sent: bytes) -> None:
    with pytest.raises(BrokenOff):
        read(text_event("x"), event(sent))


def test_events_that_a_server_ends_with_one_line_break_are_parted() -> None:
    run_together = text_event("a")[:-1] + text_event("b")[:-1] + finish_event()[:-1] + b"data: [DONE]\n"
    pieces = read(run_together)
    assert (text(pieces), finishes(pieces)) == ("ab", ["stop"])


def test_an_answer_in_one_body_is_read_like_a_stream() -> None:
    message = {"role": "assistant", "content": "Hi", "tool_calls": [call(None, "a", "f", "{}")]}
    body = {"choices": [{"message": message, "finish_reason": "tool_calls"}], "usage": {"prompt_tokens": 1}}
    listening = reader()
    pieces = listening.whole(json.dumps(body).encode()) + listening.close()
    assert (text(pieces), calls(pieces), finishes(pieces)) == ("Hi", {0: ("a", "f", "{}")}, ["tool_calls"])


CONVERSATION = b"".join(
    [
        b": keep-alive\r\n\r\n",
        chunk({"role": "assistant", "content": ""}, model="m"),
        chunk({"reasoning": "Hm"}),
        event(json.dumps({"choices": [{"delta": {"content": "Grüße 🌍\r\n"}}]}, ensure_ascii=False).encode()),
        chunk({"tool_calls": [call(0, "a", "f", '{"é": "')]}).replace(b"\n", b"\r\n"),
        chunk({"tool_calls": [call(0, None, None, '"}')]}).replace(b"\n", b"\r"),
        finish_event("tool_calls"),
        event({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}),
        DONE,
        b"trailing garbage",
    ]
)


@given(st.lists(st.integers(0, len(CONVERSATION)), max_size=20))
def test_every_split_of_the_bytes_gives_the_same_pieces(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(CONVERSATION)]
    cut = [CONVERSATION[start:end] for start, end in pairwise(edges)]
    assert read(*cut) == read(CONVERSATION)


@given(st.binary(max_size=120))
def test_arbitrary_bytes_give_pieces_or_an_error_of_ours(garbage: bytes) -> None:
    try:
        pieces = read(text_event("x"), garbage, b"\n\n")
    except (BrokenOff, StreamRefusal):
        return
    assert text(pieces).startswith("x")
