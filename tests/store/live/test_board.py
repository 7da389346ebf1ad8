"""What one process knows of its deployments, and how two agree through a store that only replaces texts."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from health_cases import NOW, Shelf, answered, calls, failed, made, trip
from hypothesis import given, settings
from hypothesis import strategies as st

from steprouter.answering.attempt import Attempt
from steprouter.answering.breaker import Breaker, State, encoded
from steprouter.answering.claims import Granted, Refused
from steprouter.answering.failures import FailureKind
from steprouter.answering.health import Health
from steprouter.store.live.board import LONGEST_CALL_SECONDS, UNSAID_LIMIT_SECONDS, Board
from steprouter.store.live.health_record import MARKS, Marks, Record, Unread, read_record, text_of
from steprouter.store.live.health_standing import MOST_CHANGES, MOST_LIMITED_SECONDS, Proposal

DUE = NOW + 600.0
"""When a breaker that opened at NOW may be probed for sure."""


@pytest.fixture
def board() -> Board:
    return Board(["small", "large"])


def seen(board: Board, now: float = NOW, model: str = "small") -> Health:
    return board.health(now)[model]


def lease(board: Board, shelf: Shelf, holder: str, now: float = DUE) -> Granted | Refused:
    """Asks until the store agrees."""
    while isinstance(told := board.lease("small", holder, now), Proposal):
        board.replied(told, shelf.take(told), now)
    return told


def test_a_deployment_nothing_is_known_of_is_healthy(board: Board) -> None:
    assert board.health(NOW) == {"small": Health(), "large": Health()}


def test_a_trip_is_known_at_once_in_this_process(board: Board) -> None:
    trip(board)
    assert seen(board).breaker.state is State.OPEN
    assert seen(board, model="large").breaker.state is State.CLOSED


def test_the_end_of_a_call_says_whether_others_should_know_soon(board: Board) -> None:
    assert made(board, answered(), name="a") is False
    told = [made(board, failed(), name=f"b{number}") for number in range(5)]
    assert told == [False, False, False, False, True]
    assert made(board, failed(FailureKind.RATE_LIMITED), name="c") is True
    assert made(board, failed(FailureKind.AUTH), name="d") is True


def test_a_call_counts_once_however_often_its_begin_and_end_are_told(board: Board) -> None:
    for _ in range(2):
        board.began("small", "a", NOW)
    assert seen(board).in_flight == 1
    for _ in range(2):
        board.ended("a", answered(), NOW)
    assert seen(board).in_flight == 0
    assert calls(seen(board).breaker) == 1


def test_a_call_that_never_began_says_nothing(board: Board) -> None:
    assert board.ended("unknown", failed(), NOW) is False
    assert seen(board) == Health()


def test_a_model_that_is_none_of_ours_is_ignored(board: Board) -> None:
    made(board, failed(model="other"), name="a")
    assert board.lease("other", "a", NOW) == Granted()
    assert board.health(NOW) == {"small": Health(), "large": Health()}


def test_a_call_whose_end_nobody_told_does_not_count_for_ever(board: Board) -> None:
    board.began("small", "a", NOW)
    board.sweep(NOW + LONGEST_CALL_SECONDS - 1)
    assert seen(board).in_flight == 1
    board.sweep(NOW + LONGEST_CALL_SECONDS)
    assert seen(board).in_flight == 0


def test_the_view_is_the_same_object_until_something_changes(board: Board) -> None:
    before = board.health(NOW)
    assert board.health(NOW + 1) is before
    board.began("small", "a", NOW + 1)
    assert board.health(NOW + 1)["large"] is before["large"]
    assert board.health(NOW + 1)["small"].in_flight == 1


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        (30.0, 30.0),
        (0.0, UNSAID_LIMIT_SECONDS),
        (None, UNSAID_LIMIT_SECONDS),
        (-5.0, UNSAID_LIMIT_SECONDS),
        (float("nan"), UNSAID_LIMIT_SECONDS),
        (float("inf"), MOST_LIMITED_SECONDS),
    ],
)
def test_too_many_requests_leave_a_deployment_alone_for_as_long_as_was_asked(
    board: Board, asked: float | None, seconds: float
) -> None:
    made(board, failed(FailureKind.RATE_LIMITED, retry_after_seconds=asked), name="a")
    assert seen(board).limited_until == NOW + seconds
    assert seen(board).pace.limit == 1.0
    assert seen(board).breaker == Breaker()


def test_a_limit_of_before_the_clock_stepped_back_is_not_waited_for(board: Board) -> None:
    made(board, failed(FailureKind.RATE_LIMITED, retry_after_seconds=60.0), name="a")
    assert seen(board).limited_until == NOW + 60.0
    assert seen(board, NOW - 10 * MOST_LIMITED_SECONDS).limited_until == 0.0


@pytest.mark.parametrize("kind", [FailureKind.AUTH, FailureKind.NOT_FOUND])
def test_a_refused_key_or_model_takes_the_deployment_out_with_a_reason(board: Board, kind: FailureKind) -> None:
    made(board, failed(kind, status=401, code="bad", text="what the provider said"), name="a")
    assert seen(board).out == f"{kind} 401 bad"
    board.readmit("small", NOW)
    assert seen(board).out is None


def test_an_unpaid_bill_is_looked_at_again_after_an_hour_and_takes_nothing_out(board: Board) -> None:
    made(board, failed(FailureKind.AUTH, status=402), name="a")
    assert seen(board).out is None
    assert seen(board).limited_until == NOW + 3600.0


def test_latency_rises_at_once_and_falls_little_by_little(board: Board) -> None:
    told = []
    for number, seconds in enumerate((0.5, 4.0, 0.5, 0.5)):
        made(board, answered(seconds=seconds), NOW + 60 * number, name=f"{number}")
        told.append(seen(board).latency_seconds)
    assert told[:2] == [0.5, 4.0]
    assert 4.0 > told[2] > told[3] > 0.5  # type: ignore[operator]


def test_a_first_token_that_never_came_was_waited_for_at_least_so_long(board: Board) -> None:
    board.began("small", "a", NOW)
    told = failed(FailureKind.TIMEOUT_FIRST_TOKEN)
    board.ended("a", Attempt(model="small", failure=told.failure, seconds=20.0), NOW + 20)
    assert seen(board).latency_seconds == 20.0


def test_two_boards_follow_each_other_through_the_store(board: Board) -> None:
    other, shelf = Board(["small", "large"]), Shelf()
    trip(board)
    made(board, failed(FailureKind.RATE_LIMITED, "large", retry_after_seconds=30.0), name="limit")
    made(board, failed(FailureKind.AUTH, "large"), name="out")
    shelf.share(board)
    other.take(shelf.texts, NOW)
    for model in ("small", "large"):
        assert seen(other, model=model).breaker == seen(board, model=model).breaker
        assert seen(other, model=model).limited_until == seen(board, model=model).limited_until
        assert seen(other, model=model).out == seen(board, model=model).out
    assert seen(other).breaker.state is State.OPEN


def test_who_is_admitted_again_by_one_is_so_for_all_even_by_a_slow_clock(board: Board) -> None:
    other, shelf = Board(["small"]), Shelf()
    made(board, failed(FailureKind.AUTH), name="a")
    shelf.share(board)
    other.take(shelf.texts, NOW)
    other.readmit("small", NOW - 100)
    shelf.share(other)
    board.take(shelf.texts, NOW)
    assert seen(board).out is None
    assert seen(other).out is None
    assert board.unshared() == other.unshared() == 0


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["call", "share", "lose", "write", "take"])), max_size=60))
def test_interleaved_writers_with_lost_replies_count_every_call_once(story: list[tuple[int, str]]) -> None:
    boards, shelf, made_calls = [Board(["small"]) for _ in range(3)], Shelf(), 0
    open_ones: list[tuple[Board, Proposal]] = []
    for number, (which, deed) in enumerate(story):
        board = boards[which]
        if deed == "call":
            made(board, answered(), NOW, name=f"{number}")
            made_calls += 1
        elif deed == "share":
            shelf.share(board)
        elif deed == "take":
            board.take(shelf.texts, NOW)
        elif deed == "lose":  # the store took it and the reply was lost
            for proposal in board.proposals(NOW):
                shelf.take(proposal)
                board.replied(proposal, None, NOW)
        else:  # another thread's write, whose reply comes late
            open_ones += [(board, proposal) for proposal in board.proposals(NOW)]
        for each in boards:  # so many writes later nobody could tell what became of a lost one
            if shelf.writes - each.deployments["small"].standing.record.revision >= MARKS // 2:
                shelf.share(each)
    for board, proposal in open_ones:
        board.replied(proposal, shelf.take(proposal), NOW)
    for board in boards:
        shelf.share(board)
    for board in boards:
        board.take(shelf.texts, NOW)
        assert calls(seen(board).breaker) == made_calls


def test_a_write_whose_reply_is_lost_is_not_made_twice_although_others_wrote(board: Board) -> None:
    other, shelf = Board(["small"]), Shelf()
    made(board, answered(), name="a")
    [proposal] = board.proposals(NOW)
    assert shelf.take(proposal) is True
    board.replied(proposal, None, NOW)
    for number in range(MARKS - 1):
        made(other, answered(), name=f"b{number}")
        shelf.share(other)
    shelf.share(board)
    assert calls(seen(board).breaker) == MARKS


def test_what_a_recall_brings_late_does_not_undo_what_was_written_since(board: Board) -> None:
    shelf = Shelf()
    made(board, answered(), name="a")
    shelf.share(board)
    late = dict(shelf.texts)
    trip(board)
    shelf.share(board)
    board.take(late, NOW)
    assert seen(board).breaker.state is State.OPEN


def test_a_reply_that_comes_late_does_not_undo_what_a_recall_brought_since(board: Board) -> None:
    other, shelf = Board(["small"]), Shelf()
    made(board, answered(), name="a")
    [proposal] = board.proposals(NOW)
    reply = shelf.take(proposal)
    trip(other)
    shelf.share(other)
    board.take(shelf.texts, NOW)
    board.replied(proposal, reply, NOW)
    assert seen(board).breaker.state is State.OPEN
    assert board.unshared() == 0


def test_a_store_that_was_flushed_is_given_back_what_was_known(board: Board) -> None:
    shelf = Shelf()
    trip(board)
    shelf.share(board)
    shelf.texts.clear()
    board.take(shelf.texts, NOW)
    assert seen(board).breaker.state is State.OPEN
    made(board, failed(FailureKind.RATE_LIMITED), name="a")
    shelf.share(board)
    other = Board(["small"])
    other.take(shelf.texts, NOW)
    assert seen(other).breaker.state is State.OPEN


def test_of_all_who_ask_an_open_deployment_one_probes(board: Board) -> None:
    other, shelf = Board(["small"]), Shelf()
    trip(board)
    shelf.share(board)
    other.take(shelf.texts, NOW)
    assert lease(board, shelf, "mine") == Granted(is_probe=True)
    refused = Refused(by="breaker", name="small", why="small is being probed", until=DUE + 30.0)
    assert lease(other, shelf, "theirs") == refused
    assert lease(board, shelf, "another of mine") == refused


def test_who_was_refused_a_lease_does_not_have_it_when_it_is_free_again(board: Board) -> None:
    other, shelf = Board(["small"]), Shelf()
    trip(board)
    shelf.share(board)
    other.take(shelf.texts, NOW)
    told = other.lease("small", "theirs", DUE)
    assert isinstance(told, Proposal)
    assert lease(board, shelf, "mine") == Granted(is_probe=True)
    other.replied(told, shelf.take(told), DUE)
    assert isinstance(lease(other, shelf, "theirs"), Refused)
    board.ended("mine", Attempt(model="small"), DUE)
    shelf.share(board)
    other.take(shelf.texts, DUE)
    assert seen(other, DUE).breaker.holder == ""


def test_who_asks_too_early_is_told_until_when_without_asking_the_store(board: Board) -> None:
    trip(board)
    told = board.lease("small", "mine", NOW)
    assert told == Refused(
        by="breaker", name="small", why="small is open (failures)", until=seen(board).breaker.open_until
    )


def test_a_closed_deployment_needs_no_lease(board: Board) -> None:
    assert board.lease("small", "mine", NOW) == Granted()


def test_a_lease_whose_reply_was_lost_is_its_holders_when_it_asks_again(board: Board) -> None:
    other, shelf = Board(["small"]), Shelf()
    trip(board)
    shelf.share(board)
    told = board.lease("small", "mine", DUE)
    assert isinstance(told, Proposal)
    shelf.take(told)
    board.replied(told, None, DUE)
    assert lease(board, shelf, "mine") == Granted(is_probe=True)
    other.take(shelf.texts, DUE)
    assert isinstance(lease(other, shelf, "theirs"), Refused)
    record = read_record(shelf.texts["small"])
    assert isinstance(record, Record)
    assert record.breaker.holder == "mine"


def test_two_probes_that_answer_close_the_deployment_for_all(board: Board) -> None:
    other, shelf = Board(["small"]), Shelf()
    trip(board)
    shelf.share(board)
    for mine, name in ((board, "first"), (other, "second")):
        mine.take(shelf.texts, DUE)
        assert lease(mine, shelf, name) == Granted(is_probe=True)
        assert made(mine, answered(), DUE, name=name) is True
        shelf.share(mine)
    board.take(shelf.texts, DUE)
    assert seen(board, DUE).breaker.state is seen(other, DUE).breaker.state is State.CLOSED


@pytest.mark.parametrize("has_begun", [True, False])
def test_a_probe_that_says_nothing_gives_the_lease_back(board: Board, has_begun: bool) -> None:
    shelf = Shelf()
    trip(board)
    shelf.share(board)
    lease(board, shelf, "mine")
    if has_begun:
        board.began("small", "mine", DUE)
    board.ended("mine", failed(FailureKind.CANCELLED), DUE)
    shelf.share(board)
    assert seen(board, DUE).in_flight == 0
    assert lease(board, shelf, "another") == Granted(is_probe=True)


def test_without_the_store_a_process_probes_by_itself_and_shares_it_later(board: Board) -> None:
    other, shelf = Board(["small"]), Shelf()
    trip(board)
    for name in ("first", "second"):
        told = board.lease("small", name, DUE)
        assert isinstance(told, Proposal)
        board.replied(told, None, DUE)
        assert isinstance(board.lease("small", "another", DUE), Refused)
        made(board, answered(), DUE, name=name)
    assert seen(board, DUE).breaker.state is State.CLOSED
    shelf.share(board)
    other.take(shelf.texts, DUE)
    assert seen(other, DUE).breaker == seen(board, DUE).breaker


def test_a_store_that_is_away_for_long_costs_no_memory_and_no_knowledge(board: Board) -> None:
    for number in range(3 * MOST_CHANGES):
        made(board, answered(), name=f"{number}")
        if number % 10 == 0:
            for proposal in board.proposals(NOW):
                board.replied(proposal, None, NOW)
    assert calls(seen(board).breaker) == 3 * MOST_CHANGES
    standing = board.deployments["small"].standing
    assert len(standing.changes) == MOST_CHANGES
    assert len(standing.lost) <= MARKS


def test_an_outage_that_nobody_heard_of_in_time_is_not_shared_when_it_is_over(board: Board) -> None:
    other, shelf = Board(["small"]), Shelf()
    made(other, answered(), DUE, name="a")
    shelf.share(other, DUE)
    trip(board)
    shelf.share(board, DUE)
    for one in (board, other):
        one.take(shelf.texts, DUE)
        assert seen(one, DUE).breaker.failures == 0
        assert seen(one, DUE).breaker.state is State.CLOSED


NEWER = (b"2 anything", text_of(Record(revision=1)).replace(encoded(Breaker()).encode(), b"2 anything"))


@pytest.mark.parametrize("after", [{}, {"small": text_of(Record(breaker=Breaker(failures=1), revision=1))}])
def test_when_a_newer_versions_record_is_gone_health_is_shared_again(board: Board, after: dict[str, bytes]) -> None:
    shelf = Shelf()
    board.take({"small": NEWER[0]}, NOW)
    made(board, answered(), name="a")
    assert board.proposals(NOW) == []
    shelf.texts = dict(after)
    board.take(shelf.texts, NOW)
    shelf.share(board)
    record = read_record(shelf.texts["small"])
    assert isinstance(record, Record)
    assert calls(record.breaker) == 1


BROKEN = (b"", b"\xff\xfe", b"0", b"1 2 3", b"x" * 100_000, b"1 0 . 0.0 = 0.0 " + encoded(Breaker()).encode())


@pytest.mark.parametrize("text", NEWER)
def test_what_a_newer_version_wrote_is_neither_read_nor_changed(board: Board, text: bytes) -> None:
    shelf = Shelf()
    shelf.texts["small"] = text
    trip(board)
    shelf.share(board)
    assert shelf.texts["small"] == text
    assert seen(board).breaker.state is State.OPEN
    assert board.lease("small", "mine", DUE) == Granted(is_probe=True)


@pytest.mark.parametrize("text", BROKEN)
def test_what_makes_no_sense_is_ignored_and_written_over(board: Board, text: bytes) -> None:
    other, shelf = Board(["small"]), Shelf()
    shelf.texts["small"] = text
    board.take(shelf.texts, NOW)
    assert seen(board) == Health()
    trip(board)
    shelf.share(board)
    other.take(shelf.texts, NOW)
    assert seen(other).breaker.state is State.OPEN


def test_marks_that_lie_too_far_ahead_are_not_believed(board: Board) -> None:
    shelf = Shelf()
    marks = Marks(limited_until=2.0**53 - 1, out="a lie", out_at=2.0**53 - 1)
    shelf.texts["small"] = text_of(Record(marks=marks, revision=2**40 - 1, writes=("0123abcd",)))
    board.take(shelf.texts, NOW)
    assert seen(board).limited_until == 0.0
    board.readmit("small", NOW)
    assert seen(board).out is None
    shelf.share(board)
    assert board.unshared() == 0
    record = read_record(shelf.texts["small"])
    assert isinstance(record, Record)
    assert (record.revision, record.marks.out) == (1, "")


RECORDS = st.builds(
    Record,
    breaker=st.builds(Breaker, failures=st.integers(0, 9), holder=st.text(max_size=9)),
    marks=st.builds(
        Marks,
        limited_until=st.floats(0, 2**53, exclude_max=True),
        out=st.text(st.characters(), max_size=40),
        out_at=st.floats(0, 2**53, exclude_max=True),
    ),
    revision=st.integers(1, 2**40 - 1),
    writes=st.lists(st.text("0123456789abcdef", min_size=8, max_size=8), max_size=MARKS).map(tuple),
)


@given(RECORDS)
def test_a_record_reads_as_it_was_written(record: Record) -> None:
    assert read_record(text_of(record)) == record


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: b"1 1 . 0.0 = 0.0 " + text.encode()))
def test_any_bytes_are_read_without_an_error(text: bytes) -> None:
    assert read_record(text) in tuple(Unread) or isinstance(read_record(text), Record)


@given(st.data())
def test_a_record_with_a_byte_changed_is_read_without_an_error(data: st.DataObject) -> None:
    text = bytearray(text_of(Record(revision=3, writes=("0123abcd",))))
    text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    assert isinstance(read_record(bytes(text)), Record | Unread)


@given(
    st.lists(
        st.builds(
            Marks,
            limited_until=st.floats(0, 9),
            limited_at=st.floats(0, 9),
            out=st.sampled_from(["", "x"]),
            out_at=st.floats(0, 9),
        )
    )
)
def test_marks_merge_to_the_same_in_any_order(given_marks: list[Marks]) -> None:
    def merged(marks: Any) -> Marks:
        found = Marks()
        for one in marks:
            found = found.merged(one)
        return found

    assert merged(given_marks) == merged(reversed(given_marks)) == merged([*given_marks, *given_marks])


def test_threads_that_work_and_share_at_once_lose_nothing(board: Board) -> None:
    shelf, lock = Shelf(), threading.Lock()

    def work(which: int) -> None:
        for number in range(20):
            made(board, answered(), name=f"{which} {number}")
            for proposal in board.proposals(NOW):
                with lock:
                    reply = shelf.take(proposal)
                board.replied(proposal, reply, NOW)
            board.health(NOW)

    threads = [threading.Thread(target=work, args=(which,)) for which in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shelf.share(board)
    other = Board(["small"])
    other.take(shelf.texts, NOW)
    assert calls(seen(other).breaker) == calls(seen(board).breaker) == 80
    assert seen(board).in_flight == 0
