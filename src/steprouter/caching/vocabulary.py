"""How the tables of words are written: words that spaces separate, entries that lines or semicolons separate."""

from __future__ import annotations


def words(table: str) -> frozenset[str]:
    """The words of a table."""
    return frozenset(table.split())


def entries(table: str) -> list[str]:
    """The entries of a table, which may hold spaces."""
    return [entry.strip() for entry in table.replace("\n", ";").split(";") if entry.strip()]


def pairs(table: str) -> list[tuple[str, str]]:
    """The two sides of each entry of a table, which `=` separates."""
    sides = (entry.partition("=") for entry in entries(table))
    return [(left.strip(), right.strip()) for left, _, right in sides]
