"""Routes in a real Redis: redisvl reads what we write, we read what redisvl writes, and what changes is followed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kept_routes import (
    BILLING,
    BUGS,
    CODE,
    EMBEDDER,
    MONEY,
    TEXTS,
    client_of,
    examples,
    followed,
    route,
    settle,
    taken,
    their_router,
)
from redis import Redis
from redisvl.extensions.router.schema import Route as TheirRoute  # type: ignore[import-untyped]
from store_processes import Eventually

from steprouter.errors import StoreError
from steprouter.memory.recall import Missing
from steprouter.store import Connection, connect
from steprouter.store.embedded import EmbeddedServer
from steprouter.store.routes.edit import semantic_router
from steprouter.store.routes.follow import SELDOM_SECONDS


@pytest.fixture
def client(server: EmbeddedServer) -> Iterator[Redis]:
    """Another client of a server that is empty before and after."""
    with client_of(server.url) as found:
        found.flushall()
        yield found
        found.flushall()


@pytest.fixture
def connection(server: EmbeddedServer, client: Redis) -> Iterator[Connection]:
    found = connect(server.url, deadline_seconds=2.0)
    yield found
    found.close()


def test_a_policys_routes_are_stored_and_redisvl_chooses_the_same(connection: Connection, client: Redis) -> None:
    ours = settle(followed(connection, BILLING, BUGS, named="support"))
    theirs = semantic_router("support", EMBEDDER, redis_client=client)
    assert {text: taken(ours, text) for text in TEXTS} == {text: theirs(text).name for text in TEXTS}
    assert [taken(ours, text) for text in TEXTS[:2]] == ["billing", "bugs"]
    assert theirs.route_thresholds == {"billing": 0.6, "bugs": 0.65}


@pytest.mark.parametrize(("way", "distance"), [("min", 0.6), ("avg", 0.8), ("sum", 1.9)])
def test_a_router_made_with_redisvl_is_read_and_chooses_the_same(
    connection: Connection, client: Redis, way: str, distance: float
) -> None:
    listed = [
        TheirRoute(name="billing", references=list(MONEY), distance_threshold=distance),
        TheirRoute(name="bugs", references=list(CODE), distance_threshold=distance),
    ]
    theirs = their_router(client, "support", listed, way=way)
    ours = settle(followed(connection, route("billing"), named="support"))
    assert ours.at_hand is not None
    assert {one.name: one.models for one in ours.at_hand.routes} == {"billing": {"small"}, "bugs": frozenset()}
    assert [one.threshold for one in ours.at_hand.routes] == pytest.approx([1 - distance] * 2)
    # redisvl looks at the nearest route alone, so it has none where that is too far and another is not.
    differing = {text: (taken(ours, text), theirs(text).name) for text in TEXTS}
    assert all(mine == other for mine, other in differing.values() if other is not None)
    assert [taken(ours, text) for text in TEXTS[:2]] == ["billing", "bugs"]


def test_what_redisvl_changes_is_followed_within_a_second(
    connection: Connection, client: Redis, eventually: Eventually
) -> None:
    """By the thread that steps start; each change is one of redisvl's own methods."""
    ours = followed(connection, BILLING, BUGS, named="support")
    assert ours.table() is not None
    eventually(lambda: ours.seen is not None)
    theirs = semantic_router("support", EMBEDDER, redis_client=client)
    theirs.add_route(TheirRoute(name="weather", references=["Will it rain?"], distance_threshold=0.5))
    eventually(lambda: "weather" in examples(ours), seconds=1.0)
    theirs.add_route_references("weather", ["What a lovely morning"])
    eventually(lambda: taken(ours, "What a lovely morning!") == "weather", seconds=1.0)
    theirs.delete_route_references("weather", keys=keys_of(client, "support:weather:")[:1])
    eventually(lambda: len(examples(ours)["weather"]) == 1, seconds=1.0)
    theirs.remove_route("billing")
    eventually(lambda: "billing" not in examples(ours), seconds=1.0)
    theirs.clear()
    eventually(lambda: ours.table() is None, seconds=1.0)
    ours.close()
    assert ours.thread is None
    theirs.add_route(TheirRoute(name="weather", references=["Will it rain?"], distance_threshold=0.5))
    eventually(lambda: ours.table() is not None, seconds=1.0)
    ours.close()


