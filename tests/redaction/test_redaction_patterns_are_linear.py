"""No text makes a pattern slow: read off the compiled form, and tried on hostile text."""

import re
from re import _constants as op
from re import _parser

import pytest
from redaction_samples import BEGIN

from steprouter.redaction import find
from steprouter.redaction.folding import PLAIN, VISIBLE
from steprouter.redaction.kinds import PLACEHOLDER
from steprouter.redaction.search import SHAPES

REPEATS = {op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT}
STARTERS = {op.LITERAL, op.ASSERT, op.ASSERT_NOT, op.AT, op.IN}


def nodes(parsed):
    for code, argument in parsed:
        yield code, argument
        stack = [argument]
        while stack:
            item = stack.pop()
            if isinstance(item, _parser.SubPattern):
                yield from nodes(item)
            elif isinstance(item, (tuple, list)):
                stack.extend(item)


def first(parsed):
    """What can stand at the beginning of a pattern."""
    code, argument = next(iter(parsed))
    if code is op.SUBPATTERN:
        return first(argument[3])
    if code is op.BRANCH:
        return {start for branch in argument[1] for start in first(branch)}
    return {code}


def parsed(shape):
    return _parser.parse(shape.pattern.pattern, shape.pattern.flags & ~re.DEBUG)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape.kind}: {shape.pattern.pattern[:24]}")
def test_every_repetition_is_bounded_and_never_gives_back(shape):
    for code, argument in nodes(parsed(shape)):
        if code in REPEATS:
            least, most, _ = argument
            assert most <= 20_000
            assert code is op.POSSESSIVE_REPEAT or least == most or (code is op.MAX_REPEAT and (least, most) == (0, 1))


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape.kind}: {shape.pattern.pattern[:24]}")
def test_every_pattern_begins_with_something_fixed(shape):
    """With a repetition in front, each place of a long run would be a new start."""
    assert first(parsed(shape)) <= STARTERS


def test_the_helping_patterns_cannot_give_back_over_a_long_text():
    for pattern in (PLAIN, VISIBLE, PLACEHOLDER):
        tree = list(nodes(_parser.parse(pattern.pattern, pattern.flags)))
        assert sum(code in REPEATS and argument[1] > 1 for code, argument in tree) <= 1


HOSTILE = [
    *("a", "1", " ", "@", "-", "a@", "a.", "1.", "1-", "1 ", ":", "a:", "0:", "+1", "+1415", "://", "://a:", "://a:b@"),
    *("eyJ", "eyJaaaaaaaa.", "eyJaaaaaaaa.eyJ", "sk-", "sk-a1", "password=", 'password="', "password: ", "token is "),
    *("cookie: a=b;", "a=b; ", "bearer ", "authorization: ", BEGIN, BEGIN + "PRIVATE KEY-----", "\\n", "\\"),
    *(BEGIN + "A PRIVATE KEY-----\naaaaaaaaaaaaaaaaaaaa", "phone ", "dob ", "passport ", "bsn ", "DE89 ", "4111 "),
    *("<email-1>", "<email-", "\u200b", "１", "Aa1", "Aa1/", "é", "--token ", "?token=a&", "\0", "\0\n", "a\0=\0\n"),
]


@pytest.mark.parametrize("unit", HOSTILE)
def test_a_hundred_thousand_hostile_characters_are_searched(unit):
    """It comes to an end; were a pattern to run away, the run would not."""
    find(unit * (100_000 // len(unit)))


def test_a_megabyte_of_mixed_text_is_searched():
    text = "ann@example.org said 4111 1111 1111 1111 on 2026-11-23, `x = f(1)` was é\n" * 14_000
    assert len(find(text)) == 28_000


def test_a_long_run_does_not_hide_what_follows_it():
    for run in ("a" * 100_000, "1" * 100_000, "Aa1" * 30_000, BEGIN * 9_000):
        assert [finding.kind for finding in find(run + " ann@example.org")][-1:] == ["email"]
