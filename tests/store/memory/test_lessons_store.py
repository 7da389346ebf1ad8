"""Lessons where they are kept: the same rules in Redis and in the process, read and deleted by people."""

from __future__ import annotations

from dataclasses import replace
from itertools import count as counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from steprouter.answering.answer import ToolCall
from steprouter.errors import StoreError
from steprouter.memory.drafts import Draft
from steprouter.memory.effect import Verdict
from steprouter.memory.labels import Label, Source, label
from steprouter.memory.lessons import AtHand, Lesson, Lessons
from steprouter.memory.outcomes import Remembered
from steprouter.memory.recall import Missing
from steprouter.memory.remember import Remembrance
from steprouter.models.card import Tier
from steprouter.step.step import Evidence, Place, Step, StepKind
from steprouter.store import Keys, connect
from steprouter.store.embedded import EmbeddedServer
from steprouter.store.memory.lessons import STALE_SECONDS, WHOLE_SECONDS
from steprouter.store.memory.patient import answers
from steprouter.store.memory.recollection import Recollection
from steprouter.store.memory.schema import Places

KEYS = Keys(secret=b"k" * 32)
EMBEDDER: Any = SimpleNamespace(identity="test/2", dimension=2, blocks=False)
NOW = 1_800_000_000.0
VECTOR = np.array([1, 0], dtype=np.float32)
SERIAL = counter()
FAKE_KEY = "sk-" + "proj-" + "a1B2c3D4e5F6g7H8" * 3


@pytest.fixture(params=["redis", "memory"])
def store(request: pytest.FixtureRequest, server: EmbeddedServer) -> str:
    return server.url if request.param == "redis" else "memory"


def recollection(store: str, **policy: Any) -> Recollection:
    found = Recollection(connect(store), lambda: KEYS, EMBEDDER, models=["small"], lessons=Lessons(**policy))
    if store != "memory":
        found.connection.call(lambda client: client.ping(), deadline_seconds=5.0)
    return found


def tenant() -> str:
    return f"tenant of lessons {next(SERIAL)}"


def outcome(name: str, model: str = "large", **fields: Any) -> Remembered:
    first = fields.pop("first", label(name, Source.PASSED_CHECK, 1.0, NOW))
    return Remembered(id=name, kind="tool_call", node=None, model=model, at=NOW, label=first, **fields)


def solved(whose: str, name: str, *, task: str = "open orders?", thread: str = "t", user: str | None = None,
           angle: float = 0.0) -> Remembrance:  # fmt: skip
    """What a step leaves that a strong model solved."""
    direction = np.array([np.cos(angle), np.sin(angle)], dtype="<f4").tobytes()
    lesson = Lesson(id=name, kind="tool_call", task="", tools=("orders",), model="large", tier=Tier.HIGH, at=NOW,
                    thread=thread, user=user, vector=direction)  # fmt: skip
    call = ToolCall(id="c", name="orders", args={"status": "OPEN"}, raw="{}")
    draft = Draft(lesson=lesson, task=task, calls=(call,))
    return Remembrance(tenant=whose, outcomes=(outcome(name, thread=thread, user=user),), draft=draft)


def brought(whose: str, *labels: Label, results: str = "") -> Remembrance:
    """What the next step leaves: verdicts, and what the tools gave."""
    return Remembrance(tenant=whose, labels=labels, results=results)


def leave(memory: Recollection, *batch: Remembrance, now: float = NOW) -> None:
    """As the engine does when steps end."""
    for one in batch:
        memory.remember(one, now)
    memory.write(batch, now)


def right(name: str, source: Source = Source.TOOL, score: float = 1.0, at: float = NOW + 1) -> Label:
    return label(name, source, score, at)


def step(whose: str, *, thread: str = "other", user: str | None = None, now: float = NOW) -> Step:
    return Step(
        id="new",
        kind=StepKind.TOOL_CALL,
        place=Place(tenant=whose, thread=thread, user=user),
        evidence=Evidence(turns=1),
        tool_names=("orders",),
        started_at=now,
    )


def shown(memory: Recollection, new: Step) -> list[Lesson]:
    """The lessons at hand for a step; a process reads them when the first such step has ended."""
    kept = memory.kept_lessons
    assert kept is not None
    found = kept.at_hand(new, VECTOR)
    memory.write([Remembrance(tenant=new.place.tenant)], new.started_at)
    if isinstance(found, Missing):
        found = kept.at_hand(new, VECTOR)
    return list(found.lessons) if isinstance(found, AtHand) else []