def keys_of(client: Redis, beginning: str) -> list[str]:
    return sorted(key.decode() for key in client.scan_iter(f"{beginning}*"))


def test_two_routers_on_one_store_follow_each_other(server: EmbeddedServer, connection: Connection) -> None:
    """A process with another file: its examples win when it begins, also over what others have at hand."""
    first = settle(followed(connection, BILLING, BUGS))
    other = connect(server.url, deadline_seconds=2.0)
    second = settle(followed(other, route("billing", "Refund please", threshold=0.5), BUGS))
    assert second.name == first.name
    first.look_now()
    assert examples(first) == examples(second) == {"billing": ("Refund please",), "bugs": CODE}
    assert first.at_hand is not None
    assert first.at_hand.version == second.at_hand.version
    assert first.at_hand.routes[0].threshold == 0.5
    other.close()


def test_what_is_changed_in_the_store_lasts_until_a_process_with_the_file_begins(
    connection: Connection, client: Redis
) -> None:
    first = settle(followed(connection, BILLING, BUGS))
    assert first.name is not None
    semantic_router(first.name, EMBEDDER, redis_client=client).add_route_references("billing", ["My card was debited"])
    first.look_now()
    assert examples(first)["billing"] == (*MONEY, "My card was debited")
    settle(followed(connection, BILLING, BUGS))
    first.look_now()
    assert examples(first)["billing"] == MONEY


def test_with_routes_in_the_store_wins_over_the_file(connection: Connection, client: Redis) -> None:
    settle(followed(connection, BILLING, BUGS, named="support"))
    semantic_router("support", EMBEDDER, redis_client=client).add_route_references("billing", ["My card was debited"])
    later = settle(followed(connection, BILLING, BUGS, named="support"))
    assert examples(later)["billing"] == (*MONEY, "My card was debited")


def test_nothing_is_written_where_the_store_says_the_same(connection: Connection, client: Redis) -> None:
    settle(followed(connection, BILLING, BUGS))
    before = client.info("commandstats")["cmdstat_json.set"]["calls"]
    second = settle(followed(connection, BILLING, BUGS))
    assert client.info("commandstats")["cmdstat_json.set"]["calls"] == before
    assert second.seen is not None


def test_routers_with_other_routes_do_not_meet(connection: Connection) -> None:
    first, second = settle(followed(connection, BILLING)), settle(followed(connection, BILLING, BUGS))
    first.look_now()
    assert (list(examples(first)), list(examples(second))) == (["billing"], ["billing", "bugs"])


def test_ways_of_aggregating_that_redisvl_does_not_know_come_back(connection: Connection, client: Redis) -> None:
    mixed = (route("a", *MONEY, aggregation="top3"), route("b", *CODE, aggregation="mean"), route("c", "Hello there"))
    ours = settle(followed(connection, *mixed, named="mixed"))
    assert ours.at_hand is not None
    assert [one.aggregation for one in ours.at_hand.routes] == ["top3", "mean", "max"]
    assert semantic_router("mixed", EMBEDDER, redis_client=client).routing_config.aggregation_method.value == "min"


def test_a_server_that_was_flushed_has_the_policys_routes_again(connection: Connection, client: Redis) -> None:
    ours = settle(followed(connection, BILLING, BUGS))
    client.flushall()
    ours.look_now()
    assert list(examples(ours)) == ["billing", "bugs"]
    settle(ours)
    assert ours.name is not None
    assert semantic_router(ours.name, EMBEDDER, redis_client=client)("Refund please").name == "billing"
    assert ours.degraded is None


def test_an_index_that_was_dropped_is_made_again(connection: Connection, client: Redis) -> None:
    ours = settle(followed(connection, BILLING, BUGS))
    client.execute_command("FT.DROPINDEX", ours.name)
    settle(ours)
    assert examples(ours) == {"billing": MONEY, "bugs": CODE}
    assert ours.seen is not None


def test_a_stored_router_that_is_gone_is_no_longer_followed_and_that_is_said(
    connection: Connection, client: Redis
) -> None:
    theirs = their_router(client, "support", [TheirRoute(name="billing", references=list(MONEY))])
    ours = settle(followed(connection, route("billing"), named="support"))
    assert list(examples(ours)) == ["billing"]
    theirs.delete()
    ours.look_now()
    assert list(examples(ours)) == ["billing"], "it may be in the middle of being made anew"
    ours.look_now()
    assert (ours.table(), ours.degraded) == (None, "there is no stored router 'support'")
    their_router(client, "support", [TheirRoute(name="bugs", references=list(CODE))])
    ours.look_now()
    assert (list(examples(ours)), ours.degraded) == (["bugs"], None)
    ours.close()


