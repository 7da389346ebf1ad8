"""Tenants whose ids are chosen to be mistaken for each other, and who still never see each other's records."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from store_processes import Eventually

from steprouter.memory.labels import Source, label
from steprouter.memory.neighbours import Neighbourhood
from steprouter.memory.outcomes import Remembered
from steprouter.memory.remember import Remembrance
from steprouter.memory.session import Decided, Session, SessionUpdate
from steprouter.models.cost import Usage
from steprouter.step.step import Place, Step, StepKind
from steprouter.store import Connection, Keys, connect
from steprouter.store.embedded import EmbeddedServer
from steprouter.store.memory.index import Indexes, Ready, outcomes_index
from steprouter.store.memory.patient import answers
from steprouter.store.memory.query import knn, parse
from steprouter.store.memory.remote import RedisMemory
from steprouter.store.memory.schema import Places, Space
from steprouter.store.memory.sections import REMEMBERED, Query, plan, read
from steprouter.store.memory.write import write

KEYS = Keys(secret=b"k" * 32)
SPACE = Space(identity="tenants/4", dimension=4)
NOW = 1_800_000_000.0
VECTOR = np.array([1, 0, 0, 0], "<f4").tobytes()

HOSTILE = (
    *("*", "?", "[a-z]", "{}", "{", "}", "{t:default}", "{d}", "|", "a|b", ":", "::", ",", "a,b", "@tenant:{*}", "(*)"),
    *('"', "'", "\\", "\\\\", "\\*", "$", "$1", "%", "%25", "%2A", "-", "-a", "~", "..", "../../etc", "/", "//", "."),
    *("sr:{t:", "sr:{t:a}:session:b", "session", "outcome", "default ", " default", "Default", "DEFAULT", "tenant"),
    *("\0", "a\0", "a\0b", "\n", "a\r\nb", "\t", " ", "  ", "\x7f", "\x1b[2J", "FLUSHALL\r\n", "*1\r\n$8\r\nFLUSHALL"),
    *("é", "e\u0301", "ß", "ss", "ﬁ", "fi", "İ", "i", "漢字", "😀", "👩‍👩‍👧", "مرحبا", "\u202eabc", "\u200b", "\ufeff"),
    *("\ud800", "\udfff", "\ud83d\ude00", "a\ud800b", "x" * 10_240, "x" * 10_239 + "y", "é" * 5_120, "0", "00", "None"),
    *("=>[KNN 1 @v $b]", "a b", "a  b", "'; DROP", "${jndi:x}", "{{x}}", "<script>", "null", "true", "1e9", "nan"),
)


def ids(count: int) -> list[str]:
    """So many different ids: the hostile ones, then mixtures of what makes them so; the same at each run."""
    draw, found = random.Random(7), dict.fromkeys(HOSTILE)
    letters = [*"ab:*?{}[]|,\\\"'@$%-~./ \0\n\t", "é", "e\u0301", "漢", "😀", "\ud800", "\u202e", "sr:{t:", "default"]
    while len(found) < count:
        found["".join(draw.choices(letters, k=draw.randint(1, 12)))] = None
    return list(found)


@pytest.fixture(scope="module")
def connection(server: EmbeddedServer) -> Iterator[Connection]:
    connection = connect(server.url, deadline_seconds=5.0)
    connection.call(lambda client: client.flushall())
    yield connection
    connection.call(lambda client: client.flushall())
    connection.close()


def model_of(tenant: str) -> str:
    """A model that only this tenant uses."""
    return f"of {KEYS.tenant_tag(tenant)}"


def remembrance(tenant: str, one: str, number: int) -> Remembrance:
    """A step that has `one` for its thread, user and node; its model says whose it is."""
    decided = Decided(step_id=f"step-{number}", at=NOW + number, kind="chat", model=model_of(tenant), usd=1.0)
    verdict = label(f"step-{number}", Source.PASSED_CHECK, 1.0, NOW)
    outcome = Remembered(
        id=f"step-{number}",
        kind="chat",
        node=one,
        model=model_of(tenant),
        at=NOW + number,
        vector=VECTOR,
        label=verdict,
        thread=one,
        user=one,
        usage=Usage(input_tokens=1, output_tokens=1),
    )
    update = SessionUpdate(decided=decided)
    late = label(f"step-{number}", Source.TOOL, 1.0, NOW + 1)
    return Remembrance(tenant=tenant, thread=one, user=one, session=update, outcomes=(outcome,), labels=(late,))


def keep(connection: Connection, batch: list[Remembrance]) -> None:
    for first in range(0, len(batch), 500):
        assert write(connection, KEYS, SPACE, batch[first : first + 500], NOW) is None


def recalled(connection: Connection, pairs: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """What a step of each tenant and thread recalls, many in one round trip."""
    steps = [Step(id="s", kind=StepKind.CHAT, place=Place(tenant=t, thread=one, node=one)) for t, one in pairs]
    trips = [plan(Query(places=Places(keys=KEYS, tenant=step.place.tenant), step=step), REMEMBERED) for step in steps]
    found = []
    for first in range(0, len(trips), 500):
        some = trips[first : first + 500]
        replies = answers(connection, *(command for trip in some for command in trip.commands))
        assert isinstance(replies, list), replies
        size = len(some[0].commands)
        found += [read(trip, replies[n * size : (n + 1) * size], None) for n, trip in enumerate(some)]
    return found


def models_of(found: dict[str, Any]) -> tuple[str | None, int, set[str], dict[str, int]]:
    """Whose a session is, how many steps it has, and whose the tallies are."""
    session, counters = found["session"], found["counters"]
    assert isinstance(session, Session)
    return session.incumbent, session.steps, set(counters.kind), {name: t.labels for name, t in counters.node.items()}


def test_two_tenants_with_ten_thousand_hostile_ids_recall_only_their_own(connection: Connection) -> None:
    tenants, threads = ("*", "{t:*}"), ids(5_000)
    for tenant in tenants:
        keep(connection, [remembrance(tenant, one, number) for number, one in enumerate(threads)])
    pairs = [(tenant, one) for tenant in tenants for one in threads]
    for (tenant, _), found in zip(pairs, recalled(connection, pairs), strict=True):
        mine = model_of(tenant)
        assert models_of(found) == (mine, 1, {mine}, {mine: 1})


def test_hostile_ids_of_tenants_are_as_many_tenants(connection: Connection) -> None:
    tenants = ids(2_000)
    keep(connection, [remembrance(tenant, "t", number) for number, tenant in enumerate(tenants, start=10_000)])
    pairs = [(tenant, "t") for tenant in tenants]
    for tenant, found in zip(tenants, recalled(connection, pairs), strict=True):
        mine = model_of(tenant)
        assert models_of(found) == (mine, 1, {mine}, {mine: 1})


def test_a_tenant_recalls_nothing_where_only_another_was(connection: Connection) -> None:
    keep(connection, [remembrance("one who was", one, number) for number, one in enumerate(HOSTILE)])
    pairs = [("one who was not", one) for one in HOSTILE]
    assert [models_of(found) for found in recalled(connection, pairs)] == [(None, 0, set(), {})] * len(HOSTILE)


def test_a_search_among_hostile_tenants_finds_each_ones_own(connection: Connection, eventually: Eventually) -> None:
    spec, indexes = outcomes_index(SPACE), Indexes(connection)
    tenants = [f"searched {one}" for one in HOSTILE]
    keep(connection, [remembrance(tenant, "t", number) for number, tenant in enumerate(tenants)])
    eventually(lambda: isinstance(indexes.ensure(spec), Ready), seconds=20.0)
    asked = [knn(spec, VECTOR, k=50, where={"tenant": KEYS.tenant_tag(tenant)}) for tenant in tenants]
    for number, (tenant, reply) in enumerate(zip(tenants, sent(connection, asked), strict=True)):
        mine = Places(keys=KEYS, tenant=tenant).outcome(f"step-{number}")
        assert [hit.key for hit in parse(reply).hits] == [mine]


def sent(connection: Connection, commands: list[Any]) -> list[Any]:
    """The replies to all of them."""
    replies = answers(connection, *commands)
    assert isinstance(replies, list), replies
    return replies


def test_a_search_for_a_hostile_thread_finds_its_records_only(connection: Connection, eventually: Eventually) -> None:
    spec, indexes = outcomes_index(SPACE), Indexes(connection)
    for tenant in ("seeker", "sought"):
        keep(connection, [remembrance(tenant, one, number) for number, one in enumerate(HOSTILE)])
    eventually(lambda: isinstance(indexes.ensure(spec), Ready), seconds=20.0)
    tag = KEYS.tenant_tag("seeker")
    asked = [
        knn(spec, VECTOR, k=50, where={"tenant": tag, field: KEYS.id_tag("seeker", one)})
        for one in HOSTILE
        for field in ("thread", "user", "node")
    ]
    for number, reply in enumerate(sent(connection, asked)):
        mine = Places(keys=KEYS, tenant="seeker").outcome(f"step-{number // 3}")
        assert [hit.key for hit in parse(reply).hits] == [mine]


def test_neighbourhoods_of_hostile_tenants_hold_their_own_rows(connection: Connection) -> None:
    tenants = [f"near {one}" for one in HOSTILE[:40]]
    keep(connection, [remembrance(tenant, one, n) for n, tenant in enumerate(tenants) for one in ("t",)])
    memory = RedisMemory(connection, KEYS, SPACE)
    for number, tenant in enumerate(tenants):
        found = memory.snapshots.refresh_now(tenant, "chat")
        assert isinstance(found, Neighbourhood)
        assert found.models == (model_of(tenant),)
        assert found.ids == (Places(keys=KEYS, tenant=tenant).outcome(f"step-{number}").rpartition(":")[2],)


def test_a_label_of_one_tenant_leaves_the_same_step_of_another_alone(connection: Connection) -> None:
    for tenant in ("labels", "labels*"):
        keep(connection, [remembrance(tenant, one, number) for number, one in enumerate(HOSTILE)])
    memory = RedisMemory(connection, KEYS, SPACE)
    verdicts = [label(f"step-{number}", Source.FEEDBACK, 0.0, NOW) for number in range(len(HOSTILE))]
    assert memory.label("labels", verdicts, NOW) == [1] * len(HOSTILE)
    theirs = [Places(keys=KEYS, tenant="labels*").outcome(f"step-{number}") for number in range(len(HOSTILE))]
    assert set(sent(connection, [("HGET", key, "score") for key in theirs])) == {b"1.0"}


def test_no_id_stands_in_clear_in_any_key_or_value(connection: Connection) -> None:
    secret = "confidential-name"
    connection.call(lambda client: client.flushall())
    batch = [remembrance(f"{secret}-tenant", f"{secret}-{number}", number) for number in range(50)]
    unnamed = [replace(one, outcomes=tuple(replace(o, model="m") for o in one.outcomes)) for one in batch]
    keep(
        connection,
        [replace(one, session=SessionUpdate(decided=Decided(step_id="s", at=1.0, kind="chat"))) for one in unnamed],
    )
    text = everything(connection)
    assert len(text) > 10_000
    assert secret.encode() not in text


def everything(connection: Connection) -> bytes:
    """All keys and values of the store, one after the other."""
    keys = connection.call(lambda client: list(client.scan_iter(count=1000)), deadline_seconds=5.0)
    assert isinstance(keys, list)
    types = sent(connection, [("TYPE", key) for key in keys])
    asked: dict[bytes, tuple[Any, ...]] = {b"hash": ("HGETALL",), b"zset": ("ZRANGE", 0, -1), b"string": ("GET",)}
    commands = [(asked[kind][0], key, *asked[kind][1:]) for key, kind in zip(keys, types, strict=True)]
    return b"\n".join([*keys, *(str(reply).encode() for reply in sent(connection, commands))])
