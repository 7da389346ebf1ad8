"""Numbers, amounts, dates and times in one form each, as far as one form is certain."""

from __future__ import annotations

import re
from decimal import Decimal

NUMBER = re.compile(r"\d+(?:\.\d+)?")
GROUPED = re.compile(r"[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?")
LEADING = re.compile(r"([$€£¥₹])([\d.,]+)")
TRAILING = re.compile(r"([\d.,]+)(%|[€£¥₹$]|[a-zµ°]{2,})")
ORDINAL = re.compile(r"(\d+)[snrt][tdh]")
CLOCK = re.compile(r"(\d{1,2})(?:[:.](\d{2}))?(am|pm|a\.m|p\.m)")
HOURS = re.compile(r"(\d{1,2}):(\d{2})")
ISO = re.compile(r"\d{4}-\d{2}-\d{2}")

CURRENCIES = {"$": "dollar", "€": "euro", "£": "£", "¥": "yen", "₹": "rupee"}
SUFFIXES = frozenset({"am", "pm"})

UNITS: dict[str, tuple[str, str]] = {}
"""Unit as written -> (the unit that it is told in, how many of these it is)."""
for unit, factor, names in (
    ("g", "1", "g gram grams gramme grammes"),
    ("g", "1000", "kg kgs kilo kilos kilogram kilograms kilogramme kilogrammes"),
    ("g", "0.001", "mg milligram milligrams"),
    ("g", "0.000001", "mcg µg microgram micrograms"),
    ("m", "1", "m metre metres meter meters"),
    ("m", "1000", "km kms kilometre kilometres kilometer kilometers"),
    ("m", "0.01", "cm centimetre centimetres centimeter centimeters"),
    ("m", "0.001", "mm millimetre millimetres millimeter millimeters"),
    ("l", "1", "l litre litres liter liters"),
    ("l", "0.001", "ml millilitre millilitres milliliter milliliters"),
    ("second", "1", "s sec secs second seconds"),
    ("second", "0.001", "ms millisecond milliseconds"),
    ("second", "60", "min mins minute minutes"),
    ("second", "3600", "h hr hrs hour hours"),
    ("day", "1", "day days"),
    ("week", "1", "week weeks wk wks"),
    ("month", "1", "month months"),
    ("year", "1", "year years yr yrs"),
    ("%", "1", "% percent pct"),
    ("°c", "1", "°c celsius"),
    ("°f", "1", "°f fahrenheit"),
    ("mile", "1", "mile miles mi"),
    ("inch", "1", "inch inches"),
    ("foot", "1", "ft foot feet"),
    ("lb", "1", "lb lbs"),
    ("ounce", "1", "oz ounce ounces"),
    ("dollar", "1", "dollar dollars bucks"),
    ("euro", "1", "euro euros"),
    ("£", "1", "quid"),
    ("usd", "1", "usd"),
    ("eur", "1", "eur"),
    ("gbp", "1", "gbp"),
    ("kb", "1", "kb kilobyte kilobytes"),
    ("mb", "1", "mb megabyte megabytes"),
    ("gb", "1", "gb gigabyte gigabytes gig gigs"),
    ("tb", "1", "tb terabyte terabytes"),
    ("watt", "1", "watt watts"),
    ("watt", "1000", "kw kilowatt kilowatts"),
    ("calorie", "1", "kcal"),
):
    UNITS |= dict.fromkeys(names.split(), (unit, factor))

MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january jan",
            "february feb",
            "march mar",
            "april apr",
            "may",
            "june jun",
            "july jul",
            "august aug",
            "september sep sept",
            "october oct",
            "november nov",
            "december dec",
        ),
        start=1,
    )
    for name in names.split()
}
LONGEST_NUMBER = 15
"""Signs; decimals of Python round what has more than 28 digits, and factors here add up to six."""

DAYS_A_MONTH, FIRST_YEAR, LAST_YEAR = 31, 1000, 2999


