"""Whether a kind stands in a text at all: as in finding it, and through some disguises more."""

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redaction_samples import NEGATIVES, POSITIVES

from steprouter.redaction import PERSONAL_KINDS, Kind, find, redact
from steprouter.redaction.presence import FAR_FROM_DIGITS, NEAR, joined, kinds_in

EVERY = frozenset(Kind)
FILLING = " far from all digits " * 40


@pytest.mark.parametrize(("kind", "value", "frame"), POSITIVES)
def test_each_kind_that_is_found_is_there_wherever_it_stands(kind, value, frame):
    text = f" {frame.format(value)} "
    assert Kind(kind) in kinds_in(text, EVERY)
    assert kinds_in(f"{FILLING}{text}{FILLING}", {Kind(kind)}) == {kind}
    assert kinds_in(f"1{FILLING}{text}{FILLING}1", {Kind(kind)}) == {kind}


@pytest.mark.parametrize("text", NEGATIVES)
def test_nothing_personal_is_in_ordinary_text(text):
    assert kinds_in(text, PERSONAL_KINDS) == frozenset()


@pytest.mark.parametrize("text", [frame.format(value) for _, value, frame in POSITIVES])
def test_what_was_redacted_is_not_there_any_more(text):
    assert kinds_in(redact(text).text, EVERY) == frozenset()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("4111\u200b1111\u200b1111\u200b1111", "credit_card"),
        ("４１１１１１１１１１１１１１１１", "credit_card"),
        ("٤١١١١١١١١١١١١١١١", "credit_card"),
        ("4111\U000e00411111\U000e00411111\U000e00411111", "credit_card"),
        ("ann＠example．org", "email"),
        ("ann%40example.org", "email"),
        ("call %2B49 89 1234567", "phone"),
        (r'{"note": "line\n536-22-1234"}', "us_ssn"),
        (r'{"note": "\t+49 89 1234567"}', "phone"),
        (r'{"to": "ann\u0040example.org"}', "email"),
        (json.dumps({"card": "４１１１１１１１１１１１１１１１"}), "credit_card"),
        (r"\tel: 089 1234567", "phone"),
        (r"\fax{089 1234567}" + FILLING + r"\born: 3 Mar 1980", "date_of_birth"),
    ],
)
def test_disguises_and_escapes_are_seen_through(text, kind):
    assert kind in kinds_in(text, PERSONAL_KINDS)


@given(st.text(max_size=200), st.sampled_from(POSITIVES), st.text(max_size=200))
def test_nothing_personal_that_can_be_found_is_overlooked(before, sample, after):
    _, value, frame = sample
    text = f"{before} {frame.format(value)} {after}"
    if find(text, PERSONAL_KINDS):
        assert kinds_in(text, PERSONAL_KINDS)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"ssn": "536221234"}, "us_ssn"),
        ({"ssn": 536221234}, "us_ssn"),
        ({"people": [{"date_of_birth": "3 Mar 1980"}]}, "date_of_birth"),
        (["x", ("y", {"ann@example.org": None})], "email"),
        ({"a": {"b": {"c": b"ann@example.org"}}}, "email"),
        ({"card": "4111\0 1111\0 1111\0 1111"}, "credit_card"),
    ],
)
def test_a_key_is_the_label_of_its_value_in_a_larger_one(value, kind):
    assert kind in kinds_in(joined(value), PERSONAL_KINDS)


def test_two_texts_of_a_value_are_not_read_as_one():
    assert kinds_in(joined(["4111 1111", "1111 1111"]), PERSONAL_KINDS) == frozenset()


def test_a_value_that_holds_itself_or_is_nested_deeply_is_walked_through():
    own: list[object] = ["ann@example.org"]
    own.append(own)
    deep: object = "ann@example.org"
    for _ in range(5 * sys.getrecursionlimit()):
        deep = {"a": [deep]}
    assert kinds_in(joined(own), {Kind.EMAIL}) == {"email"}
    assert kinds_in(joined(deep), {Kind.EMAIL}) == {"email"}


def test_long_stretches_without_digits_are_skipped_but_for_their_ends():
    text = FAR_FROM_DIGITS.sub("-", f"1{'a' * 1_000}2{'b' * 2 * NEAR}3")
    assert text == f"1-2{'b' * 2 * NEAR}3"


UNITS = [
    "a",
    "1",
    "1" + "b" * 200,
    "1" + "b" * 300,
    "\\n",
    "\\u0031",
    "%40",
    "4 ",
    "a@",
    "1.",
    "é",
    "<email-1>",
    "tel ",
    "\0",
]


@pytest.mark.parametrize("unit", UNITS)
def test_a_hundred_thousand_hostile_characters_are_looked_through(unit):
    """It comes to an end; were a pattern to run away, the run would not."""
    kinds_in(unit * (100_000 // len(unit)), EVERY)
