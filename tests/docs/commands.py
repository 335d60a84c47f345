"""The commands that README and docs name, as they would be typed."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]


def _pages() -> Iterator[Path]:
    """Every page but decisions and the changelog. What others have installed is not even looked into."""
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [each for each in folders if not each.startswith((".", "node_modules", "decisions"))]
        yield from (Path(folder) / file for file in files if file.endswith(".md") and file != "CHANGELOG.md")


PAGES: Final = tuple(sorted(_pages()))

_BLOCK: Final = re.compile(r"^```\w*\n(.*?)^```", re.DOTALL | re.MULTILINE)
_SPAN: Final = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")
# A word that stands for one of the user's own, and one that may be left out.
_OPTIONAL: Final = re.compile(r"\[[A-Z]+\]")


def documented(program: str) -> dict[str, str]:
    """Each command line that begins with `program` → the page that shows it first."""
    found: dict[str, str] = {}
    for page in PAGES:
        text = page.read_text()
        spans = (match[1].replace("\n", " ") for match in _SPAN.finditer(_BLOCK.sub("", text)))
        for line in [*in_blocks(text), *spans]:
            if line.startswith(f"{program} "):
                found.setdefault(line, str(page.relative_to(ROOT)))
    return found


def in_blocks(text: str) -> Iterator[str]:
    """The lines of code blocks, each with what belongs to it: after a backslash, and inside of quotes."""
    for block in _BLOCK.findall(text):
        whole = ""
        for line in block.splitlines():
            whole += line.removeprefix("$ ")
            if whole.endswith("\\"):
                whole = whole[:-1]
                continue
            try:
                shlex.split(whole, comments=True)
            except ValueError:  # a quote is open
                whole += " "
                continue
            yield whole
            whole = ""


def words(line: str, meant: Mapping[str, str]) -> list[str]:
    """The words of a command line after the program, with `meant` in place of names such as EXPERIMENT."""
    given = shlex.split(_OPTIONAL.sub("", line), comments=True)[1:]
    given = given[: given.index(">")] if ">" in given else given  # the rest is the shell's
    return [meant.get(word, word) for word in given]
