"""Which of the answers that a recall brought may be given again."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage
from questions import NOW, QUESTION, SYSTEM, entry, near, scoped

from steprouter.caching.bound import BANDS, READ_ALIKE, SAME_WORDS
from steprouter.caching.entry import Cached, Tally
from steprouter.caching.facets import facets_of
from steprouter.caching.lookup import Doubt, Hit, Miss, look_up
from steprouter.caching.policy import AnswerCache
from steprouter.caching.scope import Scope

TRAPS = Path(__file__).parents[2] / "benchmarks" / "data" / "cache_traps.jsonl"
TRUSTED = Tally(right=1e9)
BLIND = {SAME_WORDS: TRUSTED} | {
    f"{READ_ALIKE}, alike by {band}": TRUSTED
    for band in (*(f"{least:g}" for least in BANDS), f"less than {BANDS[-1]:g}")
}
"""Pools as trusting as luck or an attacker could make them."""


def asked(text="How do I oil a chain?", scope="s"):
    return Scope(exact="e", semantic=scope, text=text, facets=facets_of(text))


def looked(scope, *found, exact=None, pools=None, cache=None, draw=0.5, epoch=0):
    cached = Cached(exact=exact, near=found, pools=pools or {}, epoch=epoch)
    return look_up(scope, cached, cache or AnswerCache(), now=NOW, draw=draw)


def test_the_very_question_is_answered_again():
    kept = entry(id="e")
    assert looked(asked(), exact=kept) == Hit(entry=kept, layer="exact")


def test_the_very_question_is_not_answered_where_the_user_compares_by_meaning_only():
    assert isinstance(looked(asked(), exact=entry(id="e"), cache=AnswerCache(exact=False)), Miss)


@pytest.mark.parametrize("gone", [{"expires_at": NOW}, {"epoch": 1}, {"epoch": -1}, {"id": "another"}])
def test_what_has_expired_was_removed_or_is_another_answer_is_not_there(gone):
    assert isinstance(looked(asked(), exact=entry(**{"id": "e", **gone})), Miss)


@pytest.mark.parametrize("gone", [{"expires_at": NOW}, {"epoch": 1}, {"scope": "another"}, {"scope": ""}])
def test_no_more_is_an_answer_to_something_like_it(gone):
    found = looked(asked(), near("how do I oil a chain", **gone), pools=BLIND)
    assert found == Miss(reasons=("nothing like it was asked before",))


def test_the_same_words_are_answered_again_from_the_start():
    found = looked(asked(), near("hi, how do i oil a chain", 0.93))
    assert isinstance(found, Hit)
    assert (found.layer, found.pool, found.similarity, found.audited) == ("semantic", SAME_WORDS, 0.93, False)
    assert found.bound < 0.01


def test_other_words_are_doubtful_until_enough_were_right():
    doubt = looked(asked(), near("How can one oil a chain?", 0.99))
    assert isinstance(doubt, Doubt)
    assert doubt.bound > 0.9
    assert isinstance(
        looked(asked(), near("How can one oil a chain?", 0.99), pools={doubt.pool: Tally(right=250)}), Doubt
    )
    assert isinstance(
        looked(asked(), near("How can one oil a chain?", 0.99), pools={doubt.pool: Tally(right=310)}), Hit
    )


def test_evidence_of_one_pool_says_nothing_in_another():
    doubt = looked(asked(), near("How can one oil a chain?", 0.99))
    found = looked(asked(), near("How can one oil a chain?", 0.8), pools={doubt.pool: Tally(right=1_000)})
    assert isinstance(found, Doubt)


def test_an_answer_with_a_good_record_of_its_own_is_given_before_its_pool_is_trusted():
    doubt = looked(asked(), near("How can one oil a chain?", 0.99))
    pools = {doubt.pool: Tally(right=100)}
    assert isinstance(looked(asked(), near("How can one oil a chain?", 0.99, right=30), pools=pools), Hit)


def test_an_answer_that_was_found_wrong_is_given_to_nobody_and_looked_at_no_more():
    found = looked(asked(), near("how do i oil a chain", right=50, wrong=0.9), pools=BLIND)
    assert isinstance(found, Miss)
    assert "found wrong" in found.reasons[0]


def test_of_several_answers_the_surest_is_given_not_the_likest():
    worse, better = near("How can one oil a chain?", 0.99), near("how do i oil a chain?", 0.9)
    wrong = near("How do I oil a chain", 1.0, wrong=1)
    assert looked(asked(), worse, wrong, better).entry == better.entry


def test_a_miss_says_what_differs_and_nothing_of_what_was_asked():
    found = looked(asked(), near("How do I oil two chains?", 0.91), near("How do I not oil a chain?", 0.9), pools=BLIND)
    assert isinstance(found, Miss)
    assert "alike by 0.91, but another: number" in found.reasons[0]
    assert "negation" in found.reasons[1]
    assert not any("chain" in reason for reason in found.reasons)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("great", "great, thanks!"),
        ("I would like to thank you ai", "hello there ai"),
        ("volume down", "please volume down"),
    ],
)
def test_where_little_is_said_courtesies_count(a, b):
    found = looked(asked(a), near(b), pools=BLIND)
    assert isinstance(found, Miss)
    assert isinstance(looked(asked(a), near(f" {a}! "), pools=BLIND), Hit)


def test_where_meaning_is_not_compared_the_miss_says_why():
    scope = Scope(exact="e", why_not="tools may be called")
    assert looked(scope, near("How do I oil a chain?")).reasons[-1] == "tools may be called"


def test_a_share_of_what_is_given_by_meaning_is_audited():
    cache = AnswerCache(audit_share=0.02)
    assert looked(asked(), near("how do i oil a chain"), cache=cache, draw=0.019).audited
    assert not looked(asked(), near("how do i oil a chain"), cache=cache, draw=0.02).audited


def test_a_stricter_user_is_given_less():
    assert isinstance(looked(asked(), near("how do i oil a chain"), cache=AnswerCache(max_error=0.001)), Doubt)
    assert isinstance(looked(asked(), near("How can one oil a chain?"), cache=AnswerCache(max_error=0.49)), Doubt)


def test_facets_that_cannot_be_read_agree_with_nothing():
    unread = replace(near("how do i oil a chain"), entry=entry("how do i oil a chain", facets=None))
    assert isinstance(looked(asked(), unread, pools=BLIND), Miss)


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_a_likeness_of_whatever_number_makes_no_hit_of_another_question(similarity):
    assert isinstance(looked(asked(), near("How do I oil my car?", similarity), pools=BLIND), Miss)


def test_a_scope_as_steps_have_it_finds_what_was_kept_under_it():
    scope, again = scoped(SYSTEM, QUESTION), scoped(SYSTEM, HumanMessage("how do I oil a chain"))
    kept = near(scope.text, id=scope.exact, scope=scope.semantic)
    assert looked(scope, exact=kept.entry).layer == "exact"
    assert looked(again, kept).layer == "semantic"


@pytest.mark.skipif(not TRAPS.exists(), reason="the benchmarks are not part of a source distribution")
def test_no_trap_is_fallen_into_however_trusted_the_pools():
    traps = [json.loads(line) for line in TRAPS.read_text(encoding="utf-8").splitlines()]
    served = []
    for trap in traps:
        # Both ways round, and under one scope even where the trap lies in that they differ by it.
        for one, other in ((trap["a"], trap["b"]), (trap["b"], trap["a"])):
            found = looked(asked(one), near(other, 1.0, right=1e6), pools=BLIND)
            if isinstance(found, Hit) and "scope_a" not in trap:
                served.append(trap)
    assert len(traps) >= 400
    assert served == []
