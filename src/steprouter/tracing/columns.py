"""Tables that fit themselves into the terminal: columns are left out in a fixed order until the rest fits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

GAP = 2
"""Blanks between columns: one of padding, and one where the box draws its line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table that fits itself into the terminal.

    Attributes:
        header: Its heading.
        cells: One text for each row, harmless already.
        foot: Its total.
        rank: Columns of higher rank are left out first; 0 is never left out.
        least: What it may be narrowed to, in characters; None where it may not be narrowed, only left out.
        right: Figures stand to the right.
    """

    header: str
    cells: tuple[Text, ...]
    foot: str = ""
    rank: int = 0
    least: int | None = None
    right: bool = False

    @property
    def natural(self) -> int:
        """How wide it would like to be."""
        return max(len(self.header), len(self.foot), *(cell.cell_len for cell in self.cells))

    @property
    def needed(self) -> int:
        """How wide it has to be."""
        return self.natural if self.least is None else min(self.natural, self.least)


@dataclass(frozen=True, slots=True)
class FittingTable:
    """A table that leaves out columns until the rest fits."""

    columns: tuple[Column, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table for this width."""
        columns = fitting(self.columns, options.max_width)
        widths = shared(columns, options.max_width)
        table = Table(box=box.SIMPLE, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0))
        table.show_header = any(column.header for column in columns)
        table.show_footer = any(column.foot for column in columns)
        for column, width in zip(columns, widths, strict=True):
            table.add_column(
                column.header,
                column.foot,
                justify="right" if column.right else "left",
                no_wrap=column.least is None,
                width=width,
                overflow="fold",
            )
        for row in zip(*(column.cells for column in columns), strict=True):
            table.add_row(*row)
        yield table


def fitting(columns: Sequence[Column], width: int) -> list[Column]:
    """The columns that fit into `width`, those of the highest rank left out first."""
    kept = [column for column in columns if any(cell.plain not in ("", "–") for cell in column.cells)]
    while width_of(kept) > width:
        last = max(kept, key=lambda column: column.rank)
        if not last.rank:
            break
        kept = [column for column in kept if column is not last]
    return kept


def shared(columns: Sequence[Column], width: int) -> list[int | None]:
    """The width of each column: what it needs, and of what is left over those that lack least come first.

    Where even that is too much, rich decides.
    """
    spare = width - width_of(columns)
    if spare < 0:
        return [None] * len(columns)
    widths: dict[int, int | None] = {}
    for index, column in sorted(enumerate(columns), key=lambda pair: pair[1].natural - pair[1].needed):
        more = min(column.natural - column.needed, spare)
        spare -= more
        widths[index] = column.needed + more
    return [widths[index] for index in range(len(columns))]


def width_of(columns: Sequence[Column]) -> int:
    """What the columns need together."""
    return sum(column.needed + GAP for column in columns) - GAP


def cells(texts: Iterable[str], style: str = "") -> tuple[Text, ...]:
    """Cells of a column; the texts must be harmless already."""
    return tuple(Text(text, style=style) for text in texts)
