"""The table of docs/reliability.md, between its markers, with the machine and the date."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.proofs.faults.processes import ROOT
from tests.proofs.faults.trial import Row

PAGE: Final = ROOT / "docs" / "reliability.md"

_HEADER: Final = (
    "| fault | sent | right | fallback | uncached | errors | cut | wrong | recovery, s |",
    "|---|---|---|---|---|---|---|---|---|",
)


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown, a heading line for each group."""
    lines = list(_HEADER)
    group = ""
    for row in rows:
        if row.group != group:
            group = row.group
            lines.append(f"| **{group}** | | | | | | | | |")
        cells = (row.sent, row.right, row.fallback, row.uncached, row.errors, row.cut, row.wrong)
        broken = " — **broken**" if row.broken else ""
        numbers = " | ".join(f"{cell:,}" for cell in cells)
        lines.append(f"| {row.name}{broken} | {numbers} | {row.recovery_s:.1f} |")
    lines.append(_total(rows))
    return "\n".join(lines)


def _total(rows: Sequence[Row]) -> str:
    columns = [
        (row.sent, row.right, row.fallback, row.uncached, row.errors, row.cut, row.wrong) for row in rows
    ]
    sums = " | ".join(f"{sum(column):,}" for column in zip(*columns, strict=True))
    return f"| **all** | {sums} | |"


def machine() -> str:
    """This machine, the versions that matter, and the day."""
    import redis
    import uvicorn

    model = "a processor that does not say its name"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    today = datetime.datetime.now(datetime.UTC).date()
    cores = len(os.sched_getaffinity(0))
    return (
        f"{model}, {cores} cores, {platform.system()}, Python {platform.python_version()}, "
        f"uvicorn {uvicorn.__version__}, redis-py {redis.__version__}, {today}"
    )


def render(rows: Sequence[Row], rate: float, took_s: float) -> str:
    """What was run and what became of it, as Markdown."""
    broken = [f"- {row.group}, {row.name}: {what}" for row in rows for what in row.broken]
    verdict = "Every promise held." if not broken else "Broken promises:\n\n" + "\n".join(broken)
    return (
        f"{machine()}. {rate:.0f} requests a second throughout, {took_s / 60:.0f} minutes.\n\n"
        f"{table(rows)}\n\n{verdict}"
    )
