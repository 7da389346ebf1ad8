"""What a rule expects of a value in a run's metadata or headers: read when the rule is made, never evaluated as code.

    free            this value            == 'exists'    this value, where it would read as something else
    != beta         any other, or none    >= 3           a number of at least 3; also <, <= and >
    in [a, b]       one of these          not in [a, b]  none of these
    exists          any value             absent         none

A number equals a text that reads as it, and `true` the text "true", because headers are always text. Two texts are
compared letter by letter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, cast

from ..errors import ConfigError

Sign = Literal["==", "!=", "<", "<=", ">", ">="]

COMPARISON = re.compile(r"(==|!=|<=|>=|<|>)\s*+(.*)", re.DOTALL)
MEMBERSHIP = re.compile(r"(not\s++)?in\s*+\[(.*)\]", re.DOTALL)
ITEM = re.compile(r"""\s*+("[^"]*+"|'[^']*+'|[^,"']++)\s*+(?:,|\Z)""")
NUMBER = re.compile(r"[+-]?[0-9]{1,40}+(?:\.[0-9]{1,40}+)?(?:[eE][+-]?[0-9]{1,3}+)?", re.ASCII)
WORDS = {"true": True, "false": False, "null": None, "none": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One comparison.

    Attributes:
        sign: `==` holds for one of the values, `!=` for none of them; the others have one number.
        values: What is compared with.
    """

    sign: Sign
    values: tuple[Any, ...]

    def holds(self, got: object) -> bool:
        """Whether a value is as expected; None stands for no value."""
        if self.sign in ("==", "!="):
            return any(same(value, got) for value in self.values) is (self.sign == "==")
        number = number_of(got)
        return number is not None and compared(self.sign, number, self.values[0])

    def implies(self, other: Term) -> bool:
        """Whether `other` surely holds wherever this does; False where that is not plain to see."""
        if other.sign == "==":
            return self.sign == "==" and is_within(self.values, other.values)
        if other.sign == "!=":
            if self.sign == "!=":
                return is_within(other.values, self.values)
            if self.sign == "==":
                return all(are_apart(mine, value) for mine in self.values for value in other.values)
            return is_within(other.values, (None,))  # a number is a value
        if self.sign == "==":
            return all(is_number(value) and compared(other.sign, value, other.values[0]) for value in self.values)
        mine, theirs = self.values[0], other.values[0]
        if self.sign[0] != other.sign[0]:
            return False
        return compared(self.sign[0], mine, theirs) or (
            mine == theirs and (other.sign == self.sign or "=" in other.sign)
        )


Expected = tuple[Term, ...]
"""Alternatives."""


def read_expected(what: str, given: object) -> Expected:
    """What is expected of a value.

    Args:
        what: Names the place in messages.
        given: A value, a comparison as text, or a list of either, which are alternatives.

    Raises:
        ConfigError: A comparison cannot be read.
    """
    if isinstance(given, list | tuple | set | frozenset):
        if not given:
            raise ConfigError(f"{what} must not be an empty list; leave it out, or write 'absent'")
        return tuple(term for one in given for term in read_expected(what, one))
    if isinstance(given, Term):  # of a rule that is made from another
        return (given,)
    return (read_term(what, given) if isinstance(given, str) else Term(sign="==", values=(plain(given),)),)


def read_term(what: str, text: str) -> Term:
    """The comparison that a text is; the text itself where it is none."""
    text = text.strip()
    if text in ("exists", "absent"):
        return Term(sign="!=" if text == "exists" else "==", values=(None,))
    if listed := MEMBERSHIP.fullmatch(text):
        return Term(sign="!=" if listed[1] else "==", values=tuple(items(what, text, listed[2])))
    comparison = COMPARISON.fullmatch(text)
    if comparison is None:
        return Term(sign="==", values=(text,))
    sign, operand = cast("Sign", comparison[1]), comparison[2].strip()
    value = scalar(operand)
    if not operand or (sign not in ("==", "!=") and not is_number(value)):
        wanted = "a value" if sign in ("==", "!=") else "a number"
        raise ConfigError(
            f"{what} must have {wanted} after {sign!r}, got {text!r}; for that very text write {quoted(text)}"
        )
    return Term(sign=sign, values=(value,))


def items(what: str, text: str, listed: str) -> Iterator[Any]:
    """The values between brackets."""
    place = 0
    while place < len(listed) or place == 0:
        item = ITEM.match(listed, place)
        if item is None or not item[1].strip():
            raise ConfigError(f"{what} must list values with commas between them, got {text!r}; quote what has a comma")
        yield scalar(item[1].strip())
        place = item.end()


def scalar(text: str) -> Any:
    """A value as it is written in a comparison: a number, true, false, null, or text with or without quotes."""
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    number = number_of(text)
    return WORDS.get(text.lower(), text) if number is None else number


def quoted(text: str) -> str:
    """A comparison with a text itself."""
    return f'"== {text!r}"'


def plain(value: object) -> Any:
    """A value as it is compared; YAML makes dates of what headers have as text."""
    return value.isoformat() if isinstance(value, date) else value


def is_number(value: object) -> bool:
    """Whether a value is a number; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")


def number_of(value: object) -> int | float | None:
    """The number that a value is or reads as."""
    if isinstance(value, int | float):
        return value if is_number(value) else None
    if not isinstance(value, str) or NUMBER.fullmatch(value.strip()) is None:
        return None
    try:
        return int(value)
    except ValueError:
        number = float(value)
        return number if is_number(number) else None


def same(wanted: object, got: object) -> bool:
    """Whether a value is the wanted one, or text that reads as it."""
    if isinstance(wanted, str) and isinstance(got, str):
        return wanted == got
    for one, other in ((wanted, got), (got, wanted)):
        if isinstance(one, bool):
            return one is other or (isinstance(other, str) and other.strip().lower() == str(one).lower())
    if is_number(wanted) or is_number(got):
        return (number := number_of(wanted)) is not None and number == number_of(got)
    return wanted == got


def compared(sign: str, left: float, right: float) -> bool:
    """Whether two numbers stand so."""
    return {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[sign]


def is_within(values: tuple[Any, ...], others: tuple[Any, ...]) -> bool:
    """Whether each value is among the others, of the same type: 1 and True are two."""
    return all(any(type(value) is type(other) and value == other for other in others) for value in values)


def are_apart(one: object, other: object) -> bool:
    """Whether no value is the same as both."""
    if one is None or other is None:
        return one is not other
    if is_number(one) and is_number(other):
        return one != other
    if isinstance(one, str) and isinstance(other, str):
        # A number reads as "3" and as "3.0", a truth value as "true" and as "True".
        return one.strip().lower() != other.strip().lower() and None in (number_of(one), number_of(other))
    return False
