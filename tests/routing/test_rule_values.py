"""What a rule may expect of a value in metadata or headers."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steprouter.errors import ConfigError
from steprouter.routing.rule_values import Term, read_expected


def holds(expected, got):
    return any(term.holds(got) for term in read_expected("it", expected))


@pytest.mark.parametrize(
    ("expected", "yes", "no"),
    [
        ("free", ["free"], ["Free", " free", "paid", None, True, ["free"]]),
        (3, [3, 3.0, "3", "3.0", "03", " 3 "], [4, "3a", True, None, "", "٣"]),
        (True, [True, "true", "TRUE"], [1, "1", "yes", False, None]),
        (False, [False, "false"], [0, "", None]),
        (None, [None], ["", 0, False, "null"]),
        ("3", ["3", 3, 3.0], ["3.0", "03", 4, True]),
        (["free", 3], ["free", "3", 3], ["paid", 4, None]),
        ({"a": 1}, [{"a": 1}], [{"a": 2}, "a"]),
        (date(2026, 11, 1), ["2026-11-01"], ["2026-11-02", None]),
        ("exists", ["", 0, False, "x"], [None]),
        ("absent", [None], ["", 0, "x"]),
        ("!= beta", ["alpha", 3, None], ["beta"]),
        ("!=3", [4, "x", None, True], [3, "3", "3.0"]),
        ("== exists", ["exists"], [None, "x"]),
        ("== '>= 3'", [">= 3"], [3, 4]),
        ('== "007"', ["007"], ["7", 8]),
        ("== 7", ["007", 7, 7.0], ["8"]),
        (">= 3", [3, "3", 4.5, "1e3", 10**30], [2.9, "2", "x", None, True, "3 items", "nan", "inf"]),
        (">3", [3.1, "4"], [3, "3", None]),
        ("< -1.5", [-2, "-1e1"], [-1.5, "x", None]),
        ("<= 0", [0, "-0", -1], [1, False, None]),
        ("in [a, b]", ["a", "b"], ["c", None, "a, b"]),
        ("in [1, true, null]", [1, "1.0", True, "true", None], ["x", 2]),
        ("in [\"a, b\", 'c']", ["a, b", "c"], ["a", "b"]),
        ("not in [a, 3]", ["b", None, 4], ["a", 3, "3"]),
        ("in review", ["in review"], ["review"]),
        (["!= a", ">= 3"], ["b", None, 3], ["a"]),
        ([">= 9", "absent"], [9, None], [8, "x"]),
    ],
)
def test_a_value_is_as_expected_or_not(expected, yes, no):
    assert [got for got in yes if not holds(expected, got)] == []
    assert [got for got in no if holds(expected, got)] == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (">= three", "it must have a number after '>=', got '>= three'; for that very text write \"== '>= three'\""),
        ("> true", "it must have a number after '>'"),
        ("<none>", "it must have a number after '<', got '<none>'"),
        (">= 1e999", "it must have a number after '>='"),
        ("!=", "it must have a value after '!=', got '!='"),
        ("in []", "it must list values with commas between them, got 'in []'"),
        ("in [a,,b]", "it must list values with commas between them"),
        ("in ['a, b]", "quote what has a comma"),
        ([], "it must not be an empty list; leave it out, or write 'absent'"),
        (["a", "> x"], "it must have a number after '>'"),
    ],
)
def test_a_comparison_that_cannot_be_read_is_refused_with_the_way_out(wrong, said):
    with pytest.raises(ConfigError) as error:
        read_expected("it", wrong)
    assert said in str(error.value)


def test_the_way_out_that_a_refusal_names_works():
    assert holds("== '>= three'", ">= three")


def test_what_was_read_can_be_read_again():
    terms = read_expected("it", [">= 3", "a"])
    assert read_expected("it", terms) == terms


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([0.5, 1.0, 2.0, -1.5]),
    st.sampled_from(["a", "b", "A", "1", "1.0", "01", " 1", "true", "True", "", "none", "x y", "-1"]),
)
TERMS = st.one_of(
    st.builds(
        lambda s, v: Term(sign=s, values=tuple(v)),
        st.sampled_from(["==", "!="]),
        st.lists(VALUES, min_size=1, max_size=3),
    ),
    st.builds(lambda s, n: Term(sign=s, values=(n,)), st.sampled_from(["<", "<=", ">", ">="]), st.integers(-3, 3)),
)


@given(one=TERMS, other=TERMS, got=VALUES)
def test_what_is_said_to_follow_does_follow(one, other, got):
    if one.implies(other) and one.holds(got):
        assert other.holds(got)


@given(text=st.text(max_size=30), got=VALUES)
def test_any_text_is_a_comparison_or_is_refused(text, got):
    try:
        terms = read_expected("it", text)
    except ConfigError:
        return
    assert all(term.holds(got) in (True, False) for term in terms)


def test_reading_and_comparing_a_huge_value_takes_linear_time():
    assert not holds(">= 3", "9" * 1_000_000)
    assert not holds(f"in [{'a,' * 100_000}b]", "c")
    assert not holds("< 3", " " * 1_000_000)
