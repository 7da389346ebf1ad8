"""What steps teach is the same in this process and in Redis, and stays when another process goes on."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from kept_records import KEYS, NOW, SPACE, vector

from steprouter.memory.calibration import BLOCK
from steprouter.memory.labels import Label, Source, label
from steprouter.memory.learned import FROZEN_DECISIONS, Gain, Learned
from steprouter.memory.local import LocalMemory
from steprouter.memory.outcomes import Counters, Remembered
from steprouter.memory.remember import Remembrance
from steprouter.models.cost import Usage
from steprouter.step.step import Place, Step, StepKind
from steprouter.store import Connection, connect
from steprouter.store.embedded import EmbeddedServer
from steprouter.store.memory.remote import RedisMemory

MODELS = ("small", "mid", "large")
STEP = Step(id="next", kind=StepKind.TOOL_CALL, place=Place(node="agent", thread="t"), started_at=NOW + 900)


def ended(number: int, rng: random.Random) -> Remembrance:
    """One ended step; some were refused by a check first."""
    at, node = NOW + number, rng.choice(["agent", None])
    refused, charge = rng.random() < 0.3, rng.choice([0.0, 0.0, 0.05])

    def attempt(name: str, given: bool) -> Remembered:
        source = Source.PASSED_CHECK if given else Source.FAILED_CHECK
        verdict = label(name, source, float(given), at, confidence=None if given else rng.choice([0.6, 0.9]))
        gain = Gain(kind="tool_call", charge=charge, node=node, begins=number % 7 == 0, bucket=number % 5, at=at)
        return Remembered(
            id=name,
            kind="tool_call",
            node=node,
            model=rng.choice(MODELS),
            at=at,
            vector=vector(1, 2, 3, 4),
            label=verdict,
            usage=Usage(input_tokens=7, output_tokens=5),
            seconds=1.0,
            expected=rng.choice([0.7, 0.9]),
            again=not given and rng.random() < 0.3,
            version=rng.choice([None, 1, 2]),
            gain=gain if given else None,
            given=given,
        )

    attempts = [attempt(f"s{number}", True)] + ([attempt(f"s{number}#0", False)] if refused else [])
    return Remembrance(tenant="acme", outcomes=tuple(attempts))


def later(number: int, rng: random.Random) -> Label:
    """A verdict on an earlier step."""
    of = rng.randrange(number + 1)
    source = rng.choice([Source.FEEDBACK, Source.TOOL, Source.RETRY])
    return label(f"s{of}", source, float(rng.random() < 0.6), NOW + number + 0.5)


@pytest.fixture
def connection(server: EmbeddedServer) -> Iterator[Connection]:
    opened = connect(server.url)
    opened.open()
    opened.call(lambda client: client.flushall(), deadline_seconds=5.0)
    yield opened
    opened.close()


@pytest.fixture
def remote(connection: Connection) -> Iterator[RedisMemory]:
    memory = RedisMemory(connection, KEYS, SPACE, models=MODELS)
    yield memory
    memory.close()


def close(one: Learned, other: Learned) -> None:
    """Both say the same of what the step asks about, up to rounding."""
    assert one.ledger.decisions == other.ledger.decisions
    assert one.ledger.charged == pytest.approx(other.ledger.charged)
    assert one.drift.keys() == other.drift.keys()
    for model, drift in one.drift.items():
        twin = other.drift[model]
        assert (drift.alarms, drift.frozen_until, drift.versions) == (twin.alarms, twin.frozen_until, twin.versions)
        assert (drift.statistic, drift.faded) == pytest.approx((twin.statistic, twin.faded))
    kind, pair = str(STEP.kind), (one, other)
    first, second = (learned.verifier(kind) for learned in pair)
    assert first.rates() == pytest.approx(second.rates())
    assert (first.caught, first.missed, first.wronged, first.cleared, first.passed) == pytest.approx(
        (second.caught, second.missed, second.wronged, second.cleared, second.passed)
    )
    assert one.remaining_steps("agent", 2) == pytest.approx(other.remaining_steps("agent", 2))
    assert one.weight(kind) == other.weight(kind)
    assert one.calibrations.keys() == other.calibrations.keys()
    for name, calibration in one.calibrations.items():
        twin = other.calibrations[name]
        assert calibration.verdicts == twin.verdicts
        assert (calibration.error, *calibration.gaps) == pytest.approx((twin.error, *twin.gaps))


def same_tallies(one: Counters, other: Counters) -> None:
    assert one.kind.keys() == other.kind.keys()
    for model, tally in one.kind.items():
        twin = other.kind[model]
        assert (tally.successes, tally.failures) == pytest.approx((twin.successes, twin.failures), abs=1e-6)


@pytest.mark.parametrize(("seed", "steps"), [(0, 60), (1, 60), (2, 60), (3, 280)])
def test_the_local_twin_and_redis_learn_the_same(remote: RedisMemory, seed: int, steps: int) -> None:
    rng, local = random.Random(seed), LocalMemory()
    for number in range(steps):
        one, verdict, now = ended(number, rng), later(number, rng), NOW + number + 1
        local.remember(one, now)
        assert remote.write([one], now) is None
        local.label("acme", verdict, now)
        remote.label("acme", [verdict], now)
    place = Place(tenant="acme", node="agent", thread="t")
    step = Step(id="next", kind=StepKind.TOOL_CALL, place=place, started_at=NOW + 900)
    fresh = RedisMemory(remote.connection, KEYS, SPACE, models=MODELS)
    found = fresh.recall(step, None)
    close(local.learned("acme"), found["learned"])
    assert (found["learned"].calibrations["tool_call"].error > 0) == (steps > BLOCK)
    same_tallies(local.counters(step), found["counters"])
    fresh.close()


def test_a_step_written_twice_teaches_once(remote: RedisMemory) -> None:
    one = ended(0, random.Random(1))
    for _ in range(3):
        assert remote.write([one], NOW) is None
    place = Place(tenant="acme", node="agent", thread="t")
    found = RedisMemory(remote.connection, KEYS, SPACE, models=MODELS).recall(
        Step(id="n", kind=StepKind.TOOL_CALL, place=place, started_at=NOW + 9), None
    )
    assert found["learned"].ledger.decisions == 1


def test_a_model_that_keeps_failing_rings_and_is_frozen_for_a_while() -> None:
    local = LocalMemory()
    for number in range(12):
        step_id, at = f"f{number}", NOW + number
        one = Remembered(
            id=step_id,
            kind="chat",
            node=None,
            model="small",
            at=at,
            label=label(step_id, Source.NO_COMPLAINT, 1.0, at),
            expected=0.9,
            gain=Gain(kind="chat", at=at),
        )
        local.remember(Remembrance(tenant="acme", outcomes=(one,)), at)
        local.label("acme", label(step_id, Source.FEEDBACK, 0.0, at), at)
    learned = local.learned("acme")
    drift = learned.drift["small"]
    assert (drift.alarms, learned.is_frozen("small"), learned.is_frozen("large")) == (1, True, False)
    assert drift.frozen_until <= learned.ledger.decisions + FROZEN_DECISIONS
    for _ in range(FROZEN_DECISIONS + 1):
        learned = Learned(ledger=learned.ledger.after(0.0), drift=learned.drift)
    assert not learned.is_frozen("small")
