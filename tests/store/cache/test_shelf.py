"""What is kept of answers, and who is told to get one, is the same in this process and in Redis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from cached_answers import NOW, SCOPE, ask, entry, keep, make_index, recollection, tenant

from steprouter.answering.answer import Answer
from steprouter.caching.bound import MOST_MASS
from steprouter.caching.entry import Near, Tally
from steprouter.caching.orders import CacheStats, Counted, Kept, Observed
from steprouter.store import Connection, connect
from steprouter.store.embedded import EmbeddedServer
from steprouter.store.memory.recollection import Recollection


@pytest.fixture(scope="module")
def connection(server: EmbeddedServer) -> Iterator[Connection]:
    connection = connect(server.url, deadline_seconds=5.0)
    connection.open()
    yield connection
    connection.call(lambda client: client.flushall())  # others measure how soon an index over few records is ready
    connection.close()


@pytest.fixture(params=["memory", "redis"])
def memory(request: pytest.FixtureRequest, connection: Connection) -> Iterator[Recollection]:
    """Memory of this process, and in Redis."""
    found, _ = recollection(connection if request.param == "redis" else connect("memory"))
    make_index(found)
    yield found
    found.close()


def another(memory: Recollection) -> Recollection:
    """What another worker has: the same store; memory that is one process's has no other."""
    if memory.is_local:
        return memory
    found, _ = recollection(memory.connection)
    make_index(found)
    return found


def test_an_answer_comes_back_as_it_was_kept(memory: Recollection) -> None:
    whose = tenant()
    kept = keep(memory, whose, "q1")
    assert ask(another(memory), whose, "q1").exact == kept


def test_an_answer_to_a_question_like_it_comes_with_its_similarity_and_tally(memory: Recollection) -> None:
    whose = tenant()
    kept = keep(memory, whose, "q1", towards=10)
    told = ask(memory, whose, "q2", towards=40)
    assert told.exact is None
    assert told.near == (Near(entry=kept, similarity=pytest.approx(0.8660254, abs=1e-6), tally=Tally()),)


def test_the_likest_four_come_first_and_the_very_one_is_not_among_them(memory: Recollection) -> None:
    whose = tenant()
    for degrees in range(0, 60, 10):
        keep(memory, whose, f"q{degrees}", towards=degrees)
    told = ask(memory, whose, "q20", towards=21)
    assert told.exact is not None
    assert told.exact.id == "q20"
    assert [one.entry.id for one in told.near] == ["q30", "q10", "q40"]
    assert [one.entry.id for one in ask(memory, whose, "q", towards=21).near] == ["q20", "q30", "q10", "q40"]


def test_an_answer_of_another_scope_is_not_brought(memory: Recollection) -> None:
    whose = tenant()
    keep(memory, whose, "q1", towards=10, scope="scope2")
    assert ask(memory, whose, "q2", towards=10).near == ()


def test_an_answer_of_another_tenant_is_not_brought_though_both_digests_are_right(memory: Recollection) -> None:
    mine, theirs = tenant(), tenant()
    keep(memory, theirs, "q1", towards=10)
    told = ask(memory, mine, "q1", towards=10)
    assert (told.exact, told.near, told.pools) == (None, (), {})
    assert memory.shelf is not None
    assert memory.shelf.at_hand(mine, "q1", NOW) is None


def test_an_answer_kept_without_a_scope_is_found_by_its_very_question_only(memory: Recollection) -> None:
    whose = tenant()
    keep(memory, whose, "q1", towards=10, scope="")
    assert ask(memory, whose, "q2", towards=10, scope="").near == ()
    assert ask(memory, whose, "q1").exact is not None


def test_an_answer_is_there_until_it_expires(memory: Recollection) -> None:
    whose = tenant()
    keep(memory, whose, "q1", towards=10, expires_at=NOW + 60)
    assert ask(memory, whose, "q1", at=NOW + 59).exact is not None
    told = ask(memory, whose, "q1", towards=10, at=NOW + 60)
    assert (told.exact, told.near) == (None, ())


def test_a_newer_answer_takes_the_place_of_an_older_one_with_all_that_was_known_of_it(memory: Recollection) -> None:
    whose = tenant()
    keep(memory, whose, "q1", towards=10)
    assert memory.shelf is not None
    memory.shelf.observe([Observed(tenant=whose, entry_id="q1", wrong=1.0)])
    newer = keep(memory, whose, "q1", towards=10, answer=Answer(text="28"))
    assert ask(memory, whose, "q1").exact == newer
    assert [one.tally for one in ask(memory, whose, "q2", towards=10).near] == [Tally()]


def test_what_an_answer_was_mistaken_for_is_known_of_the_one_that_takes_its_place(memory: Recollection) -> None:
    whose = tenant()
    keep(memory, whose, "q1", towards=10)
    assert memory.shelf is not None
    memory.shelf.observe([Observed(tenant=whose, entry_id="q1", pool="p", wrong=1.0)])
    assert ask(memory, whose, "q1").exact is not None
    keep(memory, whose, "q1", towards=10, answer=Answer(text="28"))
    assert [one.tally for one in ask(memory, whose, "q2", towards=10).near] == [Tally(wrong=1.0)]