def test_a_solved_step_becomes_a_lesson_when_its_tools_succeed(store):
    memory, whose = recollection(store), tenant()
    leave(memory, solved(whose, "s1"))
    assert (memory.list_lessons(whose), shown(memory, step(whose))) == ([], [])
    leave(memory, brought(whose, right("s1"), results="12 open, says ann@example.org"))
    [lesson] = memory.list_lessons(whose)
    assert (lesson.task, lesson.approach) == ("open orders?", 'orders({"status":"OPEN"})')
    assert (lesson.result, lesson.verified) == ("12 open, says <email>", Source.TOOL)
    assert [one.id for one in shown(memory, step(whose))] == [lesson.id]


def test_a_lesson_whose_verdict_and_solution_are_written_together_has_its_result(store):
    memory, whose = recollection(store), tenant()
    leave(memory, solved(whose, "s1"), brought(whose, right("s1"), results="12 open"))
    assert [one.result for one in memory.list_lessons(whose)] == ["12 open"]


@pytest.mark.parametrize("source", [Source.NO_COMPLAINT, Source.PASSED_CHECK, Source.EPISODE])
def test_what_is_only_not_known_to_be_wrong_becomes_no_lesson(store, source):
    memory, whose = recollection(store), tenant()
    leave(memory, solved(whose, "s1"), brought(whose, right("s1", source)))
    assert memory.list_lessons(whose) == []


def test_a_person_makes_a_lesson_and_a_person_takes_it_back(store):
    memory, whose = recollection(store), tenant()
    leave(memory, solved(whose, "s1"))
    memory.label(whose, right("s1", Source.FEEDBACK), NOW + 1)
    assert [one.verified for one in memory.list_lessons(whose)] == [Source.FEEDBACK]
    memory.label(whose, right("s1", Source.FEEDBACK, 0.0, NOW + 2), NOW + 2)
    assert (memory.list_lessons(whose), shown(memory, step(whose))) == ([], [])


def test_a_verdict_of_lower_rank_takes_no_lesson_back(store):
    memory, whose = recollection(store), tenant()
    leave(memory, solved(whose, "s1"), brought(whose, right("s1", Source.FEEDBACK)))
    leave(memory, brought(whose, right("s1", Source.RETRY, 0.0, NOW + 9)))
    assert len(memory.list_lessons(whose)) == 1


def test_a_verdict_that_came_before_the_solution_counts_all_the_same(store):
    memory, whose = recollection(store), tenant()
    memory.label(whose, right("s1", Source.FEEDBACK), NOW)
    leave(memory, solved(whose, "s1"))
    assert len(memory.list_lessons(whose)) == 1


def test_writing_the_same_again_changes_nothing(store):
    memory, whose = recollection(store), tenant()
    batch = (solved(whose, "s1"), brought(whose, right("s1"), results="12"))
    leave(memory, *batch)
    before = memory.list_lessons(whose)
    leave(memory, *batch)
    assert memory.list_lessons(whose) == before


def test_another_tenant_thread_or_user_is_handled_as_the_policy_says(store):
    memory, whose = recollection(store), tenant()
    leave(memory, solved(whose, "s1", user="ann"), brought(whose, right("s1")))
    assert len(shown(memory, step(whose, user="ann"))) == 1
    assert shown(memory, step(tenant(), user="ann")) == []
    assert shown(memory, step(whose, user="bob")) == []
    assert shown(memory, step(whose, user="ann", thread="t")) == []


def test_a_deleted_lesson_is_neither_listed_nor_shown(store):
    memory, whose = recollection(store), tenant()
    leave(memory, solved(whose, "s1"), brought(whose, right("s1")))
    [lesson] = shown(memory, step(whose))
    assert memory.delete_lesson(whose, lesson.id)
    assert (memory.list_lessons(whose), shown(memory, step(whose))) == ([], [])
    assert not memory.delete_lesson(whose, lesson.id)


def test_another_tenant_deletes_nothing_of_ours(store):
    memory, whose = recollection(store), tenant()
    leave(memory, solved(whose, "s1"), brought(whose, right("s1")))
    [lesson] = memory.list_lessons(whose)
    assert not memory.delete_lesson(tenant(), lesson.id)
    assert len(memory.list_lessons(whose)) == 1


def tried(whose: str, name: str, lesson_id: str, *, was_shown: bool, good: bool) -> Remembrance:
    """A step of a small model with a lesson at hand."""
    first = label(name, Source.PASSED_CHECK if good else Source.FAILED_CHECK, float(good), NOW)
    one = outcome(name, "small", first=first, lesson=was_shown, example=lesson_id)
    return Remembrance(tenant=whose, outcomes=(one,), labels=(right(name, Source.FEEDBACK, float(good)),))


