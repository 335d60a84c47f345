"""The table of cuts in docs/reliability.md, between its markers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.proofs.faults.report import machine
from tests.proofs.netns.trial import Row

_HEADER: Final = (
    "| cut off | sent | right | fallback | uncached | errors | wrong | recovery, s | in step, s |",
    "|---|---|---|---|---|---|---|---|---|",
)


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown."""
    lines = list(_HEADER)
    for row in rows:
        numbers = (row.sent, row.right, row.fallback, row.uncached, row.errors, row.wrong)
        broken = " — **broken**" if row.broken else ""
        cells = " | ".join(f"{number:,}" for number in numbers)
        lines.append(f"| {row.name}{broken} | {cells} | {row.recovery_s:.1f} | {row.in_step_s:.1f} |")
    return "\n".join(lines)


def render(rows: Sequence[Row], rate: float, hold_s: float, load_average: float) -> str:
    """What was cut and what became of it, as Markdown. `load_average` is the machine's while it ran."""
    broken = [f"- {row.name}: {what}" for row in rows for what in row.broken]
    verdict = "Every promise held." if not broken else "Broken promises:\n\n" + "\n".join(broken)
    return (
        f"{machine()}, load average {load_average:.1f}. {rate:.0f} requests a second on each router, "
        f"each cut for at least {hold_s:.0f} s.\n\n"
        f"{table(rows)}\n\n{verdict}"
    )
