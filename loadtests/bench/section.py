"""docs/benchmarks.md: each benchmark owns what lies between its two markers, and touches nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Final

PAGE: Final = Path("docs/benchmarks.md")


def put_section(page: str, name: str, body: str) -> str:
    """The page with `body` between the markers of `name`; at its end when it has none."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    section = f"{begin}\n{body.strip()}\n{end}"
    before, found, rest = page.partition(begin)
    if found:
        _, closed, after = rest.partition(end)
        return before + section + (after if closed else "\n")
    return page.rstrip("\n") + "\n\n" + section + "\n"


def write_section(name: str, body: str, path: Path = PAGE) -> None:
    """Write the section into the page."""
    path.write_text(put_section(path.read_text(encoding="utf-8"), name, body), encoding="utf-8")


def markdown_table(header: list[str], rows: list[list[str]], numbers_from: int = 1) -> str:
    """A Markdown table; the columns from `numbers_from` on are set to the right."""
    line = ["---" if place < numbers_from else "---:" for place in range(len(header))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, line, *rows])
