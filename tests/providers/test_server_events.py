"""Server-sent events, however the network cut them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steprouter.providers.server_events import LONGEST_LINE, EventReader, LineTooLong


def read(*pieces: bytes) -> list[bytes]:
    reader = EventReader()
    events = [event for piece in pieces for event in reader.feed(piece)]
    last = reader.end()
    return events if last is None else [*events, last]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_lines_may_end_in_any_of_three_ways(end: bytes) -> None:
    assert read(end.join([b"data: one", b"", b"data: two", b"", b""])) == [b"one", b"two"]


def test_a_crlf_cut_between_two_reads_is_one_line_end() -> None:
    assert read(b"data: one\r", b"\ndata: two\r", b"\n\r", b"\n") == [b"one\ntwo"]


def test_comments_and_unknown_fields_say_nothing() -> None:
    assert read(b": ping\n\nid: 7\nretry: 10\nevent: message\ndata: one\n\n:\n\n") == [b"one"]


def test_data_of_several_lines_is_joined_by_line_breaks() -> None:
    assert read(b'data: {"a":\ndata\ndata:  1}\n\n') == [b'{"a":\n\n 1}']


def test_only_one_space_after_the_colon_is_dropped() -> None:
    assert read(b"data:one\n\ndata:  two\n\n") == [b"one", b" two"]


def test_a_byte_order_mark_at_the_beginning_is_dropped() -> None:
    assert read(b"\xef\xbb", b"\xbfdata: one\n\n") == [b"one"]


def test_an_event_named_error_and_llama_cpps_error_field_come_out_alike() -> None:
    assert read(b'event: error\ndata: {"m":1}\n\n') == read(b'error: {"m":1}\n\n') == [b'{"error":{"m":1}}']


def test_an_event_without_a_last_empty_line_is_given_at_the_end() -> None:
    assert read(b"data: one\n\ndata: two") == [b"one", b"two"]


def test_a_line_of_megabytes_in_small_reads_is_read_in_time() -> None:
    reader = EventReader()
    part = b"x" * 1000
    assert reader.feed(b"data: ") == []
    assert not any(reader.feed(part) for _ in range(5000))
    assert reader.feed(b"\n\n") == [part * 5000]


def test_a_line_that_never_ends_is_refused() -> None:
    reader = EventReader()
    with pytest.raises(LineTooLong):
        reader.feed(b"x" * (LONGEST_LINE + 1))


WHOLE = "﻿: hi\r\ndata: grüße 🌍\r\n\r\ndata: a\rdata: b\r\revent: error\ndata: {}\n\nerror: {}\n\ndata: tail".encode()


@given(st.lists(st.integers(0, len(WHOLE)), max_size=12))
def test_every_split_of_the_bytes_gives_the_same_events(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(WHOLE)]
    pieces = [WHOLE[start:end] for start, end in pairwise(edges)]
    assert read(*pieces) == read(WHOLE)


@given(st.binary(max_size=200), st.integers(0, 200))
def test_arbitrary_bytes_read_the_same_in_two_reads_as_in_one(data: bytes, cut: int) -> None:
    assert read(data[:cut], data[cut:]) == read(data)
