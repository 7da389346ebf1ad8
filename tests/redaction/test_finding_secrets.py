"""What is found in texts as agents see them, and what is left alone."""

import random
import string

import pytest
from redaction_samples import JWT, MIX, NEGATIVES, PEM, POSITIVES

from steprouter.redaction import PERSONAL_KINDS, SECRET_KINDS, Finding, Kind, find
from steprouter.redaction.randomness import is_random


def seen(text, kinds=None):
    return [(finding.kind.value, text[finding.start : finding.end]) for finding in find(text, kinds)]


@pytest.mark.parametrize(("kind", "value", "frame"), POSITIVES)
def test_the_value_is_found_whole_and_nothing_else(kind, value, frame):
    assert seen(frame.format(value)) == [(kind, value)]


@pytest.mark.parametrize("text", NEGATIVES)
def test_nothing_is_found_in_ordinary_text(text):
    assert seen(text) == []


def test_the_samples_are_many_and_of_every_kind():
    assert len(POSITIVES) >= 60
    assert len(NEGATIVES) >= 60
    assert {kind for kind, _, _ in POSITIVES} == set(Kind)


def test_every_kind_is_either_secret_or_personal():
    assert set(Kind) == SECRET_KINDS | PERSONAL_KINDS
    assert not SECRET_KINDS & PERSONAL_KINDS


def test_only_the_wanted_kinds_are_looked_for():
    text = "ann@example.org has password: hunter22"
    assert seen(text, {Kind.EMAIL}) == [("email", "ann@example.org")]
    assert seen(text, SECRET_KINDS) == [("secret_assignment", "hunter22")]
    assert seen(text, ()) == []


def test_findings_come_in_order_with_their_places():
    text = "from 203.0.113.42 by ann@example.org"
    assert find(text) == (
        Finding(kind=Kind.IP_ADDRESS, start=5, end=17),
        Finding(kind=Kind.EMAIL, start=21, end=36),
    )


def test_of_equal_findings_the_more_specific_kind_wins():
    assert seen(f"Authorization: Bearer {JWT}") == [("jwt", JWT)]


def test_of_overlapping_findings_the_longest_wins():
    cookie = f"sid={JWT}; theme=dark1"
    assert seen(f"Cookie: {cookie}") == [("secret_assignment", cookie)]


def test_a_value_found_by_its_label_is_found_again_without_one():
    assert seen("password: hunter22\nthen hunter22 was refused") == [("secret_assignment", "hunter22")] * 2


def test_a_short_value_is_not_looked_for_elsewhere():
    assert seen('{"password": "tiger"} the tiger sleeps') == [("secret_assignment", "tiger")]


def test_a_hexadecimal_digest_is_found_after_a_secret_label_only():
    digest = "3f786850e387550fdab836ed7e6dc881de23001b"
    assert seen(f"commit {digest}") == []
    assert seen(f"api_key: {digest}") == [("secret_assignment", digest)]


@pytest.mark.parametrize(
    "text",
    [
        "card ４１１１ １１１１ １１１１ １１１１ ok",
        "card ٤١١١ ١١١١ ١١١١ ١١١١ ok",
        "card 4111\u00a01111\u00a01111\u00a01111 ok",
        "card 4111\u20111111\u20111111\u20111111 ok",
        "card 41\u200b11 1111 1111\u2060 1111 ok",
    ],
)
def test_a_card_number_in_disguise_is_found(text):
    assert seen(text) == [("credit_card", text[5:-3])]


def test_characters_without_width_do_not_shift_later_findings():
    text = "\ufeffna\u200bme 👩\u200d🚀 ann@example.org"
    assert seen(text) == [("email", "ann@example.org")]


def test_lone_surrogates_and_control_characters_are_ordinary_text():
    assert seen("\ud800 ann@example.org \udfff\0\x1b[0m") == [("email", "ann@example.org")]


def test_a_key_block_inside_json_inside_json_is_found_whole():
    text = '{"args": "{\\"key\\": \\"' + PEM.replace("\n", "\\\\n") + '\\"}"}'
    assert [kind for kind, _ in seen(text)] == ["private_key"]
    assert MIX not in "".join(text.split(seen(text)[0][1]))


def test_two_different_passwords_in_one_line_are_both_found():
    assert [value for _, value in seen("password=hunter22 new_password=hunter33x")] == ["hunter22", "hunter33x"]


@pytest.mark.parametrize("size", [32, 40, 64])
def test_nearly_all_random_tokens_look_random(size):
    """The bounds of `randomness` come from here: 2000 tokens of each length, always the same ones."""
    chance = random.Random(7)
    signs = string.ascii_letters + string.digits
    tokens = ["".join(chance.choices(signs, k=size)) for _ in range(2000)]
    assert sum(map(is_random, tokens)) >= 0.95 * len(tokens)


def test_names_made_of_words_do_not_look_random():
    names = ["AbstractSingletonProxyFactoryBean12Impl", "ThisConfigurationOfTheRouter2Failed4Times", "a1b2c3d4" * 4]
    assert not any(map(is_random, names))