def test_vectors_of_another_length_are_refused_and_the_policys_own_are_used(
    connection: Connection, client: Redis
) -> None:
    ours = settle(followed(connection, BILLING, named="support"))

    class Short(type(EMBEDDER)):  # type: ignore[misc]
        dimension = 8

        def __init__(self) -> None:
            super().__init__()
            self.identity = "short/8"

        def embed_many(self, texts: Any) -> Any:
            return super().embed_many(texts)[:, :8]

    other = settle(followed(connection, BILLING, named="support", embedder=Short()))
    assert other.degraded == (
        "the stored router 'support' has vectors of 256 numbers, the router embeds with short/8; "
        "give MemoryPolicy the embedder that made them"
    )
    assert other.at_hand is not None
    assert other.at_hand.vectors.shape == (3, 8)
    assert settle(followed(connection, BILLING, embedder=Short())).degraded is None, "under our own names both fit"
    assert ours.degraded is None


def test_vectors_of_another_model_are_refused_though_they_are_as_long(connection: Connection, client: Redis) -> None:
    settle(followed(connection, BILLING, named="support"))

    class Other(type(EMBEDDER)):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(name="another")

    other = settle(followed(connection, BILLING, named="support", embedder=Other()))
    assert "has vectors of steprouter-static-1/256, the router embeds with another/256" in str(other.degraded)


def test_an_index_that_is_something_else_is_left_alone(connection: Connection, client: Redis) -> None:
    client.execute_command("FT.CREATE", "support", "ON", "HASH", "PREFIX", 1, "support", "SCHEMA", "vector", "TEXT")
    client.json().set("support:route_config", ".", {"routes": []})
    ours = settle(followed(connection, BILLING, named="support"))
    assert ours.degraded == "the index 'support' is none of redisvl's SemanticRouter"
    assert list(examples(ours)) == ["billing"]


def test_routes_that_cannot_be_used_are_left_out_and_said(connection: Connection, client: Redis) -> None:
    hostile = "x') || (@distance < 9"
    theirs = their_router(client, "support", [TheirRoute(name="billing", references=list(MONEY))])
    theirs.add_route(TheirRoute(name=hostile, references=["What a lovely morning"], distance_threshold=2.0))
    ours = settle(followed(connection, route("billing"), named="support"))
    assert list(examples(ours)) == ["billing"]
    assert ours.degraded == f"stored routes cannot be used: {hostile!r}"


HOSTILE = ("*", "@route_name:{x}", "a\0b", "'; FLUSHALL", "\ud800 lone", "x" * 2000, "%s {0} ${A}", "→ ❤ \u202e end")


@pytest.mark.parametrize("name", ["support", "a*b?[c]", "x} | @y:{*", "dé ja vu", "a:b", "'quoted' \"name\""])
def test_hostile_names_and_texts_come_back_as_they_went(connection: Connection, name: str) -> None:
    odd = route("odd names - are_fine.", *HOSTILE)
    ours = settle(followed(connection, odd, BILLING, named=name))
    assert ours.degraded is None
    assert ours.seen is not None
    assert examples(ours)[odd.name] == tuple(text.encode("utf-8", "replace").decode() for text in HOSTILE)
    again = settle(followed(connection, BILLING, named=name))
    assert examples(again) == examples(ours)


def test_a_router_whose_name_begins_alike_is_not_mixed_in(connection: Connection) -> None:
    settle(followed(connection, route("billing", "Something else"), named="support-eu"))
    assert examples(settle(followed(connection, BILLING, named="support"))) == {"billing": MONEY}


def test_many_references_are_read_in_pages(connection: Connection) -> None:
    many = [route(f"r {n}", *(f"{word} number {n} {m}" for m in range(100))) for n, word in enumerate(["a"] * 12)]
    ours = settle(followed(connection, *many))
    assert ours.at_hand is not None
    assert (len(ours.at_hand.vectors), ours.degraded) == (1200, None)
    np.testing.assert_allclose(ours.at_hand.vectors[:100], EMBEDDER.embed_many(many[0].examples), atol=1e-6)


