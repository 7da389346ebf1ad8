"""The journal of unfinished streams in Redis: written off the path, taken over by one, gone with the answer."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from journal_pages import KEYS, NOW, PATIENT_SECONDS, brought, journal, key_of, place, text_in
from store_processes import Eventually

from steprouter.answering.answer import ToolCall
from steprouter.memory.journal import Began, JournalEntry, Stood
from steprouter.store import Connection, Missing, connect
from steprouter.store.embedded import EmbeddedServer
from steprouter.store.live.journal import Journal
from steprouter.store.live.journal_pens import BATCH_LINES, LARGEST_BYTES, Pen
from steprouter.store.live.journal_scripts import (
    GRAVE_SECONDS,
    JOURNAL_SECONDS,
    LOADING,
    end_command,
    write_command,
)
from steprouter.store.memory.forget import erase_part, whom

LOOK_UP = ToolCall(id="c1", name="look_up", args={"q": "x"}, raw='{"q": "x"}')
HOSTILE = st.one_of(st.text(st.characters()), st.sampled_from(["*", "{d}", "\ud800", "a\r\nDEL b", "r:owner", "\0"]))


@pytest.fixture(scope="module")
def shared(server: EmbeddedServer) -> Iterator[Connection]:
    connection = connect(server.url, deadline_seconds=PATIENT_SECONDS)
    yield connection
    connection.close()


@pytest.fixture
def mine(shared: Connection) -> Iterator[Journal]:
    """The journal of one process."""
    one = journal(shared)
    yield one
    one.close()


@pytest.fixture
def theirs(server: EmbeddedServer) -> Iterator[Journal]:
    """The journal of another process, as far as the store can tell."""
    connection = connect(server.url, deadline_seconds=PATIENT_SECONDS)
    one = journal(connection)
    yield one
    one.close()
    connection.close()


def sent(connection: Connection, *commands: Any) -> list[Any]:
    found = connection.call(
        lambda client: [client.execute_command(*command) for command in commands], deadline_seconds=PATIENT_SECONDS
    )
    assert not isinstance(found, Missing), found.reason
    return found


def test_what_was_noted_is_there_for_another_process(mine: Journal, shared: Connection) -> None:
    pen = mine.open(where := place(), NOW)
    for line in (Began("small", "a1"), "Once ", "upon", LOOK_UP, Stood({"mode": "exact"})):
        pen.note(line)
    assert mine.flush()
    pen.note(" a time")
    assert mine.flush()
    (entry,) = brought(shared, where)
    assert (entry.text, entry.segments[0].model, entry.calls) == ("Once upon a time", "small", (LOOK_UP,))
    assert (entry.facts, entry.began_at, entry.is_left) == ({"mode": "exact"}, NOW, False)


def test_lines_come_without_being_asked_for(mine: Journal, shared: Connection, eventually: Eventually) -> None:
    pen = mine.open(where := place(), NOW)
    pen.note("Once")
    eventually(lambda: text_in(shared, where) == "Once")
    for _ in range(3 * BATCH_LINES):
        pen.note(".")
    eventually(lambda: text_in(shared, where) == "Once" + "." * 3 * BATCH_LINES)


def test_an_answer_that_was_given_leaves_nothing(mine: Journal, shared: Connection) -> None:
    pen = mine.open(where := place(), NOW)
    pen.note("Once")
    assert mine.flush()
    pen.note(" upon")
    pen.finish()
    assert mine.flush()
    assert sent(shared, ("EXISTS", key_of(where))) == [0]


def test_a_consumer_that_went_away_leaves_a_journal_only_if_asked_to(mine: Journal, shared: Connection) -> None:
    for keep in (True, False):
        pen = mine.open(where := place(), NOW)
        pen.note("Once")
        assert mine.flush()
        pen.note(" upon")
        pen.leave(NOW, keep=keep)
        assert mine.flush()
        entries = brought(shared, where)
        assert [(entry.text, entry.is_left) for entry in entries] == ([("Once upon", True)] if keep else [])


def test_an_answer_that_is_over_before_its_lines_are_due_costs_the_store_nothing() -> None:
    entry = JournalEntry(run="r", owner="o", task="t", began_at=NOW)
    pen = Pen(SimpleQueue(), "key", "acme", entry, lambda: ("t", "0", "", ""))
    pen.note("Yes")
    pen.finish()
    assert pen.order(None) is None
    assert pen.state == "gone"


def test_lines_that_come_after_the_end_do_not_bring_a_journal_back(shared: Connection) -> None:
    key, head = key_of(place()), ("task", "1.0", "thread", "")
    first = write_command(key, "r", "o", 0, b'[1,"late"]', head, is_left=False)
    later = write_command(key, "r", "o", 1, b'[1,"later"]', (), is_left=False)
    certain, unsure = (end_command(key, "r", "o", is_unsure=is_unsure) for is_unsure in (False, True))
    assert sent(shared, *LOADING, first, certain, later, ("EXISTS", key))[-4:] == [1, 1, 0, 0]
    assert sent(shared, unsure, first, later, ("TTL", key)) == [1, 0, 0, GRAVE_SECONDS]


def test_the_grave_of_one_answer_is_no_harm_to_another_in_its_place(mine: Journal, shared: Connection) -> None:
    pen = mine.open(where := place(), NOW)
    pen.note("mine")
    assert mine.flush()
    sent(shared, end_command(key_of(where), "r", "o", is_unsure=True))
    assert text_in(shared, where) == "mine"
    pen.finish()
    assert mine.flush()
    assert brought(shared, where) == ()


def test_one_of_two_workers_goes_on_and_the_former_is_refused(
    mine: Journal, theirs: Journal, shared: Connection
) -> None:
    old = mine.open(where := place(), NOW)
    old.note("Once ")
    assert mine.flush()
    entry = theirs.match(where, brought(shared, where), NOW)
    assert entry is not None
    new, second = theirs.claim(where, entry, NOW), theirs.claim(where, entry, NOW)
    assert new is not None
    assert second is None
    old.note("I am late")
    new.note("upon")
    assert mine.flush()
    assert theirs.flush()
    assert text_in(shared, where) == "Once upon"
    assert old.missing == Missing(reason="the journal of this answer: it was taken over or has expired")
    old.finish()
    assert mine.flush()
    assert text_in(shared, where) == "Once upon"


def test_of_many_claims_at_once_one_succeeds(mine: Journal, theirs: Journal, shared: Connection) -> None:
    pen = mine.open(where := place(), NOW)
    pen.note("Once ")
    assert mine.flush()
    (entry,) = brought(shared, where)
    with ThreadPoolExecutor(8) as pool:
        pens = list(pool.map(lambda _: theirs.claim(where, entry, NOW), range(8)))
    assert sum(one is not None for one in pens) == 1


def test_a_claim_takes_what_was_given_or_forgotten_meanwhile_for_gone(
    mine: Journal, theirs: Journal, shared: Connection
) -> None:
    pen = mine.open(where := place(), NOW)
    pen.note("Once ")
    assert mine.flush()
    (entry,) = brought(shared, where)
    pen.finish()
    assert mine.flush()
    assert theirs.claim(where, entry, NOW) is None


async def test_a_claim_does_not_block_an_event_loop(mine: Journal, theirs: Journal, shared: Connection) -> None:
    pen = mine.open(where := place(), NOW)
    pen.note("Once ")
    assert await asyncio.to_thread(mine.flush)
    (entry,) = brought(shared, where)
    new = await theirs.aclaim(where, entry, NOW)
    assert new is not None
    new.note("upon")
    assert await asyncio.to_thread(theirs.flush)
    assert text_in(shared, where) == "Once upon"
    await theirs.connection.aclose()


def test_a_pen_that_speaks_is_not_taken_for_a_dead_one(mine: Journal, shared: Connection) -> None:
    pen = mine.open(where := place(), NOW)
    pen.note("Once ")
    assert mine.flush()
    assert mine.match(where, brought(shared, where), NOW) is None
    pen.leave(NOW, keep=True)
    found = mine.match(where, brought(shared, where), NOW)  # whether or not it is written yet
    assert found is not None
    assert found.text == "Once "


def test_a_node_that_is_tried_again_in_the_same_process_goes_on(mine: Journal, shared: Connection) -> None:
    pen = mine.open(where := place(), NOW)
    pen.note("Once ")
    pen.leave(NOW, keep=True)
    entry = mine.match(where, (), NOW)
    assert entry is not None
    again = mine.claim(where, entry, NOW)
    assert again is not None
    assert mine.claim(where, entry, NOW) is None
    again.note("upon")
    assert mine.flush()
    assert text_in(shared, where) == "Once upon"
    again.finish()
    assert mine.flush()
    assert sent(shared, ("EXISTS", key_of(where))) == [0]


@pytest.mark.parametrize("has_answered", [True, False])
def test_what_this_process_left_and_another_took_over_is_lost_to_it(
    mine: Journal, theirs: Journal, shared: Connection, *, has_answered: bool
) -> None:
    pen = mine.open(where := place(), NOW)
    pen.note("Once ")
    pen.leave(NOW, keep=True)
    assert mine.flush()
    (seen,) = brought(shared, where)
    taken = theirs.claim(where, seen, NOW)
    entry = mine.match(where, brought(shared, where), NOW)
    assert taken is not None
    assert entry is not None
    if has_answered:
        taken.finish()
        assert theirs.flush()
    assert mine.claim(where, entry, NOW) is None


def test_answers_of_one_place_lie_side_by_side(mine: Journal, shared: Connection) -> None:
    where = place()
    pens = [mine.open(where, NOW + n) for n in range(3)]
    for n, pen in enumerate(pens):
        pen.note(f"answer {n}")
    assert mine.flush()
    pens[1].finish()
    assert mine.flush()
    assert sorted(entry.text for entry in brought(shared, where)) == ["answer 0", "answer 2"]


def test_each_of_several_resumed_calls_takes_another_journal(
    mine: Journal, theirs: Journal, shared: Connection
) -> None:
    where = place()
    for n in range(3):
        mine.open(where, NOW + n).note(f"answer {n}")
    assert mine.flush()
    taken = []
    for _ in range(3):
        entry = theirs.match(where, brought(shared, where), NOW)
        assert entry is not None
        assert theirs.claim(where, entry, NOW) is not None
        taken.append(entry.text)
    assert taken == ["answer 0", "answer 1", "answer 2"]
    assert theirs.match(where, brought(shared, where), NOW) is None


def test_it_expires_within_minutes_and_names_nobody(mine: Journal, shared: Connection) -> None:
    shared.call(lambda client: client.flushdb())
    mine.open(place("name of thread-of-jane", thread="thread-of-jane", task="task-of-jane"), NOW).note("Once")
    assert mine.flush()
    (key,), life = sent(shared, ("KEYS", "*"))[0], JOURNAL_SECONDS
    assert life - 60 < sent(shared, ("TTL", key))[0] <= life
    kept = b"".join(part for pair in sent(shared, ("HGETALL", key))[0].items() for part in pair)
    assert not any(word in key + kept for word in (b"acme", b"jane", b"small"))


def test_a_thread_that_is_forgotten_loses_its_journals(mine: Journal, shared: Connection) -> None:
    for thread in ("t-1", "t-2"):
        mine.open(place(tenant="forgetful", thread=thread, user=None), NOW).note("Once")
    assert mine.flush()
    erased, _ = erase_part(shared, KEYS, "forgetful", whom(KEYS, "forgetful", thread="t-1", user=None))
    assert erased.erased == {"journals": 1}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tenant=HOSTILE, thread=HOSTILE, user=HOSTILE, task=HOSTILE, name=HOSTILE, text=st.text(st.characters()))
def test_hostile_ids_and_texts_stay_where_they_belong(
    mine: Journal, shared: Connection, tenant: str, thread: str, user: str, task: str, name: str, text: str
) -> None:
    whose = {"thread": thread, "user": user, "task": task}
    own, other = place(name, tenant=f"{tenant}1", **whose), place(name, tenant=f"{tenant}2", **whose)
    pen = mine.open(own, NOW)
    pen.note(f"{text}!")
    assert mine.flush()
    assert (text_in(shared, own), text_in(shared, other)) == (f"{text}!", None)
    pen.finish()
    assert mine.flush()
    assert brought(shared, own) == ()


def test_a_longer_answer_than_a_journal_holds_has_none(mine: Journal, shared: Connection) -> None:
    pen = mine.open(where := place(), NOW)
    pen.note("x" * 1000)
    assert mine.flush()
    pen.note("x" * LARGEST_BYTES)
    mine.flush()
    assert mine.flush()
    assert sent(shared, ("EXISTS", key_of(where))) == [0]
    assert pen.missing is not None
    assert (pen.missing.degraded, "longer than a journal may be" in pen.missing.reason) == (False, True)
    pen.note("goes on")
    pen.finish()
    assert mine.flush()


def test_facts_that_are_no_json_cost_the_journal_and_nothing_else(mine: Journal) -> None:
    pen = mine.open(place(), NOW)
    pen.note(Stood({"thing": object()}))
    pen.note("text")
    mine.flush()
    assert pen.missing is not None
    assert "a journal cannot be written" in pen.missing.reason
    assert mine.flush()


def test_a_journal_of_a_newer_version_is_neither_read_nor_changed(mine: Journal, shared: Connection) -> None:
    pen = mine.open(where := place(), NOW)
    pen.note("Once")
    assert mine.flush()
    sent(shared, ("HSET", key_of(where), "v", "99"))
    pen.note(" upon")
    assert mine.flush()
    assert brought(shared, where).reason == "written by a newer steprouter (schema 99; this one reads 1)"
    assert pen.missing == Missing(reason="the journal of this answer: a newer steprouter wrote it")


@pytest.mark.parametrize(
    ("field", "value"), [("0", "no json"), ("x", '[1,"a"]'), ("7", '[1,"a"]'), ("0", b"\x01sealed")]
)
def test_a_broken_journal_is_missing_and_says_why(
    mine: Journal, shared: Connection, field: str, value: str | bytes
) -> None:
    pen = mine.open(where := place(), NOW)
    pen.note("Once")
    assert mine.flush()
    sent(shared, ("HSET", key_of(where), f"{pen.entry.run}:{field}", value))
    found = brought(shared, where)
    assert isinstance(found, Missing)
    assert found.reason.startswith("a journal cannot be read: ")
    assert mine.match(place(where.name, task="another"), found, NOW) is found


def test_something_else_in_its_place_stops_one_journal_and_no_other(mine: Journal, shared: Connection) -> None:
    where, healthy = place(), place()
    sent(shared, ("SET", key_of(where), "not a hash"))
    pen, other = mine.open(where, NOW), mine.open(healthy, NOW)
    pen.note("Once")
    other.note("Once")
    assert mine.flush()
    assert pen.missing is not None
    assert "WRONGTYPE" in pen.missing.reason
    assert text_in(shared, healthy) == "Once"
    pen.finish()
    assert mine.flush()
    assert sent(shared, ("GET", key_of(where))) == [b"not a hash"]


def test_a_server_that_forgot_the_scripts_is_told_them_again(mine: Journal, shared: Connection) -> None:
    pen = mine.open(where := place(), NOW)
    for word in ("Once ", "upon"):
        sent(shared, ("SCRIPT", "FLUSH"))
        pen.note(word)
        assert mine.flush()
    assert text_in(shared, where) == "Once upon"


def test_many_streams_at_once_lose_nothing(mine: Journal, shared: Connection) -> None:
    places = [place() for _ in range(12)]

    def stream(n: int) -> None:
        pen = mine.open(places[n], NOW)
        for token in range(300):
            pen.note(f"{token} ")
        if n % 2:
            pen.finish()

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(stream, range(12)))
    assert mine.flush()
    whole = "".join(f"{token} " for token in range(300))
    assert [text_in(shared, one) for one in places] == [None if n % 2 else whole for n in range(12)]


def test_its_thread_ends_with_it_and_comes_back_with_the_next_answer(mine: Journal, shared: Connection) -> None:
    mine.open(place(), NOW).note("Once")
    mine.close()
    assert mine.desk().thread is None
    mine.open(where := place(), NOW).note("Again")
    assert mine.flush()
    assert text_in(shared, where) == "Again"


def test_a_forked_child_writes_for_itself(mine: Journal, shared: Connection) -> None:
    of_parent, of_child = place(), place()
    pen = mine.open(of_parent, NOW)
    pen.note("parent")
    assert mine.flush()
    child = os.fork()
    if child == 0:
        pen.note("not mine to write")
        mine.open(of_child, NOW).note("child")
        os._exit(0 if mine.flush() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert mine.flush()
    assert (text_in(shared, of_parent), text_in(shared, of_child)) == ("parent", "child")


DYING = f"""
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from journal_pages import NOW, journal, place
from steprouter.memory.journal import Began
from steprouter.store import connect
mine = journal(connect(sys.argv[2], deadline_seconds=20.0))
pen = mine.open(place("place of the dead"), NOW)
pen.note(Began("small", "a1"))
for token in range(100):
    pen.note(f"{{token}} ")
