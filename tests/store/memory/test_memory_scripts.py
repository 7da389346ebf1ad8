"""The scripts on the server and the pure rules give the same results, whatever comes in which order."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count as counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steprouter.memory.labels import Source, label, replaces
from steprouter.memory.outcomes import Counted, Remembered, Tally, average, count
from steprouter.memory.remember import Remembrance
from steprouter.memory.session import Decided, Session, SessionUpdate, Warm, advance
from steprouter.models.cost import Usage
from steprouter.step.step import Place, Step, StepKind
from steprouter.store import Connection, Keys, connect
from steprouter.store.embedded import EmbeddedServer
from steprouter.store.memory.pipeline import carry_out
from steprouter.store.memory.schema import VERSION, Places, Space
from steprouter.store.memory.sections import REMEMBERED, Query, plan, read
from steprouter.store.memory.write import write, write_labels

KEYS = Keys(secret=b"k" * 32)
SPACE = Space(identity="test/2", dimension=2)
NOW = 1_800_000_000.0
SERIAL = counter()


@pytest.fixture(scope="module")
def connection(server: EmbeddedServer) -> Any:
    connection = connect(server.url)
    yield connection
    connection.close()


def recalled(connection: Connection, tenant: str, thread: str | None = "t", node: str | None = None) -> dict[str, Any]:
    """What a step of the thread recalls."""
    place = Place(thread=thread, tenant=tenant, node=node)
    step = Step(id="s", kind=StepKind.CHAT, place=place)
    trip = plan(Query(places=Places(keys=KEYS, tenant=tenant), step=step), REMEMBERED)
    replies: list[Any] = []
    connection.call(lambda client: carry_out(client, trip.commands, replies), deadline_seconds=5.0)
    return read(trip, replies, None)


def keep(connection: Connection, *batch: Remembrance, now: float = NOW) -> None:
    assert write(connection, KEYS, SPACE, batch, now) is None


def tenant() -> str:
    return f"tenant {next(SERIAL)}"


model_names = st.sampled_from(["small", "large", "warm: odd \ud800 name", ""])
decisions = st.builds(
    Decided,
    step_id=st.sampled_from([f"step-{n}" for n in range(6)]),
    at=st.floats(NOW, NOW + 100),
    kind=st.just("chat"),
    model=st.none() | model_names.filter(bool),
    usd=st.none() | st.floats(0, 1),
    calls=st.lists(st.sampled_from(["a", "b"]), max_size=2).map(tuple),
)
warms = st.builds(
    Warm,
    digest=st.sampled_from(["ab", "cd"]),
    messages=st.integers(1, 9),
    tokens=st.integers(0, 9999),
    until=st.floats(NOW, NOW + 500),
)
updates = st.builds(
    SessionUpdate,
    decided=decisions,
    errors=st.integers(0, 5),
    escalated=st.booleans(),
    warm=st.none() | warms,
    input_tokens=st.integers(0, 10**6),
    output_tokens=st.integers(0, 10**5),
    seconds=st.floats(0, 100),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(updates, max_size=24, unique_by=lambda u: u.decided.step_id))
def test_a_session_on_the_server_advances_as_the_rule_says(connection: Connection, given: list[SessionUpdate]) -> None:
    mine, expected = tenant(), Session()
    for update in given:
        keep(connection, Remembrance(tenant=mine, thread="t", session=update))
        expected = advance(expected, update)
    assert recalled(connection, mine)["session"] == expected


def test_an_update_that_is_written_twice_counts_once(connection: Connection) -> None:
    mine, update = tenant(), SessionUpdate(decided=Decided(step_id="s", at=NOW, kind="chat", model="small", usd=0.5))
    for _ in range(3):
        keep(connection, Remembrance(tenant=mine, thread="t", session=update))
    assert recalled(connection, mine)["session"] == advance(Session(), update)


def outcome(number: int, score: float = 1.0, source: Source = Source.PASSED_CHECK, **given: Any) -> Remembered:
    """An outcome of a step of its own."""
    usual: dict[str, Any] = {"kind": "chat", "node": "agent", "model": "small", "at": NOW + number, "thread": "t"}
    usage = Usage(input_tokens=10, output_tokens=5 + number)
    first = label(f"step-{number}", source, score, NOW + number)
    return Remembered(id=f"step-{number}", label=first, usage=usage, seconds=0.1, **{**usual, **given})


labels = st.builds(
    label,
    step_id=st.sampled_from([f"step-{n}" for n in range(4)]),
    source=st.sampled_from(Source),
    score=st.floats(0, 1),
    at=st.integers(0, 4).map(lambda hours: NOW + 3600 * hours),
)


def expected_tally(outcomes: Sequence[Remembered], given: Sequence[Any], times: Sequence[float]) -> Tally:
    """What the rules alone count."""
    tally, counted = Tally(), dict[str, Counted]()
    for one in outcomes:
        tally, counted[one.id] = count(tally, one.label, at=one.at, now=NOW + 100)
        tally = average(tally, one)
    for new, now in zip(given, times, strict=True):
        old = counted[new.step_id]
        if replaces(new, old.label):
            tally, counted[new.step_id] = count(tally, new, at=old.at, now=now, old=old)
    return tally


@settings(max_examples=60, deadline=None)
@given(st.lists(labels, max_size=12))
def test_tallies_on_the_server_count_as_the_rule_says(connection: Connection, given: list[Any]) -> None:
    mine, outcomes = tenant(), [outcome(n) for n in range(4)]
    keep(connection, Remembrance(tenant=mine, thread="t", outcomes=tuple(outcomes)), now=NOW + 100)
    times = [NOW + 100 + n * 3600 for n in range(len(given))]
    for new, now in zip(given, times, strict=True):
        write_labels(connection, KEYS, mine, [new], now)
    counters = recalled(connection, mine, node="agent")["counters"]
    expected = expected_tally(outcomes, given, times)
    assert counters.kind["small"].labels == counters.node["small"].labels == expected.labels == 4
    assert counters.kind["small"].masses(NOW) == pytest.approx(expected.masses(NOW), abs=1e-9)
    assert counters.kind["small"].output_tokens == pytest.approx(expected.output_tokens)
    assert counters.node["small"] == counters.kind["small"]


@settings(max_examples=40, deadline=None)
@given(st.lists(labels, min_size=1, max_size=6), st.randoms())
def test_labels_in_any_order_end_in_the_same_verdict(connection: Connection, given: list[Any], random: Any) -> None:
    verdicts = []
    for _ in range(2):
        mine = tenant()
        random.shuffle(given)
        keep(connection, Remembrance(tenant=mine, thread="t", outcomes=tuple(outcome(n) for n in range(4))), now=NOW)
        write_labels(connection, KEYS, mine, [*given, *given], NOW + 10**6)
        verdicts.append(recalled(connection, mine)["counters"].kind["small"].masses(NOW + 10**6))
    assert verdicts[0] == pytest.approx(verdicts[1], rel=1e-9)


def test_a_label_that_comes_before_its_outcome_waits_for_it(connection: Connection) -> None:
    mine = tenant()
    early = label("step-0", Source.FEEDBACK, 0.0, NOW + 5)
    assert write_labels(connection, KEYS, mine, [early], NOW + 5) == [2]
    keep(connection, Remembrance(tenant=mine, thread="t", outcomes=(outcome(0),)), now=NOW + 6)
    tally = recalled(connection, mine)["counters"].kind["small"]
    assert (tally.successes, tally.failures) == pytest.approx((0.0, 1.0), abs=1e-4)
    assert write_labels(connection, KEYS, mine, [early], NOW + 7) == [0]


def test_records_of_a_newer_version_are_neither_read_nor_changed(connection: Connection) -> None:
    mine, update = tenant(), SessionUpdate(decided=Decided(step_id="s", at=NOW, kind="chat", model="small"))
    session, _ = Places(keys=KEYS, tenant=mine).session("t")
    connection.call(lambda client: client.hset(session, mapping={"v": VERSION + 1, "steps": "many"}))
    keep(connection, Remembrance(tenant=mine, thread="t", session=update))
    assert "newer steprouter (schema 2" in recalled(connection, mine)["session"].reason
    assert connection.call(lambda client: client.hgetall(session)) == {b"v": b"2", b"steps": b"many"}
