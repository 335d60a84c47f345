"""`python -m tests.proofs.netns`: every cut, a row each in docs/reliability.md. Exits 1 on a breach."""

from __future__ import annotations

import argparse
import asyncio
import os

from rich.console import Console

from loadtests.bench.section import write_section
from tests.proofs.faults.report import PAGE
from tests.proofs.netns.cuts import CUTS
from tests.proofs.netns.installation import Installation
from tests.proofs.netns.network import why_not
from tests.proofs.netns.report import render
from tests.proofs.netns.trial import Row, run_trial
from tests.proofs.running import is_named, run

RATE = 75.0
HOLD_S = 4.0


def main() -> int:
    """Run the cuts whose name has one of the words given; without any, all, and write the report."""
    parser = argparse.ArgumentParser(prog="python -m tests.proofs.netns", description=__doc__)
    parser.add_argument("words", nargs="*", help="only the cuts whose name has one of these")
    words = parser.parse_args().words
    console = Console()
    if reason := why_not():
        console.print(f"no hosts can be made here: {reason}", markup=False)
        return 2
    rows: list[Row] = []
    with Installation() as installation:
        for cut in CUTS:
            if not is_named(words, cut.name):
                continue
            row = asyncio.run(run_trial(installation, cut, RATE, HOLD_S))
            rows.append(row)
            mark = "[red]broken[/]" if row.broken else "[green]held[/]"
            console.print(
                f"{mark} {row.name}: {row.sent} sent, {row.right} right, {row.fallback} fallback, "
                f"{row.uncached} uncached, {row.errors} errors, {row.wrong} wrong, "
                f"recovery {row.recovery_s:.1f} s, in step after {row.in_step_s:.1f} s"
            )
            for what in row.broken:
                installation.keep = True
                console.print(f"    {what}; logs: {installation.logs}", markup=False)
    if not words:
        write_section("netns", render(rows, RATE, HOLD_S, os.getloadavg()[1]), PAGE)
    return 1 if any(row.broken for row in rows) else 0


if __name__ == "__main__":
    run(main)
