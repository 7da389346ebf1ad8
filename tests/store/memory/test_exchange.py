"""What is exported comes back as it was, once, and no line that is wrong comes in."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kept_records import KEYS, NOW, SPACE, everything, keep_all_sorts, keep_step, outcome, vector

from steprouter.errors import ConfigError, StoreError
from steprouter.memory.face import Format, Loaded, Overview
from steprouter.memory.labels import Source, label
from steprouter.memory.lessons import Lesson
from steprouter.memory.outcomes import OUTCOME_TTL_SECONDS
from steprouter.memory.remember import Remembrance
from steprouter.store import Connection, Keys, connect
from steprouter.store.embedded import EmbeddedServer
from steprouter.store.memory.exchange import export, load
from steprouter.store.memory.files import written_whole
from steprouter.store.memory.lesson_records import fields_of, read_lessons
from steprouter.store.memory.overview import overview
from steprouter.store.memory.rows import Read, read_rows
from steprouter.store.memory.schema import Places, Space
from steprouter.store.memory.write import write, write_labels

NO_PYARROW = pytest.mark.skipif(find_spec("pyarrow") is None, reason="Parquet is an extra: pip install pyarrow")
FORMS = ["jsonl", pytest.param("parquet", marks=NO_PYARROW)]
OTHER = Space(identity="other/4", dimension=4)
MODELS = ("small", "größte/model:1", "evil|{*}\n\x1b", "x" * 5000)


@pytest.fixture
def connection(server: EmbeddedServer) -> Iterator[Connection]:
    """The shared server, emptied."""
    connection = connect(server.url, deadline_seconds=5.0)
    connection.call(lambda client: client.flushall())
    yield connection
    connection.call(lambda client: client.flushall())
    connection.close()


def fill(connection: Connection, tenant: str, steps: int = 12) -> None:
    """Steps of several models, kinds, threads and verdicts, one without vector, and one of another embedder."""
    for number in range(steps):
        name, kind = MODELS[number % len(MODELS)], ("chat", "plan")[number % 2]
        other: dict[str, Any] = {"model": name, "kind": kind, "at": NOW + number, "node": f"node-{number % 3}"}
        keep_step(connection, tenant, f"s{number}", thread=f"t{number % 4}", user="ann", **other)
    keep_step(connection, tenant, "bare", thread=None, user=None, vector=None, usd=None, lesson=True)
    labels = [label(f"s{number}", Source.FEEDBACK, number % 2, NOW + 50) for number in range(0, steps, 3)]
    assert write_labels(connection, KEYS, tenant, labels, NOW + 50) == [1] * len(labels)


def told(connection: Connection, tenant: str, keys: Keys = KEYS) -> Overview:
    return overview(connection, keys, SPACE, tenant, NOW + 100)


def without_digits(one: Overview) -> Overview:
    """An overview without what the last digit of a sum may change, and without what is never exported."""
    standings = tuple(replace(s, success=None if s.success is None else round(s.success, 9)) for s in one.standings)
    return replace(one, tenant="", standings=standings, records={})


def take_out(connection: Connection, path: Path, form: Format = "jsonl", tenant: str = "acme") -> Path:
    export(connection, KEYS, SPACE, tenant, path=path, form=form, now=NOW + 100)
    return path


def take_in(connection: Connection, path: Path, form: Format = "jsonl", tenant: str = "acme", **other: Any) -> Loaded:
    place = {"keys": KEYS, "space": SPACE, **other}
    return load(connection, tenant=tenant, path=path, form=form, now=NOW + 100, **place)


@pytest.mark.parametrize("form", FORMS)
def test_an_export_taken_into_an_empty_server_gives_the_same_records(
    connection: Connection, own: Connection, tmp_path: Path, form: Format
) -> None:
    own.open()
    fill(connection, "acme")
    path = take_out(connection, tmp_path / "memory", form)
    done = take_in(own, path, form)
    assert (done.outcomes, done.known, done.is_anonymous, done.without_vector) == (13, 0, False, 0)
    assert told(own, "acme") == replace(told(connection, "acme"), records=told(own, "acme").records)
    before, after = everything(connection), everything(own)
    kept = [key for key in before if b":outcome:" in key or b":counters-" in key or b":outcomes-" in key]
    assert sorted(after) == sorted(kept)
    assert {key for key in kept if not is_same(before[key], after[key])} == set()


OF_DECIDING = {b"learned", b"refused", b"again", b"number_check", b"expected", b"told", b"faded"}
"""Fields of an outcome that say what was learnt of deciding itself, which does not leave."""


def is_same(one: bytes, other: bytes) -> bool:
    """Whether two records hold the same, but for what was learnt of deciding."""
    read = [ast.literal_eval(record.decode()) for record in (one, other)]
    if not all(isinstance(record, dict) for record in read):
        return sorted(one) == sorted(other)
    left = [{name: value for name, value in record.items() if name not in OF_DECIDING} for record in read]
    return left[0] == left[1]


@pytest.mark.parametrize("form", FORMS)
def test_another_tenant_takes_over_all_but_nodes_threads_and_users(
    connection: Connection, tmp_path: Path, form: Format
) -> None:
    fill(connection, "acme")
    path = take_out(connection, tmp_path / "memory", form)
    assert take_in(connection, path, form, "heir").is_anonymous
    assert without_digits(told(connection, "heir")) == without_digits(told(connection, "acme"))
    heirs = b"".join(
        key + said for key, said in everything(connection).items() if KEYS.tenant_tag("heir").encode() in key
    )
    assert not [one for one in ("ann", "t1", "node-1") if KEYS.id_tag("acme", one).encode() in heirs]
    assert b"'thread'" not in heirs


def test_an_import_a_second_time_changes_nothing(connection: Connection, tmp_path: Path) -> None:
    fill(connection, "acme")
    path = take_out(connection, tmp_path / "memory")
    for tenant in ("acme", "heir"):
        take_in(connection, path, tenant=tenant)
        before = everything(connection)
        assert take_in(connection, path, tenant=tenant) == Loaded(known=13, is_anonymous=tenant == "heir")
        assert everything(connection) == before


def test_outcomes_are_counted_in_where_the_tenant_has_counts_of_its_own(connection: Connection, tmp_path: Path) -> None:
    fill(connection, "acme")
    path = take_out(connection, tmp_path / "memory")
    keep_step(connection, "heir", "own", thread="t", user="bob", model="small", kind="chat")
    done = take_in(connection, path, tenant="heir")
    small = {(one.kind, one.model): one.labels for one in told(connection, "heir").standings}
    mine = {(one.kind, one.model): one.labels for one in told(connection, "acme").standings}
    assert small == {**mine, ("chat", "small"): mine["chat", "small"] + 1}
    assert take_in(connection, path, tenant="heir").outcomes == 0
    assert done.tallies == len(mine) - 1


def test_a_verdict_after_the_import_counts_as_it_would_have_before(
    connection: Connection, own: Connection, tmp_path: Path
) -> None:
    own.open()
    fill(connection, "acme")
    take_in(own, take_out(connection, tmp_path / "memory"))
    for server in (connection, own):
        assert write_labels(server, KEYS, "acme", [label("s4", Source.FEEDBACK, 0.0, NOW + 60)], NOW + 60) == [1]
    assert told(own, "acme").standings == told(connection, "acme").standings


def test_another_deployments_file_comes_in_without_its_digests(connection: Connection, tmp_path: Path) -> None:
    fill(connection, "acme")
    path, foreign = take_out(connection, tmp_path / "memory"), Keys(secret=b"f" * 32)
    assert take_in(connection, path, keys=foreign).is_anonymous
    assert told(connection, "acme", foreign).outcomes == told(connection, "acme").outcomes


def test_vectors_of_another_embedder_are_dropped_and_counted(connection: Connection, tmp_path: Path) -> None:
    fill(connection, "acme")
    path = take_out(connection, tmp_path / "memory")
    assert take_in(connection, path, tenant="heir", space=OTHER).without_vector == 12
    assert told(connection, "heir").spaces == {"": 13}


def test_records_of_another_embedder_leave_without_vector(connection: Connection, tmp_path: Path) -> None:
    fill(connection, "acme")
    path = tmp_path / "memory"
    done = export(connection, KEYS, OTHER, "acme", path=path, form="jsonl", now=NOW)
    assert (done.outcomes, done.without_vector) == (13, 13)


@pytest.mark.parametrize("form", FORMS)
def test_vectors_come_back_to_the_bit(connection: Connection, own: Connection, tmp_path: Path, form: Format) -> None:
    own.open()
    keep_step(connection, "acme", "s", thread="t", user="ann")
    take_in(own, take_out(connection, tmp_path / "memory", form), form)
    places, names = Places(keys=KEYS, tenant="acme"), {KEYS.id_tag("acme", "s"): NOW}
    was, now = (read_rows(one, places, SPACE, names) for one in (connection, own))
    assert isinstance(was, Read)
    assert isinstance(now, Read)
    assert np.array_equal(np.array([row.vector for row in was.rows]), np.array([row.vector for row in now.rows]))


def test_what_has_expired_since_is_not_taken_in(connection: Connection, tmp_path: Path) -> None:
    fill(connection, "acme")
    path = take_out(connection, tmp_path / "memory")
    later = NOW + OUTCOME_TTL_SECONDS + 100
    done = load(connection, KEYS, SPACE, "heir", path=path, form="jsonl", now=later)
    assert (done.outcomes, done.expired, told(connection, "heir").outcomes) == (0, 13, {})


def test_newer_and_broken_records_are_left_out_and_counted(connection: Connection, tmp_path: Path) -> None:
    fill(connection, "acme")
    places = Places(keys=KEYS, tenant="acme")
    connection.call(lambda client: client.hset(places.outcome("s1"), "v", "9"))
    connection.call(lambda client: client.hset(places.outcome("s2"), "at", "never"))
    connection.call(lambda client: client.hset(places.counters("chat"), "newer", "9 1 1 1 1 1 1 1 1 1"))
    done = export(connection, KEYS, SPACE, "acme", path=tmp_path / "memory", form="jsonl", now=NOW)
    assert (done.outcomes, done.left_out) == (11, 3)
    assert take_in(connection, done.path, tenant="heir").outcomes == 11


def test_a_file_is_its_owners_alone_and_whole_or_not_there(connection: Connection, tmp_path: Path) -> None:
    path = tmp_path / "memory"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError):
        write_half(path)
    assert (path.read_text(), list(tmp_path.iterdir())) == ("old", [path])
    take_out(connection, path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def write_half(path: Path) -> None:
    """Fails in the middle of a file."""
    with written_whole(path) as file:
        file.write(b"half")
        raise ZeroDivisionError


@pytest.mark.parametrize("place", ["missing/memory", ".", "a\0b"])
def test_a_place_that_cannot_be_written_is_the_callers_mistake(
    connection: Connection, tmp_path: Path, place: str
) -> None:
    with pytest.raises(ConfigError, match=r"path must be a file that can be written|could not be written"):
        take_out(connection, tmp_path / place)


def line(place: int, **change: Any) -> Callable[[list[Any]], None]:
    """Changes fields of a line."""

    def broken(lines: list[Any]) -> None:
        lines[place] = {**lines[place], **change}

    return broken


def dropped(place: int) -> Callable[[list[Any]], None]:
    """Takes a line out."""
    return lambda lines: lines.__delitem__(place)


WRONG: list[tuple[Callable[[list[Any]], None], str]] = [
    (line(0, version=2), r"line 1: version must be 1 or less, got 2; .* upgrade this one"),
    (line(0, format="other"), r"line 1: format: .*, got 'other'"),
    (line(0, dimension=5), r"line \d+: vector: must have 5 numbers, got 4"),
    (line(0, key="NO"), r"line 1: key: "),
    (line(1, model="a b"), r"line 2: model: .*percent-encoded, got 'a b'"),
    (line(1, labels=-1), r"line 2: labels: .*, got -1"),
    (line(1, successes=float("nan")), r"line 2: successes: .*, got nan"),
    (line(1, kind="*"), r"line 2: kind: .*, got '\*'"),
    (line(-2, record="{t:evil}:outcome"), r"line \d+: record: .*, got '{t:evil}:outcome'"),
    (line(-2, score=1.5), r"line \d+: score: .*, got 1.5"),
    (line(-2, score="1"), r"line \d+: score: .*, got '1'"),
    (line(-2, weight=None), r"line \d+: weight: "),
    (line(-2, source="oracle"), r"line \d+: source: .*, got 'oracle'"),
    (line(-2, at=float("inf")), r"line \d+: at: "),
    (line(-2, number=2**60), r"line \d+: number: "),
    (line(-2, surprise=1), r"line \d+: surprise: .*, got 1"),
    (line(-2, vector="!"), r"line \d+: vector: "),
    (line(-2, vector="AAAAAAAAAAAAAAAAAAAAAA=="), r"line \d+: vector: .*unit length"),
    (line(-2, sort="spell"), r"line \d+: sort must be one of header, tally, outcome, lesson, end, got 'spell'"),
    (dropped(0), r"line 1: the header must be the first line"),
    (dropped(-1), r"must be whole, and it was cut off after line \d+"),
    (dropped(3), r"must be whole, and it was cut off after line \d+"),
    (lambda lines: lines.append(lines[0]), r"line \d+: the header must be the first line"),
    (lambda lines: lines.append(lines[1]), r"line \d+: nothing may come after the end"),
    (lambda lines: lines.append([1]), r"line \d+ must be a JSON object, got list"),
    (lambda lines: lines.clear(), r"must be an exported memory, and it is empty"),
]


@pytest.mark.parametrize(("broken", "said"), WRONG)
def test_a_wrong_line_is_named_and_nothing_is_taken_in(
    connection: Connection, tmp_path: Path, broken: Callable[[list[Any]], None], said: str
) -> None:
    keep_step(connection, "acme", "s1", thread="t", user="ann")
    keep_step(connection, "acme", "s2", thread="t", user="ann")
    path = take_out(connection, tmp_path / "memory.jsonl")
    before, lines = everything(connection), [json.loads(text) for text in path.read_text().splitlines()]
    broken(lines)
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    with pytest.raises(ConfigError, match=r"'[^']*memory\.jsonl'.*" + said):
        take_in(connection, path, tenant="heir")
    assert everything(connection) == before


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"\xff\xfe", "line 1 must be JSON"),
        (b"[" * 100_000, "line 1 must be JSON"),
        (b"x" * (2**20 - 1) + b"\n", "line 1 must be JSON"),
        (b"x" * (2**20 + 1), "line 1 must be shorter than 1048576 bytes"),
    ],
)
def test_what_is_no_json_at_all_is_refused_by_its_line(
    connection: Connection, tmp_path: Path, raw: bytes, said: str
) -> None:
    path = tmp_path / "memory.jsonl"
    path.write_bytes(raw)
    with pytest.raises(ConfigError, match=said):
        take_in(connection, path)
    with pytest.raises(ConfigError, match="cannot be read"):
        take_in(connection, tmp_path / "nowhere.jsonl")


@NO_PYARROW
def test_a_file_that_is_no_parquet_of_ours_is_refused(connection: Connection, tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="Parquet is an extra")

    path = tmp_path / "memory.parquet"
    pa.parquet.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(ConfigError, match="it has no header of one"):
        take_in(connection, path, "parquet")
    path.write_bytes(b"PAR1 nothing")
    with pytest.raises(ConfigError, match="must be a whole Parquet file"):
        take_in(connection, path, "parquet")


@NO_PYARROW
def test_a_wrong_row_of_parquet_is_named_too(connection: Connection, tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="Parquet is an extra")

    keep_step(connection, "acme", "s1", thread="t", user="ann")
    path = take_out(connection, tmp_path / "memory.parquet", "parquet")
    table = pa.parquet.read_table(path)
    rows = table.to_pylist()
    rows[-1]["score"] = 7.0
    pa.parquet.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
    with pytest.raises(ConfigError, match=r"line 4: score: .*, got 7.0"):
        take_in(connection, path, "parquet")


@pytest.mark.parametrize("form", FORMS)
def test_more_outcomes_than_one_round_trip_takes_come_through_in_order(
    connection: Connection, own: Connection, tmp_path: Path, form: Format
) -> None:
    own.open()
    many = [outcome(f"s{number}", thread=None, user=None, at=NOW + number) for number in range(1100)]
    assert write(connection, KEYS, SPACE, [Remembrance(tenant="acme", outcomes=tuple(many))], NOW) is None
    path = take_out(connection, tmp_path / "memory", form)
    assert take_in(own, path, form).outcomes == 1100
    assert told(own, "acme") == replace(told(connection, "acme"), records=told(own, "acme").records)


def teach(connection: Connection, tenant: str, step: str, **other: Any) -> None:
    """Keeps a verified lesson."""
    told: dict[str, Any] = {"kind": "answer", "task": "how warm \ud800?", "approach": "ask(x)", "result": "18"}
    lesson = Lesson(id=step, model="größte", at=NOW, tools=("ask",), vector=vector(1, 1, 0, 0), **{**told, **other})
    places = Places(keys=KEYS, tenant=tenant)
    fields = [*fields_of(places, lesson, SPACE), "verified", "tool", "order", places.lessons("answer")]
    connection.call(lambda client: client.execute_command("HSET", places.lesson(step), *fields))
    connection.call(lambda client: client.zadd(places.lessons("answer"), {KEYS.id_tag(tenant, step): NOW}))


@pytest.mark.parametrize("form", FORMS)
def test_lessons_come_through_with_their_texts_and_owners(
    connection: Connection, own: Connection, tmp_path: Path, form: Format
) -> None:
    own.open()
    teach(connection, "acme", "l1", node="agent", user="ann", thread="t", rule="careful", json=True)
    path = take_out(connection, tmp_path / "memory", form)
    assert (take_in(own, path, form).lessons, take_in(own, path, form).lessons) == (1, 0)
    (was,), (now,) = (lessons_of(one, "acme") for one in (connection, own))
    assert now == replace(was, task="how warm ??", tokens=now.tokens)
    assert (now.user, now.node, now.thread) == tuple(KEYS.id_tag("acme", one) for one in ("ann", "agent", "t"))


def lessons_of(connection: Connection, tenant: str) -> list[Lesson]:
    """The verified lessons with their vectors."""
    names = [KEYS.id_tag("acme", one) for one in ("l1", "l2")]
    found = read_lessons(connection, Places(keys=KEYS, tenant=tenant), names, SPACE, None)
    assert isinstance(found, dict)
    return list(found.values())


def test_lessons_of_users_who_are_not_known_here_stay_out(connection: Connection, tmp_path: Path) -> None:
    teach(connection, "acme", "l1", user="ann")
    teach(connection, "acme", "l2", thread="t")
    done = take_in(connection, take_out(connection, tmp_path / "memory"), tenant="heir")
    assert (done.lessons, done.lessons_left_out) == (1, 1)
    (taken,) = lessons_of(connection, "heir")
    assert (taken.id, taken.user, taken.thread) == (KEYS.id_tag("acme", "l2"), None, None)


def test_lessons_that_wait_for_a_verdict_do_not_leave(connection: Connection, tmp_path: Path) -> None:
    teach(connection, "acme", "l1")
    connection.call(lambda client: client.hdel(Places(keys=KEYS, tenant="acme").lesson("l1"), "verified"))
    assert '"lessons": 0' in take_out(connection, tmp_path / "memory").read_text()


def test_nothing_but_outcomes_and_tallies_of_the_tenant_leaves(connection: Connection, tmp_path: Path) -> None:
    keep_all_sorts(connection, "acme", thread="secret", user="hidden", step="s1")
    keep_step(connection, "rival", "s2", thread="t", user="ann", model="rivals")
    text = take_out(connection, tmp_path / "memory").read_text()
    assert [json.loads(one)["sort"] for one in text.splitlines()] == ["header", "tally", "tally", "outcome", "end"]
    assert not [one for one in ("secret", "hidden", "acme", "rival", "half a sentence", "how to") if one in text]


def test_a_store_that_is_away_is_a_store_error_and_leaves_no_file(tmp_path: Path) -> None:
    away = connect("redis://127.0.0.1:1/0", deadline_seconds=0.2)
    with pytest.raises(StoreError, match="memory cannot be reached"):
        take_out(away, tmp_path / "memory")
    assert list(tmp_path.iterdir()) == []
    away.close()
