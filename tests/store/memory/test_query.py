"""Searches as commands and answers as values; and that no text can be mistaken for another in a tag."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from steprouter.store import Connection, connect
from steprouter.store.embedded import EmbeddedServer
from steprouter.store.memory.index import IndexSpec
from steprouter.store.memory.query import Found, Hit, coded, decoded, escaped, knn, names_no_index, parse

SPEC = IndexSpec(
    alias="sr:things:1:abc",
    prefix="sr:thing:",
    tags=("tenant", "model"),
    numbers=("at",),
    vector="vector_abc",
    dimension=2,
)

NORTH = np.array([0, 1], "<f4").tobytes()
EAST = np.array([1, 0], "<f4").tobytes()

HOSTILE = [
    *("", " ", "a", " a", "a ", "\ta", "a\n", "a\0", "a\0b", "\0", "A", "a|b", "a,b", "a}", "{", "}", "|", ","),
    *("\\", "\\\\", "a\\", '"', "'", "$a", "*", "a*", "%a%", "%", "%25", "%:", "-", "a-b", "~", "a b", "a  b", "."),
    *("é", "É", "漢字", "😀", "ﬀ", "ß", "SS", "i̇", "İ", "\x7f", "\x85", "\xa0", "\u3000", "\u200b", "\ud800", "\x1f"),
    *("@model:{a}", "a}|@tenant:{b", "x" * 4095, "x" * 4096, "x" * 4097, "é" * 2000, "[0 1]", "=>[KNN 1 @v $b]"),
]

LETTERS = st.sampled_from([chr(code) for code in range(256)] + ["漢", "😀", "İ", "\u200b", "\ud800"])

NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def searched(server: EmbeddedServer) -> Iterator[Connection]:
    """A server with a plain index under the alias."""
    connection = connect(server.url, deadline_seconds=5.0)
    vector = ("VECTOR", "FLAT", 6, "TYPE", "FLOAT32", "DIM", 2, "DISTANCE_METRIC", "COSINE")
    tags = ("tenant", "TAG", "CASESENSITIVE", "model", "TAG", "CASESENSITIVE")
    schema = (*tags, "at", "NUMERIC", "vector_abc", *vector)
    send(connection, "FT.CREATE", f"{SPEC.alias}:flat", "PREFIX", 1, SPEC.prefix, "SCHEMA", *schema)
    send(connection, "FT.ALIASADD", SPEC.alias, f"{SPEC.alias}:flat")
    yield connection
    send(connection, "FT.DROPINDEX", f"{SPEC.alias}:flat", "DD")
    connection.close()


def send(connection: Connection, *words: object) -> object:
    return connection.call(lambda client: client.execute_command(*words))


def write(connection: Connection, tenant: str, models: list[str], *, vector: bytes = NORTH) -> None:
    def use(client):  # type: ignore[no-untyped-def]
        pipeline = client.pipeline(transaction=False)
        for number, model in enumerate(models):
            fields = {"tenant": tenant, "model": coded(model), "at": number, "vector_abc": vector}
            pipeline.hset(f"{SPEC.prefix}{tenant}:{number}", mapping=fields)
        return pipeline.execute()

    assert len(connection.call(use)) == len(models)


def search(connection: Connection, tenant: str, *, k: int = 100, **more: object) -> Found:
    where = {"tenant": tenant, **more.pop("where", {})}  # type: ignore[dict-item]
    return parse(send(connection, *knn(SPEC, NORTH, k=k, where=where, **more)))  # type: ignore[arg-type]


def models_found(connection: Connection, tenant: str, asked: list[str]) -> list[list[str | None]]:
    def use(client):  # type: ignore[no-untyped-def]
        pipeline = client.pipeline(transaction=False)
        for model in asked:
            where = {"tenant": tenant, "model": model}
            pipeline.execute_command(*knn(SPEC, NORTH, k=100, where=where, fields=["model", "at"]))
        return pipeline.execute()

    replies = connection.call(use)
    return [[asked[int(hit.fields["at"])] for hit in parse(reply).hits] for reply in replies]  # type: ignore[union-attr]


def test_hostile_names_of_models_find_themselves_and_nothing_else(searched: Connection) -> None:
    write(searched, "hostile", HOSTILE)
    assert models_found(searched, "hostile", HOSTILE) == [[model] for model in HOSTILE]


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(models=st.lists(st.text(LETTERS, max_size=6), min_size=40, max_size=40, unique=True))
def test_any_names_of_models_find_themselves_and_nothing_else(searched: Connection, models: list[str]) -> None:
    tenant = f"tenant{next(NUMBERS)}"
    write(searched, tenant, models)
    assert models_found(searched, tenant, models) == [[model] for model in models]


def test_hits_come_nearest_first_with_the_fields_that_were_asked(searched: Connection) -> None:
    write(searched, "order", ["far"], vector=EAST)
    send(searched, "HSET", "sr:thing:order:near", "tenant", "order", "at", 7, "vector_abc", NORTH)
    assert search(searched, "order", fields=["model", "at"]).hits == (
        Hit(key="sr:thing:order:near", distance=0.0, fields={"at": b"7"}),
        Hit(key="sr:thing:order:0", distance=1.0, fields={"model": b"far", "at": b"0"}),
    )


def test_a_search_for_several_values_takes_records_with_any_of_them(searched: Connection) -> None:
    write(searched, "several", ["a|b", "c", "a", "b"])
    found = search(searched, "several", where={"model": ["a|b", "c"]}, fields=["at"])
    assert {hit.fields["at"] for hit in found.hits} == {b"0", b"1"}


def test_more_than_ten_neighbours_are_given_where_they_are_asked_for(searched: Connection) -> None:
    write(searched, "many", [str(number) for number in range(60)])
    assert len(search(searched, "many", k=48).hits) == 48


@pytest.mark.parametrize(("bound", "count"), [(0.0, 10), (4.5, 5), (1e-05, 9), (1.7e09, 0), (-1e22, 10), (1e300, 0)])
def test_a_lower_bound_keeps_the_records_at_or_above_it(searched: Connection, bound: float, count: int) -> None:
    write(searched, "bounds", [str(number) for number in range(10)])
    assert len(search(searched, "bounds", at_least={"at": bound}).hits) == count


def test_no_search_finds_the_records_of_another_tenant(searched: Connection) -> None:
    write(searched, "mine", ["same"])
    write(searched, "yours", ["same"])
    assert [hit.key for hit in search(searched, "mine", where={"model": "same"}).hits] == ["sr:thing:mine:0"]


def test_the_same_answer_is_read_from_both_protocols(searched: Connection, server: EmbeddedServer) -> None:
    import redis

    write(searched, "protocols", ["a", "b"])
    older = redis.Redis.from_url(server.url, protocol=2)
    reply = older.execute_command(*knn(SPEC, NORTH, k=5, where={"tenant": "protocols"}, fields=["model"]))
    assert isinstance(reply, list)
    assert parse(reply) == search(searched, "protocols", k=5, fields=["model"])
    older.close()


def test_records_that_expired_meanwhile_are_left_out_of_both_shapes() -> None:
    near = Hit(key="sr:thing:1", distance=0.5, fields={"at": b"1"})
    live = {b"id": b"sr:thing:1", b"extra_attributes": {b"distance": b"0.5", b"at": b"1"}, b"values": []}
    gone = {b"id": b"sr:thing:0", b"extra_attributes": None, b"values": []}
    newer = {b"total_results": 2, b"results": [gone, live], b"warning": [], b"format": b"STRING"}
    older = [2, b"sr:thing:0", None, b"sr:thing:1", [b"distance", b"0.5", b"at", b"1"]]
    assert parse(newer) == parse(older) == Found(total=2, hits=(near,))


def test_an_answer_cut_short_by_its_time_limit_is_not_complete() -> None:
    found = parse({"total_results": 0, "results": [], "warning": ["Timeout limit was reached"]})
    assert not found.complete
    assert found.warning == "Timeout limit was reached"
    assert parse([0]).complete


def test_a_distance_is_never_negative_nor_without_a_number() -> None:
    reply = [2, b"a", [b"distance", b"-5.96046447754e-08"], b"b", [b"distance", b"nan"]]
    assert parse(reply).hits == (Hit(key="a", distance=0.0),)


@pytest.mark.parametrize("reply", [None, b"OK", 3, [], [1, b"key"]])
def test_what_is_no_answer_to_a_search_is_refused(reply: object) -> None:
    with pytest.raises(ValueError, match="a search must answer"):
        parse(reply)


@pytest.mark.parametrize(
    "wrong",
    [
        {"where": {"model": "a"}},
        {"where": {"tenant": []}},
        {"where": {"tenant": "a", "at": "1"}},
        {"where": {"tenant": "a"}, "at_least": {"model": 1.0}},
        {"where": {"tenant": "a"}, "at_least": {"at": float("nan")}},
        {"where": {"tenant": "a"}, "fields": ["at} *"]},
        {"where": {"tenant": "a"}, "k": 0},
    ],
)
def test_a_search_that_cannot_be_meant_is_refused_before_it_is_sent(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="got"):
        knn(SPEC, NORTH, **{"k": 1, **wrong})  # type: ignore[arg-type]


def test_a_vector_of_another_dimension_is_refused_before_it_is_sent() -> None:
    with pytest.raises(ValueError, match="the vector 8 bytes, got 3 and 12"):
        knn(SPEC, b"\0" * 12, k=3, where={"tenant": "a"})


def test_the_effort_of_searching_is_named_only_when_it_is_given() -> None:
    assert "EF_RUNTIME" not in str(knn(SPEC, NORTH, k=3, where={"tenant": "a"}))
    query = "(@tenant:{a})=>[KNN 3 @vector_abc $vector EF_RUNTIME 50 AS distance]"
    assert knn(SPEC, NORTH, k=3, where={"tenant": "a"}, ef_runtime=50)[2] == query


@given(value=st.text(st.characters(), max_size=80))
@example(value="\ud800é%41%")
@example(value="")
def test_a_code_of_moderate_length_gives_the_text_back(value: str) -> None:
    assert decoded(coded(value)) == value
    assert set(escaped(coded(value)).replace("\\", "")) <= set(coded(value))


@pytest.mark.parametrize(
    "name", ["openai:gpt-5.6-luna", "qwen/Qwen3-8B", "a_b@c+d~e.f", "mfrggzdfmztwq2lk", "tool_call"]
)
def test_usual_names_and_digests_are_their_own_code(name: str) -> None:
    assert coded(name) == name


def test_a_very_long_text_is_kept_apart_by_its_digest() -> None:
    one, other = coded("x" * 5000), coded("x" * 5001)
    assert one != other
    assert len(one) == 66
    assert decoded(one) is None


@pytest.mark.parametrize(
    "said", ["x: no such index", "Unknown index name", "SEARCH_INDEX_NOT_FOUND Index not found: x"]
)
def test_a_lost_index_is_recognised_in_the_words_of_several_releases(said: str) -> None:
    assert names_no_index(ValueError(said))
    assert not names_no_index(ValueError("Syntax error"))
