"""The nearest outcomes: rows in columns, replaced as labels come, and what they weigh."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steprouter.memory.neighbours import (
    NEIGHBOURS,
    SESSION_CAP,
    WIDTH,
    Near,
    Nearest,
    Row,
    empty,
    evidence,
    masses,
    nearest,
    products,
    thread_code,
)
from steprouter.memory.outcomes import HALF_LIFE_SECONDS

DIMENSION = 8
NOW = 1_000_000_000.0


def direction(seed: int) -> np.ndarray:
    vector = np.random.default_rng(seed).standard_normal(DIMENSION).astype(np.float32)
    return vector / np.linalg.norm(vector)


def row(name="a", *, model="small", thread=None, at=NOW, changed=NOW, score=1.0, weight=1.0, vector=None) -> Row:
    vector = direction(0) if vector is None else vector
    return Row(id=name, model=model, thread=thread, at=at, changed=changed, score=score, weight=weight, vector=vector)


def near(*, cosines, scores=None, weights=None, ages=None, threads=None) -> Near:
    n, names = len(cosines), [None, *dict.fromkeys(filter(None, threads or []))]
    return Near(
        cosines=np.array(cosines, dtype=np.float32),
        scores=np.array(scores or [1.0] * n),
        weights=np.array(weights or [1.0] * n),
        at=NOW - np.array(ages or [0.0] * n),
        sessions=np.array([names.index(thread) for thread in threads or [None] * n], dtype=np.intp),
    )


def said(rows: Near) -> tuple[float, float]:
    """What the rows of one model add to its successes and failures."""
    return evidence(Nearest(rows=rows, models=("small",), ends=(len(rows),)), NOW, {})["small"]


ROWS = st.lists(
    st.builds(
        row,
        st.sampled_from([f"id-{i}" for i in range(12)]),
        model=st.sampled_from(["small", "large", "mid"]),
        thread=st.sampled_from([None, "t-1", "t-2"]),
        changed=st.integers(0, 20).map(float),
        score=st.sampled_from([0.0, 0.5, 1.0]),
        vector=st.integers(0, 30).map(direction),
    ),
    max_size=20,
)


def named(rows):
    """The rows as they should stand after they came in this order, the last of each name."""
    return {one.id: one for one in rows}


@given(batches=st.lists(ROWS, max_size=4))
def test_rows_are_added_and_replaced_by_name_newest_change_first(batches):
    here = empty(DIMENSION)
    for batch in batches:
        here = here.with_rows(batch)
    expected = named(one for batch in batches for one in batch)
    assert set(here.ids) == set(expected)
    assert list(here.changed) == sorted((one.changed for one in expected.values()), reverse=True)
    assert set(here.models) == {one.model for one in expected.values()}
    for place, name in enumerate(here.ids):
        one = expected[name]
        assert (here.models[here.codes[place]], here.scores[place]) == (one.model, one.score)
        assert here.threads[place] == thread_code(one.thread)
        assert np.array_equal(here.vectors[place], one.vector)


@given(rows=ROWS, gone=st.sets(st.sampled_from([f"id-{i}" for i in range(12)])), limit=st.integers(1, 12))
def test_what_is_left_out_is_gone_and_beyond_the_limit_the_oldest_changes_go(rows, gone, limit):
    here = empty(DIMENSION).with_rows(rows).with_rows([], without=gone, limit=limit)
    left = [one for one in named(rows).values() if one.id not in gone]
    assert list(here.changed) == sorted((one.changed for one in left), reverse=True)[:limit]
    assert set(here.ids) <= {one.id for one in left}
    of_models = [here.by_model[start:end] for start, end in pairwise((0, *here.ends))]
    assert [set(here.codes[rows]) for rows in of_models] == [{code} for code in range(len(here.models))]
    assert sorted(here.by_model) == list(range(len(here)))


@given(rows=ROWS, seed=st.integers(0, 30), k=st.integers(1, 6))
@settings(deadline=None)
def test_the_nearest_of_each_model_are_those_that_a_plain_search_finds(rows, seed, k):
    found = nearest(empty(DIMENSION).with_rows(rows), direction(seed), k=k)
    by_model = {}
    for one in named(rows).values():
        by_model.setdefault(one.model, []).append(float(one.vector @ direction(seed)))
    assert set(found) == set(by_model)
    for model, cosines in by_model.items():
        nearest_first = sorted(found[model].cosines, reverse=True)
        assert nearest_first == pytest.approx(sorted(cosines, reverse=True)[:k], abs=1e-5)


def test_every_column_of_a_near_row_belongs_to_that_row():
    rows = [row(f"{i}", vector=direction(i), score=i / 100, weight=i / 200, at=NOW - i) for i in range(100)]
    found = nearest(empty(DIMENSION).with_rows(rows), direction(7))["small"]
    assert len(found) == NEIGHBOURS
    best = found.cosines.argmax()
    assert (found.scores[best], found.weights[best], found.at[best]) == (0.07, 0.035, NOW - 7)
    numbers = np.round(found.scores * 100).astype(int)
    assert [float(direction(i) @ direction(7)) for i in numbers] == pytest.approx(list(found.cosines), abs=1e-5)


@given(of_one=st.integers(1, 70), alike=st.integers(0, 60), k=st.integers(1, 50))
def test_of_rows_that_are_just_as_near_only_as_many_are_taken_as_are_asked_for(of_one, alike, k):
    spread = [row(f"far-{i}", vector=direction(i)) for i in range(of_one)]
    same = [row(f"same-{i}", vector=direction(7), model="small" if i % 3 else "large") for i in range(alike)]
    found = nearest(empty(DIMENSION).with_rows([*spread, *same]), direction(7), k=k)
    large = sum(one.model == "large" for one in same)
    assert {model: len(rows) for model, rows in found.items()} == {
        "small": min(k, of_one + alike - large),
        **({"large": min(k, large)} if large else {}),
    }
    assert len(found.rows) == sum(len(rows) for rows in found.values())


@given(rows=ROWS, seed=st.integers(0, 30))
def test_the_models_evidence_is_what_the_rows_of_each_say_by_themselves(rows, seed):
    found = nearest(empty(DIMENSION).with_rows(rows), direction(seed), k=5)
    aged = {"small": (NOW + 1, 2.0)}
    together = evidence(found, NOW, aged)
    assert set(together) == set(found)
    for model, own in found.items():
        before, half_lives = aged.get(model, (0.0, 0.0))
        weights = masses(own, NOW, (own.at < before) * half_lives * HALF_LIFE_SECONDS)
        assert together[model] == pytest.approx((weights @ own.scores, weights @ (1 - own.scores)), abs=1e-9)


def test_a_session_is_capped_for_each_model_by_itself():
    vector = direction(0)
    rows = [
        row(f"{model}-{i}", model=model, thread="loop", vector=vector) for model in ("small", "large") for i in range(9)
    ]
    found = evidence(nearest(empty(DIMENSION).with_rows(rows), vector), NOW, {})
    assert found == {"small": pytest.approx((SESSION_CAP, 0.0)), "large": pytest.approx((SESSION_CAP, 0.0))}


def test_a_row_without_vector_and_an_unchanged_neighbourhood_cost_nothing():
    here = empty(DIMENSION).with_rows([row("a")])
    blind = Row(id="b", model="small", at=NOW, changed=NOW, score=1.0, weight=1.0)
    assert here.with_rows([]) is here
    assert here.with_rows([blind]) is here
    assert nearest(empty(DIMENSION), direction(1)) == {}


def test_a_vector_of_another_dimension_is_refused_in_words():
    with pytest.raises(ValueError, match="must have 8 numbers"):
        empty(DIMENSION).with_rows([row(vector=np.ones(3, dtype=np.float32))])
    with pytest.raises(ValueError):
        nearest(empty(DIMENSION).with_rows([row()]), np.ones(3))


def test_a_model_that_lost_its_rows_is_no_longer_named():
    here = empty(DIMENSION).with_rows([row("a", model="small"), row("b", model="large")])
    here = here.with_rows([row("c", model="new")], without=["a"])
    assert set(nearest(here, direction(0))) == {"large", "new"}
    assert here.models == tuple(sorted(here.models, key=here.models.index))
    assert repr(here).startswith("Neighbourhood(2 rows of ")


@pytest.mark.parametrize("count", [0, 1, 34, 35, 36, 100])
def test_products_in_blocks_are_those_of_one_multiplication(count):
    chance = np.random.default_rng(count)
    vectors = chance.standard_normal((count, 256)).astype(np.float32)
    one = chance.standard_normal(256)
    assert products(vectors, one) == pytest.approx(vectors @ one, rel=1e-4, abs=1e-4)


def test_a_row_weighs_by_nearness_age_and_confidence():
    far, old = math.exp(-0.3 / WIDTH), 0.5
    weights = masses(near(cosines=[1.0, 0.7, 1.0], weights=[1.0, 0.5, 0.6], ages=[0, 0, HALF_LIFE_SECONDS]), NOW)
    assert list(weights) == pytest.approx([1.0, 0.5 * far, 0.6 * old], rel=1e-5)


def test_a_step_from_a_clock_that_runs_ahead_weighs_no_more_than_one_of_now():
    assert list(masses(near(cosines=[1.0000001], ages=[-5000.0]), NOW)) == [1.0]


def test_evidence_is_split_by_the_scores_into_success_and_failure():
    found = said(near(cosines=[1.0, 1.0], scores=[1.0, 0.25], weights=[0.6, 0.4]))
    assert found == pytest.approx((0.7, 0.3))
    assert evidence(nearest(empty(DIMENSION), direction(0)), NOW, {}) == {}


def test_the_rows_of_one_session_weigh_no_more_than_the_cap_together():
    capped = near(cosines=[1.0] * 12, threads=["loop"] * 10 + ["other", None], scores=[0.0] * 10 + [1.0, 1.0])
    weights = masses(capped, NOW)
    assert weights[:10].sum() == pytest.approx(SESSION_CAP)
    assert list(weights[10:]) == [1.0, 1.0]
    assert said(capped) == pytest.approx((2.0, SESSION_CAP))


def test_rows_outside_any_session_are_not_capped():
    assert masses(near(cosines=[1.0] * 10), NOW).sum() == pytest.approx(10.0)


@given(threads=st.lists(st.sampled_from([None, "a", "b"]), min_size=1, max_size=20), seed=st.integers(0, 99))
def test_capping_keeps_the_proportions_within_a_session(threads, seed):
    chance = np.random.default_rng(seed)
    one = near(cosines=list(chance.uniform(0.9, 1, len(threads))), threads=threads)
    alone = near(cosines=list(one.cosines), threads=[None] * len(threads))
    weights, free = masses(one, NOW), masses(alone, NOW)
    for thread in set(threads):
        places = [place for place, other in enumerate(threads) if other == thread]
        most = math.inf if thread is None else SESSION_CAP
        assert weights[places].sum() == pytest.approx(min(most, free[places].sum()))
        assert weights[places] / free[places] == pytest.approx(weights[places[0]] / free[places[0]])
