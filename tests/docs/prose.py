"""`python -m tests.docs.prose`: how many colons and semicolons each page's prose has for each sentence.

A colon or a semicolon joins two thoughts, and a page of such sentences is hard to read. Only prose counts: no
tables, code, headings, comments and addresses, and no colon between digits.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
MOST: Final = 0.3
"""Colons and semicolons a sentence that a page may have."""

# Its text is the benchmarks' own, and most of it is about what was run.
_NO_PROSE: Final = ("benchmarks.md",)
PAGES: Final = tuple(
    page
    for page in (
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "loadtests/README.md")),
        *sorted((ROOT / "docs").glob("*.md")),
    )
    if page.name not in _NO_PROSE
)

CODE_BLOCK: Final = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)
_NOT_TEXT: Final = re.compile(r"\A---\n.*?\n---\n|<!--.*?-->", re.DOTALL)
_TARGET: Final = re.compile(r"\]\([^)]*\)|https?://\S+")
_CODE: Final = re.compile(r"`[^`]+`")
_END: Final = re.compile(r"[.?!](?=[)\"”*_]*(?:\s|$))")
_JOINT: Final = re.compile(r"[:;](?=\s|$|[*_)])")
_ITEM: Final = re.compile(r"^\s*(?:[-*]|\d+\.)\s+")
# What ends with a full stop and ends no sentence.
_SHORT: Final = re.compile(r"\b(?:e\.g|i\.e|et al|vs|etc)\.")


def plain_text(text: str) -> str:
    """A page without code blocks, comments, addresses and front matter, with code as one word."""
    return _CODE.sub("code", _TARGET.sub("]", _NOT_TEXT.sub("\n", CODE_BLOCK.sub("\n", text))))


def passages(text: str) -> Iterator[str]:
    """The paragraphs and list items of a page, each on one line."""
    for block in re.split(r"\n\s*\n", plain_text(text)):
        lines: list[str] = []
        for line in block.splitlines():
            if line.lstrip().startswith(("|", "#", "![")):
                continue
            if _ITEM.match(line) and lines:
                yield " ".join(lines)
                lines = []
            lines.append(_ITEM.sub("", line).strip())
        if any(lines):
            yield " ".join(lines)


def count(text: str) -> tuple[int, int]:
    """The sentences of a page's prose, and its colons and semicolons."""
    sentences = joints = 0
    for passage in passages(text):
        plain = _SHORT.sub("", passage)
        sentences += max(len(_END.findall(plain)), 1)
        joints += len(_JOINT.findall(plain))
    return sentences, joints


def main() -> int:
    """Print each page's share. Returns 1 when one is above what is allowed."""
    above = False
    for page in PAGES:
        sentences, joints = count(page.read_text())
        share = joints / max(sentences, 1)
        above |= share >= MOST
        mark = "  too many" if share >= MOST else ""
        sys.stdout.write(f"{share:5.2f}  {sentences:4} sentences  {page.relative_to(ROOT)}{mark}\n")
    return int(above)


if __name__ == "__main__":
    sys.exit(main())