@pytest.mark.parametrize("datatype", ["float64", "float16", "bfloat16"])
def test_vectors_of_other_number_types_are_read(connection: Connection, client: Redis, datatype: str) -> None:
    from kept_routes import vectorizer
    from redisvl.extensions.router import SemanticRouter  # type: ignore[import-untyped]

    made = vectorizer()
    made.dtype = datatype
    listed = [TheirRoute(name="billing", references=list(MONEY))]
    SemanticRouter(name="support", routes=listed, vectorizer=made, redis_client=client)
    ours = settle(followed(connection, named="support"))
    assert ours.at_hand is not None
    np.testing.assert_allclose(ours.at_hand.vectors, EMBEDDER.embed_many(MONEY), atol=0.01)


START = """
import sys
sys.path.insert(0, sys.argv[2])
from kept_routes import BILLING, BUGS, CODE, followed, route, settle
from steprouter.store import connect
connection = connect(sys.argv[1], deadline_seconds=5.0)
routes = followed(connection, route("billing", *sys.argv[3:]), BUGS, named=None)
print("loaded", flush=True)
sys.stdin.readline()
settle(routes)
print(routes.is_asserted, routes.degraded, flush=True)
"""


def test_processes_that_begin_at_once_all_find_the_same(server: EmbeddedServer, connection: Connection) -> None:
    words = [str(server.url), str(Path(__file__).parent), *MONEY]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", START, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for one in started:
        assert one.stdout is not None
        assert one.stdout.readline() == "loaded\n"
    for one in started:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    assert [one.communicate()[0] for one in started] == ["True None\n"] * 2
    assert examples(settle(followed(connection, BILLING, BUGS))) == {"billing": MONEY, "bugs": CODE}


def test_a_store_that_dies_leaves_the_copy_and_is_followed_again(own: Connection, eventually: Eventually) -> None:
    ours = settle(followed(own, BILLING, BUGS))
    before = ours.at_hand
    assert ours.seen is not None
    own.call(lambda client: client.execute_command("SHUTDOWN", "NOSAVE", "FORCE"))
    ours.look_now()
    assert (ours.at_hand, ours.degraded) == (before, None)
    eventually(lambda: own.degraded is None, seconds=20.0)
    settle(ours)
    assert list(examples(ours)) == ["billing", "bugs"]


def test_a_server_without_search_leaves_each_process_its_own_routes_and_that_is_said(plain: Connection) -> None:
    ours = followed(plain, BILLING)
    assert ours.look_now() == SELDOM_SECONDS
    assert (list(examples(ours)), plain.degraded) == (["billing"], None)
    assert ours.degraded == "the server has no search or no JSON module, so each process keeps its own"


def test_a_server_that_does_not_let_us_ask_leaves_each_process_its_own(connection: Connection, client: Redis) -> None:
    client.execute_command("ACL", "SETUSER", "plain", "on", ">word", "~*", "+@all", "-eval")
    other = connect(f"unix://plain:word@{client.get_connection_kwargs()['path']}", deadline_seconds=2.0)
    ours = followed(other, BILLING, named="support")
    ours.look_now()
    assert list(examples(ours)) == ["billing"]
    assert str(ours.degraded).startswith("the store refused: ")
    other.close()
    client.execute_command("ACL", "DELUSER", "plain")


def test_a_router_that_is_not_there_cannot_be_opened_for_editing(client: Redis) -> None:
    with pytest.raises(StoreError, match="there is no stored router 'nobody'"):
        semantic_router("nobody", EMBEDDER, redis_client=client)


def test_steps_of_an_event_loop_see_the_change_too(
    connection: Connection, client: Redis, eventually: Eventually
) -> None:
    from steprouter.embedding.timed import TimedEmbedder
    from steprouter.embedding.words import Words

    ours = followed(connection, BILLING, named="support")
    words = Words(TimedEmbedder(EMBEDDER), ours.table)
    assert asyncio.run(words.aembed("Hello")).routes is not None
    eventually(lambda: ours.seen is not None)
    semantic_router("support", EMBEDDER, redis_client=client).add_route(TheirRoute(name="w", references=["Rain?"]))

    async def embedded() -> list[str]:
        found = await words.aembed("Will it rain?")
        assert found.routes is not None
        assert not isinstance(found.vector, Missing)
        return [one.name for one in found.routes.routes]

    eventually(lambda: asyncio.run(embedded()) == ["billing", "w"], seconds=1.0)
    ours.close()
