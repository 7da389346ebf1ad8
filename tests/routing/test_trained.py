"""A trained predictor at work: whole values from arrays small enough to work out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from steprouter.routing.marks import PLACES, SHAPE, read
from steprouter.routing.odds import Prior
from steprouter.routing.predict import Expected, Predictor
from steprouter.routing.trained import Curve, LinearForm, NearestForm, TrainedPredictor

VECTOR = np.array([0.6, 0.8], dtype=np.float32)


def floats(*numbers: object) -> np.ndarray:
    return np.array(numbers, dtype=np.float32)


def predictor(form: LinearForm | NearestForm | None) -> TrainedPredictor:
    return TrainedPredictor(
        kinds={"answer": 0, "plan": 1},
        models=("large", "small"),
        embedder=None,
        form=form,
        curve=Curve(),
        known=np.array([[True, True], [True, False]]),
        means=np.array([[0.9, 0.5], [0.8, 0.0]]),
        low=np.array([0.3, 0.1]),
        high=np.array([0.95, 0.8]),
        strength=7.0,
        output_tokens=np.array([[100.0, 80.0], [np.nan, 10.0]]),
        seconds=np.full((2, 2), np.nan),
    )


LINEAR = LinearForm(
    base=floats([1.0, 0.0], [2.0, 0.0]),
    always=floats(0.5),
    models=floats([0.0, 1.0]),
    vector=floats([1.0], [-1.0]),
)
"""Small's log odds are .5 + x − y of the vector (x, y); large's are the table's."""


def told(found: object) -> dict[str, float]:
    assert isinstance(found, dict)
    return {model: prior.success for model, prior in found.items()}


def test_a_sum_of_table_and_weights_becomes_a_probability() -> None:
    found = predictor(LINEAR).priors("answer", VECTOR, "")
    assert told(found) == pytest.approx({"large": 1 / (1 + np.exp(-1)), "small": 1 / (1 + np.exp(-0.3))})
    assert isinstance(found["small"], Prior)
    assert found["small"].strength == 7.0


def test_words_and_shape_count_with_the_vector() -> None:
    places, counts, shape = read("why")
    words = np.zeros((PLACES, 1), dtype=np.float32)
    words[places] = 2.0
    form = replace(
        LINEAR,
        words=words,
        rarity=np.ones(PLACES, dtype=np.float32),
        shape=np.full((len(SHAPE), 1), 0.1, dtype=np.float32),
        shape_mean=np.zeros(len(SHAPE), dtype=np.float32),
        shape_width=np.ones(len(SHAPE), dtype=np.float32),
    )
    logits = form.logits(0, VECTOR, "why")
    assert logits is not None
    assert logits[1] == pytest.approx(0.3 + 2.0 * len(counts) ** 0.5 + 0.1 * float(shape.sum()), rel=1e-5)
    assert form.logits(0, VECTOR, "  ") is None


def test_a_probability_stays_within_what_was_measured() -> None:
    far = replace(LINEAR, always=floats(50.0))
    assert told(predictor(far).priors("answer", VECTOR, ""))["small"] == 0.8
    near = replace(LINEAR, always=floats(-50.0))
    assert told(predictor(near).priors("answer", VECTOR, ""))["small"] == 0.1


def test_what_it_does_not_know_it_leaves_out() -> None:
    knowing = predictor(LINEAR)
    assert set(knowing.priors("plan", VECTOR, "")) == {"large"}
    assert knowing.priors("code", VECTOR, "") == {}
    assert knowing.priors("answer", None, "") == {}
    assert knowing.priors("answer", floats(1.0), "") == {}
    assert knowing.usual("plan") == {"large": 0.8}


def test_without_a_form_it_still_knows_lengths() -> None:
    silent = predictor(None)
    assert (silent.enabled, silent.dimension, silent.priors("answer", VECTOR, "")) == (False, None, {})
    assert silent.expected("answer", "small") == Expected(output_tokens=80.0)
    assert silent.expected("plan", "large") == silent.expected("answer", "none") == Expected()


def test_the_nearest_steps_of_the_kind_speak_for_the_model() -> None:
    form = NearestForm(
        vectors=floats([0.6, 0.8], [0.8, -0.6], [0.6, 0.8]),
        starts=np.array([0, 2, 3]),
        good=floats([2.0, 0.0], [0.0, 2.0], [9.0, 9.0]),
        mass=floats([2.0, 2.0], [2.0, 2.0], [9.0, 9.0]),
        base=floats([0.5, 0.5], [0.5, 0.5]),
        strength=2.0,
        neighbours=1,
        furthest=0.01,
    )
    logits = form.logits(0, VECTOR, "")
    assert logits is not None
    assert (1 / (1 + np.exp(-logits))).tolist() == pytest.approx([3 / 4, 1 / 4])


def test_a_curve_of_corners_is_followed_and_flat_beyond_its_ends() -> None:
    bent = Curve(scores=np.array([-1.0, 1.0]), logits=np.array([-0.5, 0.5]))
    assert bent(np.array([-9.0, 0.0, 9.0])).tolist() == [-0.5, 0.0, 0.5]


def test_a_trained_predictor_keeps_the_promise_of_predictors() -> None:
    promised: Predictor = predictor(LINEAR)
    assert promised.embedder is None
    assert "small" in repr(promised)
