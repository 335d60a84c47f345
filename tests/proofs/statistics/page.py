"""Puts the tables into docs/statistics.md, between markers; the prose around them stays."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tests.proofs.statistics.claims import Table

PAGE = Path(__file__).parents[3] / "docs" / "statistics.md"


def write_tables(made: Sequence[Table], seed: int) -> None:
    """Every table must have its markers `<!-- table: name -->` and `<!-- end -->`."""
    text = PAGE.read_text()
    for table in made:
        text = _put(text, table.name, _markdown(table))
    PAGE.write_text(_put(text, "run", f"Seed {seed}."))


def _markdown(table: Table) -> str:
    lines = [table.head, tuple("---" for _ in table.head), *table.rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _put(text: str, name: str, content: str) -> str:
    marked = re.compile(rf"(<!-- table: {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
    changed, count = marked.subn(lambda found: f"{found[1]}{content}\n{found[2]}", text)
    if count != 1:
        raise ValueError(f"{PAGE} needs one pair of markers for {name}")
    return changed
