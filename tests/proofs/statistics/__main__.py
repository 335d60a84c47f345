"""`python -m tests.proofs.statistics`: simulates, writes docs/statistics.md. Exits 1 on a broken claim."""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.proofs.statistics import pictures
from tests.proofs.statistics.agreement import differences
from tests.proofs.statistics.claims import WORLDS, tables
from tests.proofs.statistics.page import PAGE, write_tables
from tests.proofs.statistics.peeking import Seen, peek
from tests.proofs.statistics.scenarios import scenarios
from tests.proofs.statistics.worlds import TABLES


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proofs.statistics", description=__doc__)
    parser.add_argument("--seed", type=int, default=20261121, help="another one gives other experiments")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--dry-run", action="store_true", help="write nothing")
    arguments = parser.parse_args()
    console = Console()
    begun = time.monotonic()
    everything = scenarios()
    seen: dict[str, Seen] = {}
    worlds: dict[str, Any] = {}
    columns = (TextColumn("{task.description:60}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    progress = Progress(*columns, console=console)
    with progress, ProcessPoolExecutor(arguments.processes) as pool:
        task = progress.add_task("scenarios", total=len(everything) + len(WORLDS))
        futures = {pool.submit(world.look, arguments.seed): name for name, world in WORLDS.items()}
        apart = [pool.submit(table, arguments.seed) for table in TABLES.values()]
        futures |= {pool.submit(simulate, name, arguments.seed): name for name in everything}
        for future in as_completed(futures):
            name, result = futures[future], future.result()
            (worlds if name in WORLDS else seen)[name] = result
            progress.update(task, advance=1, description=name)
    made = tables(seen, worlds, list(differences(arguments.seed)))
    made += [each.result() for each in apart]
    broken = [claim for table in made for claim in table.broken]
    took_s = time.monotonic() - begun
    if not arguments.dry_run:
        write_tables(made, arguments.seed)
        pictures.false_alarms(seen)
        pictures.band(arguments.seed)
    for claim in broken:
        console.print(f"[red]does not hold:[/red] {claim}")
    where = "nothing written" if arguments.dry_run else str(PAGE)
    console.print(
        f"{len(everything) + len(WORLDS)} scenarios in {took_s:.0f} s, {len(broken)} claims broken: {where}"
    )
    return 1 if broken else 0


def simulate(name: str, seed: int) -> Seen:
    """One scenario, in a process of its own."""
    return peek(scenarios()[name], (seed, list(scenarios()).index(name)))


if __name__ == "__main__":
    sys.exit(main())