def test_steps_with_and_without_a_lesson_are_counted_apart_and_relabelled(store):
    memory, whose = recollection(store), tenant()
    leave(
        memory, tried(whose, "a", "l1", was_shown=True, good=True), tried(whose, "b", "l1", was_shown=False, good=False)
    )
    leave(memory, tried(whose, "c", "l2", was_shown=True, good=True))
    memory.label(whose, right("c", Source.FEEDBACK, 0.0, NOW + 9), NOW)
    effect = memory.lesson_effects(whose)["tool_call"]
    masses = [t.masses(NOW) for t in (effect.shown, effect.withheld, effect.lessons["l1"], effect.lessons["l2"])]
    assert np.array(masses) == pytest.approx(np.array([(1, 1), (0, 1), (1, 0), (0, 1)]), abs=0.01)


def test_lessons_that_do_harm_are_switched_off_for_their_kind(store, caplog):
    memory, whose = recollection(store), tenant()
    leave(memory, solved(whose, "s1"), brought(whose, right("s1")))
    [lesson] = shown(memory, step(whose))
    tries = [tried(whose, f"{n}", "gone", was_shown=n % 2 == 0, good=n % 2 == 1) for n in range(80)]
    leave(memory, *tries)
    assert memory.lesson_effects(whose)["tool_call"].verdict(NOW) is Verdict.HARMFUL
    later = step(whose, now=NOW + WHOLE_SECONDS)
    shown(memory, later)
    assert shown(memory, later) == []
    assert [one.id for one in memory.list_lessons(whose)] == [lesson.id]


def test_a_lesson_that_does_worse_than_none_is_deleted(store):
    memory, whose = recollection(store), tenant()
    leave(memory, solved(whose, "s1"), brought(whose, right("s1")))
    [lesson] = shown(memory, step(whose))
    leave(memory, *(tried(whose, f"{n}", lesson.id, was_shown=n % 2 == 0, good=n % 2 == 1) for n in range(20)))
    shown(memory, step(whose, now=NOW + WHOLE_SECONDS))
    assert memory.list_lessons(whose) == []


def test_beyond_the_cap_the_least_useful_lessons_go(store):
    memory, whose = recollection(store, per_kind=2), tenant()
    shown(memory, step(whose))
    for n in range(4):
        leave(memory, solved(whose, f"s{n}", angle=n / 2), brought(whose, right(f"s{n}")))
    assert len(memory.list_lessons(whose)) == 2


def test_nearly_the_same_task_is_kept_once(store):
    memory, whose = recollection(store), tenant()
    shown(memory, step(whose))
    for name in ("s1", "s2"):
        leave(memory, solved(whose, name), brought(whose, right(name)))
    assert len(memory.list_lessons(whose)) == 1


# What only a shared store can do.


def values(memory: Recollection, pattern: str) -> bytes:
    """Everything under the keys of a pattern, names included."""

    def dump(client: Any) -> bytes:
        names = list(client.scan_iter(match=pattern, count=1000))
        return b"\n".join(name + repr(client.dump(name)).encode() + repr(read(client, name)).encode() for name in names)

    def read(client: Any, name: bytes) -> Any:
        return client.hgetall(name) if client.type(name) == b"hash" else client.zrange(name, 0, -1)

    found = memory.connection.call(dump, deadline_seconds=5.0)
    assert isinstance(found, bytes)
    return found


def test_no_secret_and_no_address_ever_reaches_redis(server):
    memory, whose = recollection(server.url), tenant()
    task = f"mail ann@example.org the key {FAKE_KEY}"
    leave(memory, solved(whose, "s1", task=task, user="ann"))
    leave(memory, brought(whose, right("s1"), results=f"sent to ann@example.org with {FAKE_KEY}"))
    kept = values(memory, f"*{KEYS.tenant_tag(whose)}*")
    assert b"<email-1>" in kept
    assert not any(secret.encode() in kept for secret in (FAKE_KEY, FAKE_KEY[:20], "ann@example", whose))


def test_what_is_not_verified_within_a_day_is_gone_and_a_lesson_after_ninety(server):
    memory, whose = recollection(server.url), tenant()
    leave(memory, solved(whose, "s1"), solved(whose, "s2"), brought(whose, right("s2")))
    places = Places(keys=KEYS, tenant=whose)
    lives: Any = answers(memory.connection, *(("TTL", places.lesson(one)) for one in ("s1", "s2")))
    assert [round(seconds / 3600 / 24) for seconds in lives] == [1, 90]