def amount(core: str) -> str | None:
    """The item of a number with what is attached to it; None if it is not surely one.

    A decimal keeps its zeros, because 3.10 may be a version; so does a number its leading ones.
    """
    if NUMBER.fullmatch(core):
        return f"n:{core}"
    if not any(sign.isdigit() for sign in core):
        return None
    if GROUPED.fullmatch(core):
        return f"n:{core.replace(',', '')}"
    if found := LEADING.fullmatch(core):
        return measured(found[2], *pair(CURRENCIES[found[1]]))
    if found := CLOCK.fullmatch(core):
        return clock(int(found[1]), found[2] or "00", found[3][0])
    if found := ORDINAL.fullmatch(core):
        return f"n:#{found[1]}"
    if found := TRAILING.fullmatch(core):
        return measured(found[1], *pair(found[2]))
    if found := HOURS.fullmatch(core):
        return f"d:{int(found[1]):02}:{found[2]}"
    return f"d:{core}" if ISO.fullmatch(core) else None


def pair(unit: str) -> tuple[str, str]:
    """A unit in its one form, and how many of these it is; nothing for what is no unit."""
    return UNITS.get(unit) or (CURRENCIES.get(unit) or (unit if unit in CURRENCIES.values() else ""), "1")


def measured(number: str, unit: str, factor: str) -> str | None:
    """The item of an amount; None if unit or number is none."""
    if not unit:
        return None
    number = number.replace(",", "") if GROUPED.fullmatch(number) else number
    if len(number) > LONGEST_NUMBER or not NUMBER.fullmatch(number):
        return None
    value = Decimal(number) * Decimal(factor)
    return f"n:{value.normalize():f} {unit}"


def clock(hour: int, minutes: str, half: str) -> str | None:
    """The item of a time of day with am or pm."""
    if not 1 <= hour <= 12 or int(minutes) > 59:
        return None
    return f"d:{hour % 12 + (12 if half == 'p' else 0):02}:{minutes}"


def joined(tokens: list[str]) -> list[str]:
    """The tokens with each number and the unit, month or half of the day beside it in one item."""
    if not any(token.startswith("n:") for token in tokens):
        return tokens
    done: list[str] = []
    at = 0
    while at < len(tokens):
        found = month_first(tokens, at) if tokens[at] in MONTHS else number_first(tokens, at)
        item, at = found or (tokens[at], at + 1)
        done.append(item)
    return done


def number_first(tokens: list[str], at: int) -> tuple[str, int] | None:
    """An item that begins with a number, and where the tokens go on."""
    if not tokens[at].startswith("n:"):
        return None
    after = tokens[at + 1] if at + 1 < len(tokens) else ""
    number = tokens[at][2:]
    if after in SUFFIXES and number.isdecimal():
        item = clock(int(number), "00", after[0])
        return (item, at + 2) if item else None
    if after == "per" and tokens[at + 2 : at + 3] == ["cent"]:
        return f"n:{number} %", at + 3
    if after in UNITS and (item := measured(number, *UNITS[after])) is not None:
        return item, at + 2
    month_at = at + 2 if after == "of" else at + 1
    day = number.removeprefix("#")
    if is_day(day) and month_at < len(tokens) and tokens[month_at] in MONTHS:
        return dated(MONTHS[tokens[month_at]], day, tokens, month_at + 1)
    return None


def month_first(tokens: list[str], at: int) -> tuple[str, int] | None:
    """A date that begins with a month, and where the tokens go on."""
    following = tokens[at + 1 : at + 3]
    if not following or not following[0].startswith("n:"):
        return None
    number = following[0][2:]
    if is_year(number):
        return f"d:{number}-{MONTHS[tokens[at]]:02}", at + 2
    day = number.removeprefix("#")
    return dated(MONTHS[tokens[at]], day, tokens, at + 2) if is_day(day) else None


def dated(month: int, day: str, tokens: list[str], at: int) -> tuple[str, int]:
    """A date of day and month, with the year if one follows."""
    year_at = at + 1 if tokens[at : at + 1] == [","] else at
    year = tokens[year_at][2:] if year_at < len(tokens) and tokens[year_at].startswith("n:") else ""
    if is_year(year):
        return f"d:{year}-{month:02}-{int(day):02}", year_at + 1
    return f"d:{month:02}-{int(day):02}", at


def is_day(number: str) -> bool:
    """Whether it can be a day of a month."""
    return number.isdecimal() and len(number) <= 2 and 1 <= int(number) <= DAYS_A_MONTH


def is_year(number: str) -> bool:
    """Whether it can be a year."""
    return number.isdecimal() and len(number) == 4 and FIRST_YEAR <= int(number) <= LAST_YEAR
