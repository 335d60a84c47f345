"""The look of every table that a command prints."""

from __future__ import annotations

from rich import box
from rich.table import Table

NONE = "-"


def plain_table(title: str, gap: int = 1) -> Table:
    """A table with a line under its head and no other; `gap` more spaces than one between columns."""
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, gap, 0, 0),
        pad_edge=False,
    )