def test_forgetting_finds_a_lesson_by_tenant_thread_and_user(server):
    memory, whose = recollection(server.url), tenant()
    leave(memory, solved(whose, "s1", thread="t", user="ann"))
    key = Places(keys=KEYS, tenant=whose).lesson("s1")
    kept: Any = memory.connection.call(lambda client: client.hmget(key, "v", "tenant", "thread", "user"))
    assert kept[1:] == [
        one.encode() for one in (KEYS.tenant_tag(whose), KEYS.id_tag(whose, "t"), KEYS.id_tag(whose, "ann"))
    ]
    assert key.startswith(f"sr:lesson:{{t:{KEYS.tenant_tag(whose)}}}:")


def test_another_process_reads_lessons_beside_its_first_step_and_shows_them_in_the_next(server):
    memory, other, whose = recollection(server.url), recollection(server.url), tenant()
    leave(memory, solved(whose, "s1"), brought(whose, right("s1")))
    assert other.kept_lessons.at_hand(step(whose), VECTOR).reason == "lessons are being loaded"
    other.write([Remembrance(tenant=whose)], NOW)
    assert len(other.kept_lessons.at_hand(step(whose), VECTOR).lessons) == 1


def test_a_process_that_slept_shows_nothing_that_may_have_been_deleted_meanwhile(server):
    memory, other, whose = recollection(server.url), recollection(server.url), tenant()
    leave(memory, solved(whose, "s1"), brought(whose, right("s1")))
    [lesson] = shown(other, step(whose))
    memory.delete_lesson(whose, lesson.id)
    later = step(whose, now=NOW + STALE_SECONDS + 1)
    assert isinstance(other.kept_lessons.at_hand(later, VECTOR), Missing)
    assert shown(other, later) == []


def test_a_record_that_was_deleted_alone_is_found_to_be_gone(server):
    memory, whose = recollection(server.url), tenant()
    leave(memory, solved(whose, "s1"), brought(whose, right("s1")))
    assert len(shown(memory, step(whose))) == 1
    places = Places(keys=KEYS, tenant=whose)
    memory.connection.call(lambda client: client.delete(places.lesson("s1")))
    later = step(whose, now=NOW + WHOLE_SECONDS + 1)
    shown(memory, later)
    assert shown(memory, later) == []
    assert memory.connection.call(lambda client: client.zcard(places.lessons("tool_call"))) == 0


def test_a_lesson_of_a_newer_version_is_neither_read_nor_changed(server):
    memory, whose = recollection(server.url), tenant()
    leave(memory, solved(whose, "s1"), brought(whose, right("s1")))
    places = Places(keys=KEYS, tenant=whose)
    memory.connection.call(lambda client: client.hset(places.lesson("s1"), "v", "99"))
    assert (memory.list_lessons(whose), shown(memory, step(whose))) == ([], [])
    memory.label(whose, right("s1", Source.FEEDBACK, 0.0, NOW + 5), NOW)
    assert memory.connection.call(lambda client: client.exists(places.lesson("s1"))) == 1
    assert memory.connection.call(lambda client: client.zcard(places.lessons("tool_call"))) == 1


def test_a_broken_lesson_is_left_out_and_the_others_are_shown(server):
    memory, whose = recollection(server.url), tenant()
    leave(memory, *(solved(whose, f"s{n}", angle=n / 3) for n in range(2)), brought(whose, right("s0"), right("s1")))
    places = Places(keys=KEYS, tenant=whose)
    memory.connection.call(lambda client: client.hset(places.lesson("s0"), "tools", "not json"))
    assert [one.id for one in memory.list_lessons(whose)] == [places.lesson("s1").rpartition(":")[2]]


def test_without_the_store_a_step_goes_on_and_a_person_is_told(data_dir):
    memory = Recollection(connect("redis://127.0.0.1:1"), lambda: KEYS, EMBEDDER, lessons=Lessons())
    leave(memory, solved("acme", "s1"), brought("acme", right("s1")))
    assert isinstance(memory.kept_lessons.at_hand(step("acme"), VECTOR), Missing)
    with pytest.raises(StoreError, match="cannot be read"):
        memory.list_lessons("acme")


def test_a_shorter_budget_of_another_router_leaves_out_results_and_then_lessons(server):
    memory, whose = recollection(server.url), tenant()
    leave(memory, solved(whose, "s1"), brought(whose, right("s1"), results="word " * 200))
    [lesson] = shown(memory, step(whose))
    [shorter] = shown(recollection(server.url, tokens=100), step(whose))
    assert (lesson.tokens <= 400, shorter.tokens <= 100) == (True, True)
    assert replace(shorter, result="", tokens=0) == replace(lesson, result="", tokens=0)
