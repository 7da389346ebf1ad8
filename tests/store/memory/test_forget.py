"""What is to be forgotten is gone from every key and value, and what is another's is untouched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from kept_records import EMBEDDER, KEYS, NOW, SPACE, everything, keep_all_sorts, keep_step, mentions, outcome, trace

from steprouter.memory.face import Forgotten
from steprouter.memory.labels import Source, label
from steprouter.memory.neighbours import Neighbourhood
from steprouter.memory.remember import Remembrance
from steprouter.memory.session import Decided, SessionUpdate
from steprouter.store import Connection, Keys, connect
from steprouter.store.embedded import EmbeddedServer
from steprouter.store.memory.custody import Custody
from steprouter.store.memory.recollection import Recollection
from steprouter.store.memory.schema import Places
from steprouter.store.memory.write import write_labels
from steprouter.store.traces import MemoryTraces, RedisTraces

HOSTILE = (
    *(
        "*",
        "?",
        "[a-z]",
        "{}",
        "{t:*}",
        "|",
        ":",
        "",
        "\0",
        '"',
        "'",
        "\\",
        "a\r\nb",
        "é漢😀\u202e",
        "\ud800",
        "x" * 10_240,
    ),
)


class Embeds:
    """An embedder that is never asked."""

    identity, dimension, blocks = EMBEDDER, SPACE.dimension, False

    def embed(self, text: str) -> Any:
        raise AssertionError(text)


@pytest.fixture
def connection(server: EmbeddedServer) -> Iterator[Connection]:
    """The shared server, emptied."""
    connection = connect(server.url, deadline_seconds=5.0)
    connection.call(lambda client: client.flushall())
    yield connection
    connection.call(lambda client: client.flushall())
    connection.close()


@pytest.fixture
def custody(connection: Connection) -> Iterator[Custody]:
    recollection = Recollection(connection, lambda: KEYS, Embeds())
    yield Custody(recollection, lambda: RedisTraces(connection, KEYS), lambda: NOW)
    recollection.close()


def tags(tenant: str, *ids: str) -> list[str]:
    return [KEYS.id_tag(tenant, one) for one in ids]


def test_forgetting_a_thread_leaves_its_name_in_no_key_and_no_value(connection: Connection, custody: Custody) -> None:
    keep_all_sorts(connection, "acme", thread="secret-thread", user="ann", step="s1")
    told = custody.forget("acme", thread="secret-thread")
    assert told.left == 0
    ones = dict.fromkeys(("cache_entries", "journals", "lessons", "outcomes", "pending_labels", "sessions"), 1)
    assert told.erased == {**ones, "lists": 4, "traces": 2}
    assert mentions(connection, "secret-thread", *tags("acme", "secret-thread", "s1", "s1-failed")) == []


def test_forgetting_a_user_leaves_its_name_in_no_key_and_no_value(connection: Connection, custody: Custody) -> None:
    keep_all_sorts(connection, "acme", thread="t", user="secret-user", step="s1")
    keep_step(connection, "acme", "s2", thread=None, user="secret-user")
    told = custody.forget("acme", user="secret-user")
    assert (told.left, told.erased["outcomes"], told.erased["traces"]) == (0, 2, 3)
    assert mentions(connection, *tags("acme", "secret-user", "t", "s1", "s2", "s1-failed")) == []


def test_the_tallies_of_a_forgotten_thread_stay(connection: Connection, custody: Custody) -> None:
    keep_all_sorts(connection, "acme", thread="t", user="ann", step="s1")
    before = custody.overview("acme").standings
    custody.forget("acme", thread="t")
    after = custody.overview("acme")
    assert (after.standings, after.outcomes) == (before, {})


def test_forgetting_a_tenant_leaves_no_key_of_it_and_all_of_others(connection: Connection, custody: Custody) -> None:
    for tenant in ("acme", "rival"):
        keep_all_sorts(connection, tenant, thread="t", user="ann", step="s1")
    rivals = {key: said for key, said in everything(connection).items() if KEYS.tenant_tag("rival").encode() in key}
    told = custody.forget("acme")
    assert (told.left, told.erased["tallies"], told.erased["budgets"]) == (0, 2, 1)
    assert everything(connection) == rivals


def test_other_threads_users_and_tenants_keep_all_they_have(connection: Connection, custody: Custody) -> None:
    keep_all_sorts(connection, "acme", thread="t2", user="bob", step="s2")
    keep_all_sorts(connection, "rival", thread="t1", user="ann", step="s1")
    before = everything(connection)
    keep_all_sorts(connection, "acme", thread="t1", user="ann", step="s1")
    custody.forget("acme", thread="t1", user="ann")
    after = everything(connection)
    assert after.keys() == before.keys()
    changed = {key.rpartition(b":")[2] for key in after if after[key] != before[key]}
    assert changed <= {b"counters-chat", b"learned", KEYS.id_tag("acme", "agent").encode()}


def test_in_a_shared_thread_only_what_names_another_user_stays(connection: Connection, custody: Custody) -> None:
    keep_step(connection, "acme", "anns", thread="t", user="ann")
    keep_step(connection, "acme", "bobs", thread="t", user="bob")
    keep_step(connection, "acme", "nobodys", thread="t", user=None)
    keep_step(connection, "acme", "elsewhere", thread="other", user=None)
    assert custody.forget("acme", user="ann").left == 0
    traces = RedisTraces(connection, KEYS)
    kept = [step for step in ("anns", "bobs", "nobodys", "elsewhere") if traces.step("acme", step) is not None]
    assert kept == ["bobs", "elsewhere"]
    assert sorted((line.thread, line.steps) for line in traces.threads("acme")) == [("other", 1), ("t", 1)]
    assert custody.overview("acme").outcomes == {"chat": 2}
    assert custody.session("acme", "t").steps == 0
    assert mentions(connection, *tags("acme", "ann", "anns", "nobodys")) == []


@pytest.mark.parametrize("one", HOSTILE, ids=lambda one: ascii(one[:12]))
def test_a_hostile_id_erases_its_own_records_and_no_others(connection: Connection, custody: Custody, one: str) -> None:
    keep_step(connection, "acme", "theirs", thread="t", user="ann")
    before = set(everything(connection))
    keep_all_sorts(connection, one, thread=one, user=one, step="mine")
    assert custody.forget(one, thread=one, user=one).left == 0
    assert mentions(connection, *tags(one, one)) == []
    if one:
        assert custody.forget(one).left == 0
        assert set(everything(connection)) == before


def test_forgetting_what_was_never_there_erases_nothing(connection: Connection, custody: Custody) -> None:
    keep_all_sorts(connection, "acme", thread="t", user="ann", step="s1")
    before = everything(connection)
    assert custody.forget("acme", thread="unknown", user="nobody") == Forgotten()
    assert custody.forget("nobody") == Forgotten()
    assert everything(connection) == before


def test_a_node_called_as_the_user_keeps_its_tallies(connection: Connection, custody: Custody) -> None:
    keep_step(connection, "acme", "s1", thread="t", user="agent", node="agent")
    custody.forget("acme", user="agent", thread="agent")
    places = Places(keys=KEYS, tenant="acme")
    assert places.counters("chat", "agent").encode() in everything(connection)


def test_what_a_newer_version_wrote_is_erased_too(connection: Connection, custody: Custody) -> None:
    keep_step(connection, "acme", "s1", thread="t", user="ann")
    places, tag = Places(keys=KEYS, tenant="acme"), KEYS.id_tag("acme", "t")
    connection.call(lambda client: client.hset(places.outcome("s1"), "v", "9"))
    connection.call(lambda client: client.hset(places.session("t")[0], "v", "9"))
    connection.call(lambda client: client.hset(KEYS.tenant("acme", "novelty", "t"), "v", "9"))
    connection.call(lambda client: client.hset(KEYS.record("acme", "dream", "x"), mapping={"v": "9", "thread": tag}))
    told = custody.forget("acme", thread="t")
    assert (told.left, told.erased["novelty"], told.erased["dream"]) == (0, 1, 1)
    assert mentions(connection, tag) == []


@pytest.mark.parametrize("thread", ['odd "thread"\u202e', "\\", '\\"', '"thread": "small"', "\ud800", '"' * 9_999])
def test_a_trace_whose_threads_list_was_evicted_is_found(connection: Connection, custody: Custody, thread: str) -> None:
    steps = {"s1": thread, "s2": "small", "s3": thread + '"', "s4": None}
    assert RedisTraces(connection, KEYS).write([trace("acme", step, one) for step, one in steps.items()]) == 4
    connection.call(lambda client: client.delete(KEYS.tenant("acme", "steps", thread)))
    assert custody.forget("acme", thread=thread).erased == {"lists": 1, "traces": 1}
    assert [one for one in steps if RedisTraces(connection, KEYS).step("acme", one) is None] == ["s1"]


def test_broken_records_of_other_types_do_not_stop_an_erasure(connection: Connection, custody: Custody) -> None:
    keep_step(connection, "acme", "s1", thread="t", user="ann")
    connection.call(lambda client: client.set(Places(keys=KEYS, tenant="acme").outcome("odd"), "no hash"))
    connection.call(lambda client: client.set(KEYS.tenant("acme", "session", "odd"), "no hash"))
    connection.call(lambda client: client.hset(KEYS.tenant("acme", "step", "odd"), "no", "string"))
    assert custody.forget("acme", thread="t", user="ann").left == 0
    assert custody.forget("acme").left == 0
    assert everything(connection) == {}


def test_a_step_that_waits_to_be_written_does_not_bring_it_back(connection: Connection, custody: Custody) -> None:
    remote = custody.recollection.redis()
    update = SessionUpdate(decided=Decided(step_id="s1", at=NOW, kind="chat", model="small"))
    late = [
        Remembrance(tenant="acme", thread="t", session=update, outcomes=(outcome("s1", thread="t", user=None),)),
        Remembrance(tenant="acme", thread="u", user="ann", outcomes=(outcome("s2", thread="u", user="ann"),)),
        Remembrance(tenant="acme", thread="v", user="bob", outcomes=(outcome("s3", thread="v", user="bob"),)),
    ]
    remote.remember(late[0])
    remote.waiting = list(late)
    custody.forget("acme", thread="t", user="ann")
    assert (remote.waiting, remote.known, remote.unseen) == ([late[2]], {}, {})
    assert remote.write((), NOW) is None
    assert mentions(connection, *tags("acme", "t", "u", "ann")) == []


def test_forgetting_a_tenant_empties_what_this_process_knew_of_it(connection: Connection, custody: Custody) -> None:
    remote = custody.recollection.redis()
    for tenant in ("acme", "rival"):
        keep_step(connection, tenant, "s1", thread="t", user="ann")
        remote.snapshots.refresh_now(tenant, "chat")
    custody.forget("acme")
    assert [name[0] for name in remote.snapshots.held] == ["rival"]
    found = remote.snapshots.refresh_now("acme", "chat")
    assert isinstance(found, Neighbourhood)
    assert len(found) == 0


def test_lists_keep_no_place_of_what_was_erased(connection: Connection, custody: Custody) -> None:
    keep_all_sorts(connection, "acme", thread="t", user="ann", step="s1")
    keep_step(connection, "acme", "s2", thread="u", user="bob")
    custody.forget("acme", user="ann")
    places = Places(keys=KEYS, tenant="acme")
    kept = everything(connection)
    assert kept[places.outcomes("chat").encode()] == repr([KEYS.id_tag("acme", "s2").encode()]).encode()
    assert places.lessons("chat").encode() not in kept
    assert b"with" in kept[places.effect("chat").encode()]


def test_more_records_than_one_round_trip_takes_are_all_erased(connection: Connection, custody: Custody) -> None:
    from steprouter.store.memory.write import write

    batch = [
        Remembrance(tenant="acme", thread="t", outcomes=(outcome(f"s{number}", thread="t", user="ann"),))
        for number in range(700)
    ]
    assert write(connection, KEYS, SPACE, batch, NOW) is None
    assert custody.forget("acme", thread="t") == Forgotten(erased={"lists": 1, "outcomes": 700})
    assert mentions(connection, *tags("acme", "t", "ann")) == []


def test_memory_of_this_process_forgets_by_the_same_rules() -> None:
    traces, memory = MemoryTraces(), Recollection(connect("memory"), lambda: Keys(secret=b"x" * 32), Embeds())
    custody = Custody(memory, lambda: traces, lambda: NOW)
    owners = {
        "anns": ("t", "ann"),
        "bobs": ("t", "bob"),
        "nobodys": ("t", None),
        "alone": (None, "ann"),
        "u": ("u", "bob"),
    }
    for step, (thread, user) in owners.items():
        memory.local.remember(Remembrance(tenant="acme", outcomes=(outcome(step, thread=thread, user=user),)), NOW)
        traces.write([trace("acme", step, thread)])
    memory.local.label("acme", label("early", Source.TOOL, 1.0, NOW), NOW)
    assert custody.forget("acme", user="ann").erased == {"outcomes": 3, "traces": 3}
    assert [step for step in owners if traces.step("acme", step) is not None] == ["bobs", "u"]
    assert custody.forget("acme", thread="u").erased == {"outcomes": 1, "traces": 1}
    assert custody.forget("acme").erased == {"outcomes": 1, "pending_labels": 1, "tallies": 2, "traces": 1}
    assert custody.overview("acme").records == {}
    memory.close()


def test_a_label_that_comes_after_the_erasure_waits_and_brings_nothing_back(
    connection: Connection, custody: Custody
) -> None:
    keep_step(connection, "acme", "s1", thread="t", user="ann")
    custody.forget("acme", thread="t")
    assert write_labels(connection, KEYS, "acme", [label("s1", Source.FEEDBACK, 1.0, NOW)], NOW) == [2]
    assert custody.overview("acme").outcomes == {}
    assert mentions(connection, *tags("acme", "t", "ann")) == []