assert mine.flush(20.0)
for token in range(100, 100 + {BATCH_LINES - 1}):
    pen.note(f"{{token}} ")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_costs_one_batch_at_most(theirs: Journal, shared: Connection, server: EmbeddedServer) -> None:
    here = os.path.dirname(__file__)  # noqa: PTH120 # as text for the program
    dead = subprocess.run([sys.executable, "-c", DYING, here, server.url], check=False)
    assert dead.returncode == -signal.SIGKILL
    entry = theirs.match(where := place("place of the dead"), brought(shared, where), NOW)
    assert entry is not None
    said = "".join(f"{token} " for token in range(100 + BATCH_LINES - 1))
    assert said.startswith(entry.text)
    assert entry.text.startswith("".join(f"{token} " for token in range(100)))


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_a_store_that_goes_away_changes_nothing_and_catches_up(own: Connection, how: str) -> None:
    mine, where, over = journal(own), place(), place()
    pen, given = mine.open(where, NOW), mine.open(over, NOW)
    pen.note("Once ")
    given.note("Yes")
    assert mine.flush(20.0)
    assert own.link().server is not None
    os.kill(own.link().server.facts.pid, signal.SIGSTOP if how == "stopped" else signal.SIGKILL)
    pen.note("upon ")
    was_written = mine.flush(20.0)
    given.finish()
    if how == "stopped":  # a killed server is back at some time by itself
        assert (was_written, pen.missing is None) == (False, False)
        assert str(mine.degraded).startswith("store degraded: ")
        os.kill(own.link().server.facts.pid, signal.SIGCONT)
    pen.note("a time")
    while not mine.flush(20.0):
        pass
    assert (pen.missing, mine.degraded) == (None, None)
    assert (text_in(own, where), brought(own, over)) == ("Once upon a time", ())
    mine.close()


