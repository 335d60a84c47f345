"""`python -m tests.kills`: SIGKILL at random moments, and what is counted in the end.

Writes docs/reliability.md when all 60 kills were done. Exits 1 on a broken promise.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import signal
import sys
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.kills.killing import Kill, draw, run_kills
from tests.kills.report import render, rows, write_report
from tests.kills.station import KillsStation

KILLS = 60
RATE = 120.0
# Past this nobody else is killed: start, end and judging stay within 8 minutes.
_LONGEST_S = 330.0


class Stopped(Exception):
    """SIGTERM: everything that was started is ended first."""


def main() -> int:
    """Kill, and tell what became of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS, help=f"how many ({KILLS}); fewer write nothing")
    parser.add_argument("--seed", type=int, help="the seed of an earlier run; another one unless given")
    parser.add_argument("--rate", type=float, default=RATE, help=f"predictions a second ({RATE:.0f})")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else secrets.randbelow(1_000_000)
    signal.signal(signal.SIGTERM, _stop)
    console = Console()
    console.print(f"seed {seed}")
    kills = draw(options.kills, seed)
    columns = (TextColumn("{task.description:50}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    begun = time.monotonic()
    with Progress(*columns, console=console) as progress, KillsStation() as station:
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
        write_report(render(kills, verdict, load.noted, seed, options.rate, took_s))
    return 1 if verdict.broken or done < len(kills) else 0


def _stop(*_: object) -> None:
    raise Stopped


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (KeyboardInterrupt, Stopped):
        sys.exit(130)
