from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steprouter.memory.episodes import SOLVABLE, Share, odds, spread
from steprouter.memory.labels import CONFIDENCE, RANK, Source, label, replaces
from steprouter.memory.outcomes import HALF_LIFE_LABELS, HALF_LIFE_SECONDS, Tally, count

NOW = 1_800_000_000.0

labels = st.builds(
    label, st.just("s"), st.sampled_from(Source), st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([NOW, NOW + 1])
)


def test_every_source_has_a_rank_of_its_own_and_a_confidence():
    assert len(set(RANK.values())) == len(Source) == len(CONFIDENCE)
    assert all(0 < confidence <= 1 for confidence in CONFIDENCE.values())


def test_what_a_person_says_of_a_step_outranks_everything():
    said = label("s", Source.FEEDBACK, 1.0, NOW)
    later = [label("s", source, 0.0, NOW + 1000) for source in Source if source is not Source.FEEDBACK]
    assert not any(replaces(one, said) for one in later)


@given(labels, labels, labels)
def test_the_best_of_labels_does_not_depend_on_their_order(a, b, c):
    def best(*given):
        kept = given[0]
        for one in given[1:]:
            kept = one if replaces(one, kept) else kept
        return kept

    assert best(a, b, c) == best(c, b, a) == best(b, c, a)


def test_a_label_weighs_half_after_its_half_life_and_after_as_many_newer_labels():
    tally, _ = count(Tally(), label("s", Source.FEEDBACK, 1.0, NOW), at=NOW, now=NOW)
    assert tally.masses(NOW + HALF_LIFE_SECONDS)[0] == pytest.approx(0.5)
    for _ in range(HALF_LIFE_LABELS):
        tally, _ = count(tally, label("t", Source.FEEDBACK, 0.0, NOW), at=NOW, now=NOW)
    assert tally.successes == pytest.approx(0.5)


@given(st.lists(st.tuples(labels, st.floats(0, 1e6)), min_size=1, max_size=8))
def test_replacing_labels_ends_where_the_last_one_alone_would_have(given_labels):
    tally, counted, now = Tally(), None, NOW
    for one, later in given_labels:
        now += later
        tally, counted = count(tally, one, at=NOW, now=now, old=counted)
    alone, _ = count(Tally(), given_labels[-1][0], at=NOW, now=NOW)
    assert tally.labels == 1
    assert tally.masses(now) == pytest.approx(alone.masses(now), abs=1e-9)


def test_a_late_label_weighs_what_it_would_have_weighed_in_time():
    one = label("s", Source.TOOL, 0.0, NOW)
    in_time, _ = count(Tally(), one, at=NOW, now=NOW)
    late, _ = count(Tally(), one, at=NOW, now=NOW + 5000)
    assert late.masses(NOW + 5000) == pytest.approx(in_time.masses(NOW + 5000))


def test_a_good_episode_speaks_for_each_of_its_steps():
    shares = spread(1.0, [Share(step_id="a", success=0.9), Share(step_id="b", success=0.2)], at=NOW)
    assert [(one.step_id, one.score, one.source) for one in shares] == [
        ("a", 1.0, Source.EPISODE),
        ("b", 1.0, Source.EPISODE),
    ]


def test_a_failed_episode_blames_the_step_that_was_likeliest_to_fail():
    sure, doubtful = spread(0.0, [Share(step_id="a", success=0.95), Share(step_id="b", success=0.5)], at=NOW)
    failed = 1 - SOLVABLE * 0.95 * 0.5
    assert (sure.score, doubtful.score) == pytest.approx((1 - 0.05 / failed, 1 - 0.5 / failed))


def test_steps_with_a_label_of_their_own_are_not_labelled_again_but_take_their_part_of_the_blame():
    known = Share(step_id="a", success=0.9, label=label("a", Source.TOOL, 0.0, NOW))
    other = Share(step_id="b", success=0.9)
    (only,) = spread(0.0, [known, other], at=NOW)
    (alone,) = spread(0.0, [other], at=NOW)
    assert only.step_id == "b"
    assert only.score > alone.score


@given(st.floats(0, 1), st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_shares_of_an_episode_are_scores_whatever_the_odds(score, successes):
    steps = [Share(step_id=str(n), success=p) for n, p in enumerate(successes)]
    assert all(0 <= one.score <= 1 for one in spread(score, steps, at=NOW))


def test_odds_begin_at_the_prior_and_follow_the_counts():
    assert odds(None, NOW) == 0.8
    assert odds(Tally(failures=98.0, at=NOW), NOW) == pytest.approx(0.016)