def test_without_a_server_a_journal_serves_its_own_process() -> None:
    connection = connect("memory")
    mine, where = journal(connection), place()
    pen = mine.open(where, NOW)
    pen.note("Once ")
    assert mine.match(where, None, NOW) is None
    pen.leave(NOW, keep=True)
    assert mine.match(place(where.name, task="another"), None, NOW) is None
    assert mine.match(where, None, NOW + JOURNAL_SECONDS) is None
    entry = mine.match(where, None, NOW)
    assert entry is not None
    again = mine.claim(where, entry, NOW)
    assert again is not None
    again.note("upon")
    assert again.so_far().text == "Once upon"
    again.finish()
    assert (mine.match(where, None, NOW), mine.desk().thread) == (None, None)


def test_where_no_store_is_to_be_had_after_all_the_process_keeps_what_it_has(server: EmbeddedServer) -> None:
    connection = connect(server.url)
    mine, where, over = journal(connection), place(), place()
    pen, given = mine.open(where, NOW), mine.open(over, NOW)
    link = connection.link()
    link.stay_in_memory("there is none")
    link.is_open.set()
    pen.note("Once ")
    given.note("Yes")
    given.finish()
    assert mine.flush()
    pen.leave(NOW, keep=True)
    entry = mine.match(where, None, NOW)
    assert entry is not None
    assert (entry.text, mine.match(over, None, NOW), mine.degraded) == ("Once ", None, None)
    mine.close()


def test_a_process_remembers_but_the_latest_answers_that_it_left() -> None:
    mine, places = journal(connect("memory")), [place() for _ in range(100)]
    for n, where in enumerate(places):
        pen = mine.open(where, NOW + n)
        pen.note(f"answer {n}")
        pen.leave(NOW + n, keep=True)
    found = [mine.match(where, None, NOW + 100) is not None for where in places]
    assert found[-16:] == [True] * 16
    assert sum(found) <= 33
