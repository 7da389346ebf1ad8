"""What a process recalls and remembers is the same in its own memory and in Redis, in any order and among workers."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from remembering import (
    EMBEDDER,
    NOW,
    ended,
    evidence_of,
    keep,
    keys,
    recollection,
    seen_by_another,
    session_of,
    step,
    tallies_of,
    tenant,
)

from steprouter.errors import ConfigError, StoreError
from steprouter.memory.episodes import Share, spread
from steprouter.memory.labels import Label, Source, label
from steprouter.memory.session import Session, advance
from steprouter.store import Connection, Keys, Missing, connect, load_secret
from steprouter.store.embedded import EmbeddedServer
from steprouter.store.memory.recollection import Recollection
from steprouter.store.memory.schema import Places

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@pytest.fixture(scope="module")
def connection(server: EmbeddedServer) -> Iterator[Connection]:
    connection = connect(server.url, deadline_seconds=5.0)
    connection.open()
    yield connection
    connection.close()


@pytest.fixture(params=["memory", "redis"])
def memory(request: pytest.FixtureRequest, connection: Connection) -> Iterator[Recollection]:
    """Memory of this process, and in Redis."""
    found = recollection(connection if request.param == "redis" else connect("memory"))
    yield found
    found.close()


LABELS = st.builds(
    label,
    st.integers(0, 7).map(lambda number: f"step-{number}"),
    st.sampled_from(Source),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.integers(0, 3).map(lambda hours: NOW + 3600 * hours),
)
ENDED = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["small", "large"]),
        "score": st.sampled_from([0.0, 1.0]),
        "source": st.sampled_from([Source.NO_COMPLAINT, Source.FAILED_CHECK]),
        "labels": st.lists(LABELS, max_size=3),
        "escalated": st.booleans(),
    }
)


@settings(max_examples=40, deadline=None)
@given(st.lists(ENDED, min_size=1, max_size=7))
def test_the_same_steps_leave_the_same_in_both(connection: Connection, story: list[dict[str, Any]]) -> None:
    whose, local, shared = tenant(), recollection(connect("memory")), recollection(connection)
    for number, told in enumerate(story):
        for memory in (local, shared):
            keep(memory, ended(whose, number, **told), now=NOW + 100 + number)
    other = seen_by_another(shared)
    assert session_of(local, whose) == session_of(other, whose)
    assert tallies_of(local, whose) == close_to(tallies_of(other, whose))
    assert evidence_of(local, whose, "step-0") == close_to(evidence_of(other, whose, "step-0"))
    other.close()
    shared.close()


def close_to(value: Any) -> Any:
    """The same, but for the last digits of its numbers."""
    if isinstance(value, dict):
        return {name: close_to(one) for name, one in value.items()}
    return pytest.approx(value, abs=1e-9, rel=1e-6)


def test_a_step_knows_the_one_before_it_although_nothing_was_written(memory: Recollection) -> None:
    whose = tenant()
    first, second = ended(whose, 1), ended(whose, 2)
    memory.remember(first, NOW)
    memory.remember(second, NOW)
    assert first.session is not None
    assert second.session is not None
    assert session_of(memory, whose) == advance(advance(Session(), first.session), second.session)


async def test_an_async_step_recalls_what_a_sync_one_does(memory: Recollection) -> None:
    whose = tenant()
    keep(memory, ended(whose, 1), ended(whose, 2))
    nothing = Missing(reason="not embedded")
    found = await memory.arecall(step(whose), nothing)
    assert found.sections == memory.recall(step(whose), nothing).sections
    await memory.connection.aclose()


def test_a_step_outside_a_thread_has_no_session(memory: Recollection) -> None:
    found = memory.recall(step(tenant(), thread=None), Missing(reason="not embedded"))
    assert found.section("session") == Missing(reason="not kept", degraded=False)
    assert found.section("counters").kind == {}


def test_steps_that_are_remembered_again_change_nothing(memory: Recollection) -> None:
    whose = tenant()
    keep(memory, ended(whose, 1), ended(whose, 2))
    before = session_of(memory, whose), tallies_of(memory, whose)
    keep(memory, ended(whose, 1), ended(whose, 2))
    assert (session_of(seen_by_another(memory), whose), tallies_of(memory, whose)) == before


def add_steps(memory: Recollection, whose: str, numbers: range) -> None:
    """Adds steps to one thread, a few at a time."""
    for first in range(numbers.start, numbers.stop, 5):
        keep(memory, *(ended(whose, number) for number in range(first, min(first + 5, numbers.stop))))


def test_two_workers_on_one_thread_lose_no_update(memory: Recollection) -> None:
    whose, other = tenant(), seen_by_another(memory)
    workers = [
        threading.Thread(target=add_steps, args=(mine, whose, numbers))
        for mine, numbers in ((memory, range(200)), (other, range(200, 400)))
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert_all_are_there(seen_by_another(memory), whose)


def assert_all_are_there(memory: Recollection, whose: str) -> None:
    """All of four hundred steps are counted once."""
    session, tallies = session_of(memory, whose), tallies_of(memory, whose)
    assert (session.steps, session.spent_usd, session.updated_at) == (400, 100.0, NOW + 399)
    assert session.reference_usd == sum(range(400)) / 8
    assert [one.step_id for one in session.recent][:2] == ["step-399", "step-398"]
    assert (tallies["kind"]["small"]["labels"], tallies["node"]["small"]["seen"]) == (400, 400)


def work_elsewhere(url: str, whose: str, numbers: range) -> None:
    """What a process of its own does."""
    memory = recollection(connect(url, deadline_seconds=5.0))
    memory.connection.open()
    add_steps(memory, whose, numbers)
    memory.close()
    memory.connection.close()


def test_two_processes_on_one_thread_lose_no_update(server: EmbeddedServer, connection: Connection) -> None:
    whose, spawn = tenant(), multiprocessing.get_context("spawn")
    numbers = (range(200), range(200, 400))
    workers = [spawn.Process(target=work_elsewhere, args=(server.url, whose, mine)) for mine in numbers]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60.0)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert_all_are_there(recollection(connection), whose)


def verdict(score: float, at: float, source: Source = Source.FEEDBACK, number: int = 1) -> Label:
    return label(f"step-{number}", source, score, at)


def scores_of(memory: Recollection, whose: str) -> tuple[float, float]:
    """The masses of success and failure of the small model; the last digits have decayed."""
    tally = tallies_of(seen_by_another(memory), whose)["kind"]["small"]
    return round(tally["successes"], 2), round(tally["failures"], 2)


def test_a_verdict_before_its_step_waits_for_it(memory: Recollection) -> None:
    whose = tenant()
    assert memory.label(whose, verdict(0.0, NOW), NOW) == 2
    assert not memory.knows(whose, "step-1")
    keep(memory, ended(whose, 1))
    assert memory.knows(whose, "step-1")
    assert scores_of(memory, whose) == (0.0, 1.0)


def test_a_verdict_after_its_step_takes_the_place_of_a_lesser_one(memory: Recollection) -> None:
    whose = tenant()
    keep(memory, ended(whose, 1))
    assert scores_of(memory, whose) == (0.1, 0.0)
    assert memory.label(whose, verdict(0.0, NOW + 5), NOW + 100) == 1
    assert scores_of(memory, whose) == (0.0, 1.0)


def test_a_verdict_given_twice_counts_once(memory: Recollection) -> None:
    whose = tenant()
    keep(memory, ended(whose, 1))
    assert [memory.label(whose, verdict(0.0, NOW + 5), NOW + 100) for _ in range(3)] == [1, 0, 0]
    assert scores_of(memory, whose) == (0.0, 1.0)


def test_of_verdicts_out_of_order_the_latest_and_highest_stays(memory: Recollection) -> None:
    whose = tenant()
    keep(memory, ended(whose, 1))
    given = [verdict(1.0, NOW + 9), verdict(0.0, NOW + 5), verdict(0.0, NOW + 99, Source.TOOL)]
    assert [memory.label(whose, one, NOW + 100) for one in given] == [1, 0, 0]
    assert scores_of(memory, whose) == (1.0, 0.0)


def test_of_verdicts_before_their_step_the_latest_waits(memory: Recollection) -> None:
    whose = tenant()
    given = [verdict(1.0, NOW + 9), verdict(0.0, NOW + 5), verdict(0.0, NOW + 99, Source.TOOL)]
    assert [memory.label(whose, one, NOW + 100) for one in given] == [2, 0, 0]
    keep(memory, ended(whose, 1))
    assert scores_of(memory, whose) == (1.0, 0.0)


def test_a_verdict_on_a_thread_is_spread_over_steps_without_one_of_their_own(memory: Recollection) -> None:
    whose = tenant()
    keep(memory, ended(whose, 1), ended(whose, 2, model="large"), ended(whose, 3))
    memory.label(whose, verdict(1.0, NOW + 50, number=1), NOW + 100)
    shares = memory.shares(whose, "t", NOW + 100)
    expected = spread(0.0, shares, at=NOW + 100)
    assert memory.judge(whose, "t", 0.0, NOW + 100) == len(expected) == 2
    after = memory.shares(whose, "t", NOW + 100)
    assert [share.label for share in after[1:]] == list(expected)
    assert told(after[0]) == (Source.FEEDBACK, 1.0)


def told(share: Share) -> tuple[Source, float]:
    assert share.label is not None
    return share.label.source, share.label.score


def test_a_later_verdict_on_a_thread_replaces_an_earlier_one(memory: Recollection) -> None:
    whose = tenant()
    keep(memory, ended(whose, 1), ended(whose, 2))
    assert memory.judge(whose, "t", 0.0, NOW + 100) == 2
    assert memory.judge(whose, "t", 1.0, NOW + 90) == 0
    assert memory.judge(whose, "t", 1.0, NOW + 110) == 2
    assert [told(one) for one in memory.shares(whose, "t", NOW + 110)] == [(Source.EPISODE, 1.0)] * 2


def test_a_verdict_on_an_unknown_thread_is_refused(memory: Recollection) -> None:
    whose = tenant()
    keep(memory, ended(whose, 1))
    with pytest.raises(ConfigError, match="thread must have steps"):
        memory.judge(whose, "another", 1.0, NOW)
    with pytest.raises(ConfigError, match="thread must have steps"):
        memory.judge("another tenant", "t", 1.0, NOW)


def test_broken_and_newer_outcomes_have_no_share_in_a_verdict(connection: Connection) -> None:
    whose, memory = tenant(), recollection(connection)
    keep(memory, *(ended(whose, number) for number in range(5)))
    names = [Places(keys=keys(), tenant=whose).outcome(f"step-{number}") for number in range(4)]
    connection.call(lambda client: client.hdel(names[0], "source"))
    connection.call(lambda client: client.hset(names[1], "v", 99))
    connection.call(lambda client: client.hset(names[2], "source", "hearsay"))
    connection.call(lambda client: client.delete(names[3]))
    assert memory.judge(whose, "t", 0.5, NOW + 100) == 1


def test_an_outcome_of_a_newer_version_is_not_labelled(connection: Connection) -> None:
    whose, memory = tenant(), recollection(connection)
    keep(memory, ended(whose, 1))
    name = Places(keys=keys(), tenant=whose).outcome("step-1")
    connection.call(lambda client: client.hset(name, "v", 99))
    with pytest.raises(StoreError, match="newer steprouter"):
        memory.label(whose, verdict(1.0, NOW), NOW)


def in_a_child(work: Callable[[], bool]) -> bool:
    """Whether `work` holds in a forked child."""
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # a child that hangs is killed
        held = False
        try:
            held = work()
        finally:
            os._exit(0 if held else 1)
    return os.waitpid(child, 0)[1] == 0


def test_a_forked_child_goes_on_by_itself(memory: Recollection) -> None:
    whose = tenant()
    memory.remember(ended(whose, 1), NOW)  # waits in the parent, which will write it

    def work() -> bool:
        keep(memory, *(ended(whose, number) for number in range(2, 42)))
        return bool(session_of(memory, whose).steps == (41 if memory.is_local else 40))

    assert in_a_child(work)
    memory.write([ended(whose, 1)], NOW)
    assert session_of(seen_by_another(memory), whose).steps == (1 if memory.is_local else 41)


def test_a_child_forked_amid_a_look_into_memory_can_look_too() -> None:
    whose, memory = tenant(), recollection(connect("memory"))
    keep(memory, ended(whose, 1))
    with memory.local.alone:  # as another thread might hold it
        assert in_a_child(lambda: session_of(memory, whose).steps == 1)


def test_without_a_readable_key_file_memory_is_this_processes_and_says_so(
    connection: Connection, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("no key at all")
    whose = tenant()
    memory = recollection(connection, lambda: Keys(secret=load_secret(tmp_path, environment={})))
    keep(memory, ended(whose, 1))
    assert memory.is_local
    assert session_of(memory, whose).steps == 1
    told = memory.recall(step(whose), Missing(reason="not embedded")).degraded
    assert len(told) == 1 + 1  # and that the step was not embedded
    assert any("key file must hold" in one for one in told)
    assert session_of(recollection(connection), whose).steps == 0


def test_without_a_store_a_process_remembers_its_own_steps_and_says_why(tmp_path: Path) -> None:
    whose, memory = tenant(), recollection(connect(f"unix://{tmp_path}/nobody"))
    keep(memory, ended(whose, 1), ended(whose, 2))
    found = memory.recall(step(whose), EMBEDDER.embed("step-1"))
    assert found.section("session").steps == 2
    assert isinstance(found.section("store"), Missing)
    assert found.degraded
    with pytest.raises(StoreError, match="could not be kept"):
        memory.label(whose, verdict(1.0, NOW), NOW)
    with pytest.raises(StoreError, match="cannot be read"):
        memory.judge(whose, "t", 1.0, NOW)
    memory.close()
    memory.connection.close()


def test_memory_that_was_closed_is_opened_by_its_next_use(memory: Recollection) -> None:
    whose = tenant()
    keep(memory, ended(whose, 1))
    memory.close()
    keep(memory, ended(whose, 2))
    assert session_of(memory, whose).steps == 2
