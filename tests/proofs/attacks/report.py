"""The tables of docs/reliability.md, between their markers, with the machine and the date."""

from __future__ import annotations

import os
from collections.abc import Sequence

from tests.proofs.attacks.attack import Row
from tests.proofs.attacks.costly import RATE, Beside, Cost, most_ms
from tests.proofs.faults.report import machine


def attacks_table(rows: Sequence[Row]) -> str:
    """The attacks, a heading line for each file."""
    lines = ["| attack | required | seen | |", "|---|---|---|---|"]
    group = ""
    for row in rows:
        if row.group != group:
            group = row.group
            lines.append(f"| **{group}** | | | |")
        mark = "held" if row.found.held else "**broken**"
        cells = (f"{row.attack.row}: {row.attack.name}", row.attack.required, row.found.seen, mark)
        lines.append("| " + " | ".join(_cell(each) for each in cells) + " |")
    return "\n".join(lines)


def costs_table(costs: Sequence[Cost], besides: Sequence[Beside], alone: Beside) -> str:
    """The kinds of requests, what costs most per byte first, and what ordinary requests met beside them."""
    of = {each.kind: each for each in besides}
    lines = [
        "| request | answered | bytes | CPU, ms | µs/KB | longest turn, CPU ms | others failed | p99, ms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for cost in sorted(costs, key=lambda each: -each.us_per_kb):
        met = of.get(cost.kind)
        beside = "| |"
        if met is not None:
            mark = " **broken**" if met.broken(alone) else ""
            beside = f"{met.failed:,} of {met.sent:,} | {met.p99_ms:.1f}{mark} |"
        lines.append(
            f"| {_cell(cost.kind)} | {cost.statuses} | {cost.bytes_each:,.0f} | {cost.cpu_ms:.2f} | "
            f"{cost.us_per_kb:,.0f} | {cost.longest_ms:.0f} | {beside}"
        )
    lines.append(
        f"| nothing beside them | | | | | | {alone.failed:,} of {alone.sent:,} | {alone.p99_ms:.1f} |"
    )
    return "\n".join(lines)


def render(
    rows: Sequence[Row], costs: Sequence[Cost], besides: Sequence[Beside], alone: Beside, took_s: float
) -> str:
    """Both tables, as Markdown."""
    broken = [
        f"- {row.attack.row}, {row.attack.name}: {row.found.seen}" for row in rows if not row.found.held
    ]
    broken += [
        f"- A1, {each.kind}: {each.failed} of {each.sent} failed, p99 {each.p99_ms:.0f} ms"
        for each in besides
        if each.broken(alone)
    ]
    verdict = "Every promise held." if not broken else "Broken promises:\n\n" + "\n".join(broken)
    return (
        f"{machine()}, load average {os.getloadavg()[1]:.1f}. {took_s / 60:.0f} minutes.\n\n"
        f"{attacks_table(rows)}\n\n"
        f"In A1, four clients send one kind of request in a closed loop. Eight ordinary clients send "
        f"{RATE / 8:.0f} requests a second each. Ordinary requests may take {most_ms(alone):.0f} ms.\n\n"
        f"{costs_table(costs, besides, alone)}\n\n{verdict}"
    )


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
