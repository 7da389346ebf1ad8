"""What a shadow probe leaves in memory: an outcome of its model, and nothing else; alike in Redis and in process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from remembering import EMBEDDER, NOW, recollection, seen_by_another, step, tenant

from steprouter.answering.agreement import Probed
from steprouter.answering.answer import Answer
from steprouter.answering.attempt import Attempt
from steprouter.memory.labels import Source, label
from steprouter.memory.learned import Learned
from steprouter.memory.outcomes import Counters
from steprouter.memory.remember import Ended, Remembrance, remember
from steprouter.memory.session import Session
from steprouter.models.card import Price
from steprouter.models.cost import Usage
from steprouter.step.step import Step
from steprouter.store import Connection, connect
from steprouter.store.embedded import EmbeddedServer
from steprouter.store.memory.recollection import Recollection, bytes_of

SMALL = Attempt(model="small", answer=Answer(text="Billing", finish="stop"), usage=Usage(output_tokens=4), seconds=0.5)
PRICES = {"small": Price(input=1, output=1)}


@pytest.fixture(scope="module")
def connection(server: EmbeddedServer) -> Iterator[Connection]:
    connection = connect(server.url, deadline_seconds=5.0)
    connection.open()
    yield connection
    connection.close()


@pytest.fixture(params=["memory", "redis"])
def memory(request: pytest.FixtureRequest, connection: Connection) -> Iterator[Recollection]:
    found = recollection(connection if request.param == "redis" else connect("memory"))
    yield found
    found.close()


def left(asked: Step, attempt: Attempt = SMALL, *, score: float | None = 1.0, expected: float = 0.9) -> Remembrance:
    """What a probe of a step leaves."""
    ended = Ended(
        step=replace(asked, id=f"{asked.id}-probe", started_at=NOW),
        attempts=(attempt,),
        answered_by=attempt,
        vector=bytes_of(EMBEDDER.embed("a text")),
        expected={"small": expected},
        charge=0.5,
        probe=Probed(of=asked.id, said="the same", score=score),
    )
    return remember(ended, PRICES, b"k")


def kept(memory: Recollection, *remembrances: Remembrance) -> None:
    for one in remembrances:
        memory.remember(one, NOW)
    memory.write(remembrances, NOW)


def test_a_probe_counts_for_its_model_and_for_nothing_else(memory):
    whose = tenant()
    asked = replace(step(whose), started_at=NOW)
    kept(memory, left(asked))
    found = seen_by_another(memory).recall(asked, EMBEDDER.embed("a text"))
    counters, learned, session = (found.section(name) for name in ("counters", "learned", "session"))
    assert isinstance(counters, Counters)
    assert isinstance(learned, Learned)
    for tallies in (counters.kind, counters.node):
        assert (tallies["small"].successes, tallies["small"].failures) == pytest.approx((0.7, 0.0))
    assert (counters.kind["small"].seen, counters.kind["small"].output_tokens) == (1, 4)
    assert (learned.ledger.decisions, learned.ledger.charged, learned.paces, learned.shifts) == (0, 0, {}, {})
    assert session == Session()
    assert memory.shares(whose, "t", NOW) == []


def test_probes_that_go_worse_than_expected_ring_the_alarm_and_need_no_decision_to(memory):
    whose = tenant()
    asked = replace(step(whose), started_at=NOW)
    many = [replace(asked, id=f"step-{n}") for n in range(14)]
    kept(memory, *(left(one, score=0.5, expected=0.97) for one in many))
    learned = seen_by_another(memory).recall(asked, EMBEDDER.embed("a text")).section("learned")
    assert isinstance(learned, Learned)
    assert learned.drift["small"].alarms == 1
    assert learned.is_frozen("small")


def test_a_probe_of_which_nothing_can_be_said_leaves_nothing(memory):
    whose = tenant()
    kept(memory, left(replace(step(whose), started_at=NOW), score=None))
    assert memory.knows(whose, "now-probe") is False


def test_a_verdict_on_a_probe_itself_takes_the_place_of_the_comparison(memory):
    whose = tenant()
    asked = replace(step(whose), started_at=NOW)
    kept(memory, left(asked))
    assert memory.label(whose, label("now-probe", Source.FEEDBACK, 0.0, NOW), NOW) == 1
    counters = seen_by_another(memory).recall(asked, EMBEDDER.embed("a text")).section("counters")
    assert isinstance(counters, Counters)
    assert (counters.kind["small"].successes, counters.kind["small"].failures) == pytest.approx((0.0, 1.0))