def test_an_answer_that_was_wrong_for_its_very_question_is_given_to_nobody(memory: Recollection) -> None:
    whose = tenant()
    keep(memory, whose, "q1", towards=10)
    assert memory.shelf is not None
    memory.shelf.observe([Observed(tenant=whose, entry_id="q1", right=0.7, wrong=0.3)])
    assert ask(memory, whose, "q1").exact is not None
    memory.shelf.observe([Observed(tenant=whose, entry_id="q1", wrong=1.0)])
    assert ask(memory, whose, "q1").exact is None
    assert ask(memory, whose, "q2", towards=10).near == ()


def test_of_much_evidence_the_oldest_gives_way(memory: Recollection) -> None:
    whose = tenant()
    keep(memory, whose, "q1", towards=10)
    assert memory.shelf is not None
    memory.shelf.observe([Observed(tenant=whose, entry_id="q1", pool="p", right=MOST_MASS)])
    memory.shelf.observe([Observed(tenant=whose, entry_id="q1", pool="p", right=100.0, wrong=100.0)])
    pool = ask(memory, whose, "q2").pools["p"]
    assert (pool.right, pool.wrong) == pytest.approx((MOST_MASS - 100, 100))


def test_of_those_who_ask_a_new_question_the_first_is_to_get_the_answer(memory: Recollection) -> None:
    whose = tenant()
    assert ask(memory, whose, "q1", holder="a").filled_by is None
    assert ask(another(memory), whose, "q1", holder="b").filled_by == "a"
    assert ask(memory, whose, "q1", holder="a").filled_by is None
    assert ask(memory, whose, "q2", holder="b").filled_by is None


def test_whoever_would_not_get_the_answer_does_not_keep_others_from_it(memory: Recollection) -> None:
    whose = tenant()
    assert ask(memory, whose, "q1", holder="a", fill=False).filled_by is None
    assert ask(memory, whose, "q1", holder="b").filled_by is None
    assert ask(memory, whose, "q1", holder="a", fill=False).filled_by == "b"


def test_a_failed_step_lets_another_get_the_answer(memory: Recollection) -> None:
    whose = tenant()
    ask(memory, whose, "q1", holder="a")
    assert memory.shelf is not None
    memory.shelf.release(whose, "q1", "somebody else")
    assert ask(memory, whose, "q1", holder="b").filled_by == "a"
    memory.shelf.release(whose, "q1", "a")
    assert ask(memory, whose, "q1", holder="b").filled_by is None


def test_an_answer_that_expired_is_got_by_one_only(memory: Recollection) -> None:
    whose = tenant()
    keep(memory, whose, "q1", expires_at=NOW + 60)
    assert ask(memory, whose, "q1", holder="a", at=NOW + 61).filled_by is None
    assert ask(memory, whose, "q1", holder="b", at=NOW + 61).filled_by == "a"


def test_an_answer_that_was_kept_has_no_one_getting_it(memory: Recollection) -> None:
    whose = tenant()
    keep(memory, whose, "q1", holder="a")
    told = ask(memory, whose, "q1", holder="b")
    assert told.filled_by is None
    assert told.exact is not None


def test_an_answer_that_took_longer_than_the_lease_is_kept_all_the_same(memory: Recollection) -> None:
    whose = tenant()
    epoch = ask(memory, whose, "q1", holder="a").epoch
    assert memory.shelf is not None
    memory.shelf.release(whose, "q1", "a")
    ask(memory, whose, "q1", holder="b")
    keep(memory, whose, "q1", holder="a", epoch=epoch)
    assert ask(memory, whose, "q1").exact is not None


def test_observations_add_up_for_the_pool_and_the_answer(memory: Recollection) -> None:
    whose = tenant()
    keep(memory, whose, "q1", towards=10)
    assert memory.shelf is not None
    seen = Observed(tenant=whose, entry_id="q1", pool="agree ≥ .95", right=0.5)
    memory.shelf.observe([seen, seen, Observed(tenant=whose, entry_id="gone", pool="agree ≥ .95", wrong=0.25)])
    told = ask(another(memory), whose, "q2", towards=10)
    assert told.pools == {"agree ≥ .95": Tally(right=1.0, wrong=0.25)}
    assert [one.tally for one in told.near] == [Tally(right=1.0)]


def test_an_answer_that_was_found_wrong_is_not_given_to_its_very_question(memory: Recollection) -> None:
    whose = tenant()
    keep(memory, whose, "q1", towards=10)
    assert memory.shelf is not None
    memory.shelf.observe([Observed(tenant=whose, entry_id="q1", wrong=1.0)])
    assert memory.shelf.at_hand(whose, "q1", NOW) is None
    told = ask(another(memory), whose, "q1", holder="b", towards=10)
    assert (told.exact, told.near) == (None, ())
    assert ask(another(memory), whose, "q1", holder="c").filled_by == "b"


