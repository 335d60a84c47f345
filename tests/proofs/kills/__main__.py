"""`python -m tests.proofs.kills`: SIGKILL at random moments, and what is counted in the end.

Writes docs/reliability.md when all 60 kills were done. Exits 1 on a broken promise.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import time

from rich.console import Console
from rich.table import Table

from loadtests.bench.section import write_section
from tests.proofs.faults.report import PAGE
from tests.proofs.kills.killing import Kill, draw, run_kills
from tests.proofs.kills.report import render, rows
from tests.proofs.kills.station import KillsStation
from tests.proofs.running import proof_progress, run

KILLS = 60
RATE = 120.0
# Past this nobody else is killed: start, end and judging stay within 8 minutes.
_LONGEST_S = 330.0


def main() -> int:
    """Kill, and tell what became of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.proofs.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS, help=f"how many ({KILLS}); fewer write nothing")
    parser.add_argument("--seed", type=int, help="the seed of an earlier run; another one unless given")
    parser.add_argument("--rate", type=float, default=RATE, help=f"predictions a second ({RATE:.0f})")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else secrets.randbelow(1_000_000)
    console = Console()
    console.print(f"seed {seed}")
    kills = draw(options.kills, seed)
    begun = time.monotonic()
    with proof_progress(console) as progress, KillsStation() as station:
        task = progress.add_task("killing", total=len(kills))

        def told(kill: Kill) -> None:
            progress.update(task, advance=1, description=f"killed: {' + '.join(kill.victims)}")

        verdict, load, done = asyncio.run(
            run_kills(station, kills, options.rate, seed, told, begun + _LONGEST_S)
        )
        station.keep = bool(verdict.broken)
    took_s = time.monotonic() - begun
    table = Table("what", "how many")
    for what, number in rows(verdict):
        table.add_row(what, f"{number:,}")
    console.print(table)
    for what in verdict.broken:
        console.print(f"[red]broken[/] {what}; logs: {station.logs}")
    if done < len(kills):
        console.print(f"{len(kills) - done} kills were left out: the time was over")
    elif len(kills) >= KILLS:
        write_section("kills", render(kills, verdict, load.noted, seed, options.rate, took_s), PAGE)
    return 1 if verdict.broken or done < len(kills) else 0


if __name__ == "__main__":
    run(main)
