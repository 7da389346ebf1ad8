"""What is read of a text: words into places, and its shape."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steprouter.routing.marks import CHARACTERS, PLACES, SHAPE, SHAPE_WIDTH, marks, read, standardised, weighted


def test_the_same_text_falls_on_the_same_places_in_any_process() -> None:
    """Pinned, because weights in files mean nothing under another reading: change `VERSION` with these."""
    places, counts, _ = read("Prove it, prove it!")
    assert places.tolist() == PINNED
    assert counts.tolist() == pytest.approx(PINNED_COUNTS)


PINNED = [2913, 18279, 18734, 28419, 39916, 50411, 56077, 57301]
PINNED_COUNTS = [1.0, 1.0, 1.0, 1.693147, 1.693147, 1.0, 1.693147, 1.0]


def test_case_does_not_count_and_order_does() -> None:
    assert read("Dog bites man")[0].tolist() == read("dog bites MAN")[0].tolist()
    assert read("dog bites man")[0].tolist() != read("man bites dog")[0].tolist()


def test_a_repeated_word_weighs_more_but_not_as_often_more() -> None:
    once, thrice = marks(["a"])[1], marks(["a", "a", "a"])[1]
    assert once.tolist() == [1.0]
    assert max(thrice.tolist()) < 3


def test_beyond_the_first_characters_nothing_is_read() -> None:
    text = "word " * CHARACTERS
    assert all(np.array_equal(one, other) for one, other in zip(read(text), read(text + "more"), strict=True))


@given(st.text(max_size=300))
def test_any_text_can_be_read(text: str) -> None:
    places, counts, shape = read(text)
    assert len(places) == len(counts)
    assert shape.shape == (len(SHAPE),)
    assert ((places >= 0) & (places < PLACES)).all()
    assert (np.diff(places) > 0).all()
    assert np.isfinite(shape).all()


def test_lone_surrogates_and_no_text_at_all_can_be_read() -> None:
    assert len(read("\ud800 x")[0]) > 0
    assert len(read("")[0]) == 0
    assert not read("")[2].any()


def test_words_have_unit_length_together_so_that_many_are_no_louder_than_few() -> None:
    rarity = np.ones(PLACES, dtype=np.float32)
    for text in ("one", "one two three four five six seven"):
        places, counts, _ = read(text)
        assert np.isclose(np.linalg.norm(weighted(places, counts, rarity)), 1)
    assert not weighted(*read("one")[:2], np.zeros(PLACES, dtype=np.float32)).any()


def test_a_shape_far_from_all_others_counts_as_just_far() -> None:
    mean, width = np.zeros(len(SHAPE), dtype=np.float32), np.ones(len(SHAPE), dtype=np.float32)
    assert standardised(read("=" * 2000)[2], mean, width).max() == SHAPE_WIDTH
