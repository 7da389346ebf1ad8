"""Training: what is learnt where there is something to learn, and what is refused where there is not."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from outcomes import EASY, HARD, outcomes, preferences

from steprouter import ConfigError
from steprouter.embedding import StaticEmbedder
from steprouter.learning.averages import averages
from steprouter.learning.calibration import isotonic, platt, worth
from steprouter.learning.contenders import TableOnly, chance, means_of
from steprouter.learning.contest import HeldOut, folds_of, hold_out, judged
from steprouter.learning.factors import Factors
from steprouter.learning.features import design, scales_of, seen
from steprouter.learning.logistic import Logistic
from steprouter.learning.minimise import minimise
from steprouter.learning.preferences import bradley_terry, with_preferences
from steprouter.learning.table import Row, table_of
from steprouter.learning.train import Training, embedded, train
from steprouter.routing.predict import STRONGEST, Expected
from steprouter.routing.trained import Curve, NearestForm

EMBEDDER = StaticEmbedder()


@cache
def trained(*, tells: bool = True) -> Training:
    return train(table_of(outcomes(400, tells=tells)), embedder=EMBEDDER)


def asked(training: Training, text: str) -> dict[str, float]:
    found = training.predictor.priors("answer", EMBEDDER.embed(text), text)
    return {model: prior.success for model, prior in found.items()}


def test_what_texts_tell_is_learnt_and_used() -> None:
    training = trained()
    assert training.enabled
    assert training.winner != "table"
    assert "log loss is" in training.why
    hard, easy = (
        asked(training, f"{HARD[0]} of case 7 about bread"),
        asked(training, f"{EASY[0]} of case 7 about bread"),
    )
    assert hard["small"] < 0.4 < 0.8 < easy["small"]
    assert hard["large"] > 0.7


def test_where_texts_tell_nothing_the_table_wins_and_gives_no_odds() -> None:
    training = trained(tells=False)
    assert (training.winner, training.enabled) == ("table", False)
    assert "no contender is clearly better" in training.why
    assert asked(training, HARD[0]) == {}


def test_lengths_and_times_are_foretold_even_where_odds_are_not() -> None:
    assert trained(tells=False).predictor.expected("answer", "small") == Expected(output_tokens=100.0, seconds=2.0)


def test_kinds_and_models_that_were_not_seen_are_left_to_the_step_kind_table() -> None:
    predictor, text = trained().predictor, HARD[0]
    assert predictor.priors("plan", EMBEDDER.embed(text), text) == {}
    assert set(predictor.priors("answer", EMBEDDER.embed(text), text)) == {"small", "large"}
    assert predictor.expected("plan", "small") == predictor.expected("answer", "huge") == Expected()


def test_without_vector_or_text_nothing_is_guessed() -> None:
    predictor = replace(trained().predictor)
    assert predictor.priors("answer", None, HARD[0]) == {}
    assert predictor.priors("answer", np.ones(3, dtype=np.float32), HARD[0]) == {}


def test_the_usual_prior_is_the_mean_over_texts() -> None:
    rows, usual = outcomes(400), trained().predictor.usual("answer")
    for model in ("small", "large"):
        assert usual[model] == pytest.approx(np.mean([row.success for row in rows if row.model == model]), abs=0.03)
    assert trained().predictor.usual("plan") == trained(tells=False).predictor.usual("answer") == {}


def test_a_model_with_few_rows_at_a_kind_gets_no_odds_there() -> None:
    rows = [*outcomes(300), *(replace(row, kind="plan") for row in outcomes(300, seed=5) if row.model == "large")]
    rows += [replace(row, kind="plan") for row in outcomes(5, seed=9) if row.model == "small"]
    predictor = train(table_of(rows), embedder=EMBEDDER).predictor
    assert set(predictor.priors("plan", EMBEDDER.embed(HARD[0]), HARD[0])) == {"large"}


def test_strength_lies_between_one_and_twelve_observations() -> None:
    assert 1 <= trained().predictor.strength <= STRONGEST


def test_the_same_seed_gives_the_same_predictor() -> None:
    again = train(table_of(outcomes(400)), embedder=EMBEDDER)
    assert again.standings == trained().standings
    assert asked(again, HARD[1]) == asked(trained(), HARD[1])


def test_all_contenders_are_judged_beside_the_table_with_cost_and_gap_recovered() -> None:
    told = {one.name: one for one in trained().standings}
    assert list(told) == ["table", "knn", "factors", "logistic"]
    assert trained().pair == ("small", "large")
    assert told["table"].apgr == pytest.approx(0.5)
    assert told["table"].leads is None
    assert told["logistic"].log_loss < told["table"].log_loss - 0.1
    assert told["logistic"].apgr is not None
    assert told["logistic"].apgr > 0.7
    assert told["logistic"].equal_quality_cost is not None
    assert told["logistic"].equal_quality_cost < 0.9


def test_no_text_makes_a_model_look_better_or_worse_than_any_that_was_measured() -> None:
    predictor = trained().predictor
    for text in (" ".join(HARD * 40), " ".join(EASY * 40), "=" * 5000, "prove " * 2000):
        for model, success in asked(trained(), text).items():
            place = predictor.models.index(model)
            assert predictor.low[place] <= success <= predictor.high[place]


def test_outcomes_without_text_are_learnt_from_by_their_vectors() -> None:
    rows = outcomes(300)
    vectors = EMBEDDER.embed_many([row.text or "" for row in rows])
    bare = [replace(row, text=None, vector=vector) for row, vector in zip(rows, vectors, strict=True)]
    training = train(table_of(bare), embedder=EMBEDDER.identity)
    assert training.enabled
    assert training.predictor.embedder == EMBEDDER.identity
    vector = EMBEDDER.embed(f"{HARD[0]} of case 3 about music")
    assert training.predictor.priors("answer", vector, "")["small"].success < 0.5


def test_texts_alone_are_learnt_from_without_an_embedder() -> None:
    training = train(table_of(outcomes(300)))
    assert (training.predictor.embedder, training.predictor.dimension) == (None, None)
    assert training.predictor.priors("answer", None, HARD[0])["small"].success < 0.5


def test_vectors_of_nobody_in_particular_are_refused() -> None:
    unit = np.array([1.0, 0.0], dtype=np.float32)
    rows = [Row(kind="answer", model="m", success=1.0, vector=unit)]
    with pytest.raises(ConfigError, match="embedder must name whose vectors"):
        train(table_of(rows))


def test_a_handful_of_texts_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 50 different texts or groups, got 10"):
        train(table_of(outcomes(10)), embedder=EMBEDDER)


def test_rows_of_a_group_are_never_on_both_sides_of_a_test() -> None:
    groups = np.array([0, 1, 2, 3, 4, 5] * 5)
    folds = folds_of(groups, 0)
    assert all(len(set(folds[groups == group])) == 1 for group in range(6))
    assert len(set(folds)) == 5


def test_an_answer_learnt_by_heart_does_not_count() -> None:
    """Each text is a group of many like rows with a label by lot: who saw them would foretell them perfectly."""
    draw = np.random.default_rng(0)
    labels = draw.random(120) < 0.5
    rows = [
        Row(kind="answer", model="m", success=float(label), text=f"{word} question {number}", group=f"g{number}")
        for number, label in enumerate(labels)
        for word in ("first", "second", "third")
    ]
    assert not train(table_of(rows), embedder=EMBEDDER).enabled


def test_the_simpler_of_two_equals_wins() -> None:
    table = table_of(outcomes(200))
    truth = np.array([[0.9, 0.2] if "prove" in text else [0.9, 0.9] for text in table.items.texts or ()])
    told = [
        HeldOut(name=name, logits=truth, chances=chances, is_isotonic=False, setting=1.0)
        for name, chances in (("table", np.full_like(truth, 0.75)), ("simple", truth), ("complicated", truth * 1.0001))
    ]
    assert judged(table, told, 0).winner == "simple"


def test_preferences_alone_say_which_model_is_stronger() -> None:
    table = table_of(outcomes(1), preferences(300))
    strengths = dict(zip(table.models, bradley_terry(table), strict=True))
    assert strengths["large"] > 0.3 > -0.3 > strengths["small"]
    assert sum(strengths.values()) == pytest.approx(0)


def test_a_preference_is_an_outcome_of_both_models_that_weighs_half() -> None:
    table = with_preferences(table_of(outcomes(1), preferences(3)))
    assert len(table) == 2 + 6
    assert table.weight[2:].tolist() == [0.5] * 6
    tie = table.success[2:][np.concatenate([table.first_won == 0.5] * 2)]
    assert (tie == 1).all()


def test_factors_learn_from_pairs_which_texts_need_the_stronger_model() -> None:
    table = embedded(with_preferences(table_of(outcomes(60), preferences(400))), EMBEDDER, lambda _: None)[0]
    texts, read = table.items.texts or (), seen(table.items)
    logits = Factors().fit(read, table, 1.0).logits(np.arange(len(texts)))
    lead = logits[:, table.models.index("large")] - logits[:, table.models.index("small")]
    is_hard = np.array([any(text.startswith(one) for one in HARD) for text in texts])
    assert lead[is_hard].mean() > lead[~is_hard].mean() + 1


def test_pairs_are_measured_when_there_are_some() -> None:
    training = train(table_of(outcomes(200), preferences(200)), embedder=EMBEDDER)
    losses = {one.name: one.preference_loss for one in training.standings}
    assert losses["factors"] is not None
    assert losses["table"] is not None
    assert losses["factors"] < losses["table"]


def test_with_a_heavy_penalty_the_table_is_left() -> None:
    table = table_of(outcomes(200))
    fitted = Logistic().fit(seen(table.items), table, 1e9)
    steps = np.arange(len(table.items))
    assert np.allclose(fitted.logits(steps), means_of(table).logits[table.items.kinds], atol=1e-4)


def test_held_out_means_of_the_table_are_not_calibrated_again() -> None:
    table = table_of(outcomes(200))
    told = hold_out(TableOnly(), seen(table.items), table, folds_of(table.items.groups, 0), 0)
    assert np.array_equal(told.chances, chance(told.logits))


def test_scales_are_those_of_the_steps_that_are_learnt_from() -> None:
    table = table_of(outcomes(100))
    read = seen(table.items)
    scales = scales_of(read, np.arange(50))
    features = design(read, scales)
    assert scales.shape_mean is not None
    assert np.allclose(scales.shape_mean, (read.shapes if read.shapes is not None else np.empty(0))[:50].mean(axis=0))
    lengths = np.bincount(features.rows, features.values**2, minlength=len(features))
    assert np.allclose(lengths, 1)


def test_the_slope_of_features_is_the_derivative_of_their_scores() -> None:
    table = table_of(outcomes(20))
    read = seen(table.items)
    features = design(read, scales_of(read, np.arange(20)))
    draw = np.random.default_rng(0)
    weights, errors = draw.normal(size=features.width), draw.normal(size=len(features))
    assert features.scores(weights) @ errors == pytest.approx(weights @ features.slope(errors), rel=1e-4)


def test_a_smooth_function_is_minimised() -> None:
    target, widths = np.array([1.0, -2.0, 3.0]), np.array([1.0, 10.0, 100.0])
    found = minimise(
        lambda x: (float(widths @ (x - target) ** 2), 2 * widths * (x - target)), np.zeros(3), gained=1e-14
    )
    assert found == pytest.approx(target, abs=1e-4)


def scores_and_outcomes(slope: float) -> tuple[Any, ...]:
    draw = np.random.default_rng(0)
    logits = draw.normal(0, 2, 4000)
    return logits, (draw.random(4000) < chance(slope * logits)).astype(float), np.ones(4000)


def test_overconfidence_is_taken_back() -> None:
    found = platt(*map(np.asarray, scores_and_outcomes(0.5)))
    assert (found.slope, found.intercept) == pytest.approx((0.5, 0.0), abs=0.07)


def test_a_curve_of_corners_rises_and_fits() -> None:
    logits, successes, weights = map(np.asarray, scores_and_outcomes(0.5))
    found = isotonic(logits, successes, weights)
    assert (np.diff(found.logits) >= 0).all()
    assert (np.diff(found.scores) > 0).all()
    assert chance(found(np.array([2.0])))[0] == pytest.approx(chance(np.array([1.0]))[0], abs=0.08)


def test_true_guesses_are_worth_most_and_wrong_ones_little() -> None:
    logits, successes, weights = map(np.asarray, scores_and_outcomes(1.0))
    cells = np.zeros(len(logits), dtype=np.int64)
    assert worth(successes, chance(logits), weights, cells) == STRONGEST
    assert worth(successes, chance(-logits), weights, cells) == 1
    assert 1 < worth(successes, chance(0.4 * logits), weights, cells) < STRONGEST


def test_averages_are_drawn_to_the_models_own_and_unknown_where_there_is_nothing() -> None:
    rows = [Row(kind="answer", model="m", success=1.0, text=f"{n}", output_tokens=100.0) for n in range(5)]
    rows += [Row(kind="plan", model="m", success=1.0, text="p", output_tokens=700.0)]
    rows += [Row(kind="plan", model="other", success=1.0, text="p")]
    table = table_of(rows)
    found = averages(table, table.output_tokens)
    assert found[0, 0] == pytest.approx((500 + 5 * 200) / 10)
    assert found[1, 0] == pytest.approx((700 + 5 * 200) / 6)
    assert np.isnan(found[:, 1]).all()


def test_a_kind_without_neighbours_gets_the_tables_mean() -> None:
    form = NearestForm(
        vectors=np.eye(2, dtype=np.float32),
        starts=np.array([0, 2, 2]),
        good=np.ones((2, 1), dtype=np.float32),
        mass=np.ones((2, 1), dtype=np.float32),
        base=np.array([[0.5], [0.25]], dtype=np.float32),
        strength=2.0,
        neighbours=100,
        furthest=0.01,
    )
    vector = np.array([1.0, 0.0], dtype=np.float32)
    logits = [form.logits(kind, vector, "") for kind in (0, 1)]
    assert [float(chance(one)[0]) for one in logits if one is not None] == pytest.approx([2 / 3.0013, 0.25], abs=1e-3)
    assert form.logits(0, None, "text") is None


def test_an_untouched_curve_changes_nothing() -> None:
    assert Curve()(np.array([-1.0, 2.0])).tolist() == [-1.0, 2.0]
