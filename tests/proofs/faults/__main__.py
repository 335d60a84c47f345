"""`python -m tests.proofs.faults`: every fault, a row each in docs/reliability.md. Exits 1 on a breach."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.progress import Progress

from loadtests.bench.section import write_section
from tests.proofs.faults import bentos, ordinary
from tests.proofs.faults.answered import Expected
from tests.proofs.faults.catalogue import PAIRS, SINGLE, Fault
from tests.proofs.faults.load import Load
from tests.proofs.faults.report import PAGE, render
from tests.proofs.faults.station import EXPERIMENT, Station
from tests.proofs.faults.trial import Row, run_trial
from tests.proofs.running import hold_many_connections, is_named, proof_progress, run

RATE = 150.0
# Past this no further fault begins.
_LONGEST_S = 690.0


def main() -> int:
    """Run the faults whose name has one of the words given; without any, all, and write the report."""
    parser = argparse.ArgumentParser(prog="python -m tests.proofs.faults", description=__doc__)
    parser.add_argument("words", nargs="*", help="only the faults whose group or name has one of these")
    words = parser.parse_args().words
    hold_many_connections()  # 5,000

    def chosen(faults: Sequence[Fault]) -> list[Fault]:
        return [fault for fault in faults if is_named(words, f"{fault.group}: {fault.name}")]

    own, other, real = chosen(SINGLE + PAIRS), chosen(ordinary.FAULTS), chosen(bentos.FAULTS)
    console = Console()
    begun = time.monotonic()
    rows: list[Row] = []
    with proof_progress(console) as progress:
        its = _Run(progress, len(own) + len(other) + len(real), begun, rows)
        if own:
            its.all_of(own, Station(), lambda station: (Expected(EXPERIMENT), ()))
        if other:
            its.all_of(other, ordinary.OrdinaryStation(), _of_the_dialect)
        if real:
            its.all_of(real, bentos.BentoStation(), _ask_directly)
    took_s = time.monotonic() - begun
    broken = sum(bool(row.broken) for row in rows)
    left_out = len(own) + len(other) + len(real) - len(rows)
    if not words:
        write_section("faults", render(rows, RATE, took_s), PAGE)
    console.print(f"{len(rows)} faults in {took_s / 60:.1f} minutes, {broken} with broken promises")
    if left_out:
        console.print(f"{left_out} faults were left out: the time was over")
    return 1 if broken or left_out else 0


Truth = Callable[[Station], tuple[Expected, Sequence[dict[str, object]]]]


class _Run:
    def __init__(self, progress: Progress, number: int, begun: float, rows: list[Row]) -> None:
        self._progress = progress
        self._task = progress.add_task("starting", total=number)
        self._begun = begun
        self._rows = rows

    def all_of(self, faults: Sequence[Fault], station: Station, truth: Truth) -> None:
        """Run these faults on one station, one after the other."""
        self._progress.update(self._task, description="starting the processes")
        with station:
            for fault in faults:
                if time.monotonic() - self._begun > _LONGEST_S:
                    return
                self._progress.update(self._task, description=f"{fault.group}: {fault.name}")
                row = asyncio.run(_one(fault, station, truth))
                self._rows.append(row)
                self._show(row, station)
                self._progress.advance(self._task)

    def _show(self, row: Row, station: Station) -> None:
        mark = "[red]broken[/]" if row.broken else "[green]held[/]"
        self._progress.console.print(
            f"{mark} {row.group}: {row.name}: {row.sent} sent, {row.right} right, {row.degraded} degraded, "
            f"{row.errors} errors, {row.cut} cut, {row.wrong} wrong, recovery {row.recovery_s:.1f} s"
        )
        for what in row.broken:
            station.keep = True
            self._progress.console.print(f"    {what}", markup=False)
            self._progress.console.print(f"    logs: {station.logs}", markup=False)


async def _one(fault: Fault, station: Station, truth: Truth) -> Row:
    expected, rows = await asyncio.to_thread(truth, station)
    return await run_trial(station, fault, Load(station.url, expected, RATE, rows))


def _of_the_dialect(station: Station) -> tuple[Expected, Sequence[dict[str, object]]]:
    assert isinstance(station, ordinary.OrdinaryStation)
    return station.expected(), ()


def _ask_directly(station: Station) -> tuple[Expected, Sequence[dict[str, object]]]:
    assert isinstance(station, bentos.BentoStation)
    rows = bentos.applicants()
    return station.expected(rows), rows


if __name__ == "__main__":
    run(main)