def test_emptying_removes_all_answers_and_what_is_being_got(memory: Recollection) -> None:
    whose, other = tenant(), tenant()
    keep(memory, whose, "q1", towards=10)
    keep(memory, whose, "q2")
    keep(memory, other, "q1")
    epoch = ask(memory, whose, "q3").epoch
    assert memory.shelf is not None
    assert memory.shelf.invalidate(whose) == 2
    keep(memory, whose, "q3", epoch=epoch)
    told = ask(another(memory), whose, "q1", towards=10)
    assert (told.exact, told.near) == (None, ())
    assert told.epoch > epoch
    assert ask(memory, whose, "q3").exact is None
    assert ask(memory, other, "q1").exact is not None


@pytest.mark.parametrize("part", [{"tag": "ä,b"}, {"model": "gpt-4,1"}, {"node": "no, de"}])
def test_answers_are_removed_by_one_of_their_parts(memory: Recollection, part: dict[str, str]) -> None:
    whose = tenant()
    named: dict[str, Any] = {"tags": frozenset({"x", "ä,b"}), "model": "gpt-4,1", "node": "no, de"}
    keep(memory, whose, "q1", **named)
    keep(memory, whose, "q2", tags=frozenset({"b"}), model="gpt-4", node="de")
    assert memory.shelf is not None
    assert memory.shelf.invalidate(whose, **part) == 1
    assert ask(memory, whose, "q1").exact is None
    assert ask(memory, whose, "q2").exact is not None
    assert memory.shelf.invalidate(whose, **part) == 0


def test_of_several_parts_an_answer_must_have_all(memory: Recollection) -> None:
    whose = tenant()
    keep(memory, whose, "q1", tags=frozenset({"x"}), model="small")
    keep(memory, whose, "q2", tags=frozenset({"x"}), model="large")
    assert memory.shelf is not None
    assert memory.shelf.invalidate(whose, tag="x", model="large") == 1
    assert ask(memory, whose, "q1").exact is not None


def test_an_answer_that_was_being_got_when_its_tag_was_removed_is_not_kept(memory: Recollection) -> None:
    whose = tenant()
    epoch = ask(memory, whose, "q1").epoch
    assert memory.shelf is not None
    assert memory.shelf.invalidate(whose, tag="prices") == 0
    keep(memory, whose, "q1", epoch=epoch)
    assert ask(memory, whose, "q1").exact is None
    keep(memory, whose, "q1")
    assert ask(memory, whose, "q1").exact is not None


def test_an_answer_of_which_nothing_was_removed_meanwhile_is_kept(memory: Recollection) -> None:
    whose = tenant()
    epoch = ask(memory, whose, "q1").epoch
    assert memory.shelf is not None
    memory.shelf.invalidate(whose, tag="other")
    keep(memory, whose, "q1", epoch=epoch)
    assert ask(memory, whose, "q1").exact is not None


def test_a_tenants_figures_add_up(memory: Recollection) -> None:
    whose = tenant()
    keep(memory, whose, "q1", towards=10)
    keep(memory, whose, "q2")
    assert memory.shelf is not None
    memory.shelf.observe([Observed(tenant=whose, entry_id="q1", pool="p", right=2.0, wrong=0.5)])
    memory.shelf.count(
        [
            Counted(tenant=whose, exact=1, saved_usd=0.25, saved_seconds=2.0),
            Counted(tenant=whose, semantic=2, misses=3, saved_usd=0.5),
        ],
        NOW,
    )
    told = memory.shelf.stats(whose)
    assert told == CacheStats(
        entries=2,
        size_bytes=told.size_bytes,
        pools={"p": Tally(right=2.0, wrong=0.5)},
        exact=1,
        semantic=2,
        misses=3,
        saved_usd=0.75,
        saved_seconds=2.0,
    )
    assert told.size_bytes > 2 * len("How many members has it?27")
    assert told.observed == Tally(right=2.0, wrong=0.5)
    assert memory.shelf.stats(tenant()) == CacheStats()


def test_an_answer_that_is_no_json_is_not_kept_and_another_may_get_it(memory: Recollection) -> None:
    if memory.is_local:
        pytest.skip("this process keeps any answer")
    whose = tenant()
    keep(memory, whose, "q1", holder="a", answer=Answer(text="x", details={"raw": object()}))
    told = ask(memory, whose, "q1", holder="b")
    assert (told.exact, told.filled_by) == (None, None)


def test_lone_surrogates_go_through(memory: Recollection) -> None:
    whose = "tenant \udc80" + tenant()
    kept = keep(memory, whose, "q1", text="a \ud800", answer=Answer(text="b \udfff"), model="m \udc00", scope=SCOPE)
    assert ask(another(memory), whose, "q1").exact == kept


def test_a_batch_of_many_answers_is_kept_whole(memory: Recollection) -> None:
    whose = tenant()
    epoch = ask(memory, whose, "q0").epoch
    batch = [Kept(tenant=whose, entry=entry(f"q{n}", epoch), holder="me") for n in range(150)]
    assert memory.shelf is not None
    memory.shelf.keep(batch, NOW)
    assert memory.shelf.stats(whose).entries == 150
