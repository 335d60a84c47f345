"""The images' sizes, written into docs/benchmarks.md."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from deploy.bentos import ROOT, git_revision
from deploy.images.catalogue import MIB, Image
from deploy.images.engine import BASE

PAGE: Final = ROOT / "docs" / "benchmarks.md"
_BEGIN: Final = "<!-- images:begin -->"
_END: Final = "<!-- images:end -->"


@dataclass(frozen=True, slots=True)
class Built:
    """An image that was built: of which Bento, its size in bytes, how long it took."""

    image: Image
    bento: str
    size: int
    seconds: float


def section(built: Sequence[Built], engine: str, base_size: int | None, revision: str) -> str:
    """The section, as Markdown."""
    of_these = f", {base_size / MIB:.0f} MiB of each is the base image `{BASE}`" if base_size else ""
    rows = "".join(
        f"| `{one.image.name}` | {one.size / MIB:.0f} MiB |"
        f" {f'{one.image.most_mib} MiB' if one.image.most_mib else '-'} |\n"
        for one in built
    )
    return f"""{_BEGIN}
## Container images (`make images`)

{datetime.now(UTC):%Y-%m-%d}, revision {revision[:12]}, built with {engine}. Sizes are unpacked{of_these}.

| image | size | at most |
| --- | ---: | ---: |
{rows}{_END}"""


def record(built: Sequence[Built], engine: str, base_size: int | None) -> None:
    """Replace the section in docs/benchmarks.md, or add it."""
    text = PAGE.read_text()
    new = section(built, engine, base_size, git_revision())
    found = re.search(f"{_BEGIN}.*?{_END}", text, re.DOTALL)
    text = text[: found.start()] + new + text[found.end() :] if found else f"{text.rstrip()}\n\n{new}\n"
    PAGE.write_text(text)
