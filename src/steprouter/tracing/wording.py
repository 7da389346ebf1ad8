"""Figures in words, and text from outside made harmless, for people who read traces."""

from __future__ import annotations

from math import floor, isfinite, log10

UNKNOWN = "unknown"

NOISE_USD = 1e-9
"""A tenth of one token at the cheapest price there is; what is smaller is left by floating-point sums."""

NAME_CHARACTERS = 60
TEXT_CHARACTERS = 300


def visible(text: str, limit: int = TEXT_CHARACTERS) -> str:
    r"""`text` on one line, cut to `limit` characters, with what a terminal would obey shown as `\x1b`.

    That is everything Unicode calls not printable: control characters and with them ANSI escapes, line ends,
    bidirectional overrides, zero-width and unassigned characters, lone surrogates.
    """
    shown = "".join(c if c.isprintable() else escaped(c) for c in text[:limit])
    return shown if len(text) <= limit else f"{shown}…"


def escaped(character: str) -> str:
    """A character as Python source would spell it."""
    return character.encode("unicode_escape").decode("ascii")


def name(text: str | None) -> str:
    """A name from outside in one short line; a dash for none."""
    return "–" if text is None else visible(text, NAME_CHARACTERS)


def money(usd: float | None) -> str:
    """A sum for people: small ones with two significant digits; None is unknown, never zero."""
    if usd is None or not isfinite(usd):
        return UNKNOWN
    size = abs(usd)
    if size < NOISE_USD:
        return "$0"
    sign = "-" if usd < 0 else ""
    if size >= 1e9:
        return f"{sign}${size:.2e}"
    digits = 2 if size >= 1 else 1 - floor(log10(size))
    return f"{sign}${size:,.{digits}f}"


def percent(part: float, whole: float) -> str:
    """`part` of `whole`; never rounded to 0 or 100 where it is neither."""
    share = 100 * part / whole if money(part) != "$0" else 0.0
    if 0 < share < 0.5:
        return "<1 %"
    if 99.5 <= share < 100:
        return ">99 %"
    if -0.5 < share < 0:
        return ">-1 %"
    return f"{share:,.0f} %"


def duration(seconds: float | None) -> str:
    """A time for people; a dash where it was not measured."""
    if seconds is None or not 0 <= seconds < 1e9:
        return "–"
    if seconds < 0.0995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def count(tokens: int) -> str:
    """A number of tokens in at most five characters or so."""
    if tokens < 1000:
        return str(tokens)
    for limit, unit, size in ((99_950, "k", 1e3), (999_500, "k", 1e3), (1e12, "M", 1e6)):
        if tokens < limit:
            return f"{tokens / size:.{0 if limit == 999_500 else 1}f}{unit}"
    return f"{tokens:.1e}"


def in_and_out(tokens_in: int, tokens_out: int, *, estimated: bool = False) -> str:
    """Tokens of prompt and answer; `~` where the provider did not report them."""
    return f"{'~' if estimated else ''}{count(tokens_in)}/{count(tokens_out)}"


def number_of(amount: int, what: str) -> str:
    """`1 step`, `2 steps`."""
    return f"{amount} {what}" if amount == 1 else f"{amount} {what}s"


def listed(words: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
