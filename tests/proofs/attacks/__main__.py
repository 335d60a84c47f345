"""`python -m tests.proofs.attacks`: every attack, one row each in docs/reliability.md.

Exits 1 when a promise is broken.
"""

from __future__ import annotations

import argparse
import time

from rich.console import Console

from loadtests.bench.section import write_section
from tests.proofs.attacks.attack import Attack, Row, run_attack
from tests.proofs.attacks.catalogue import GROUPS
from tests.proofs.attacks.costly import Beside, Cost, beside, cost, worst
from tests.proofs.attacks.installation import TIMEOUT_MS, Installation
from tests.proofs.attacks.kinds import KINDS
from tests.proofs.attacks.report import render
from tests.proofs.faults.report import PAGE
from tests.proofs.running import hold_many_connections, is_named, proof_progress, run

_SEARCH_S = 0.7
# One stall of the machine, of up to 0.15 s, is less than the hundredth part of it.
_BESIDE_S = 15.0
# Past this no further attack begins.
_LONGEST_S = 560.0


def main() -> int:
    """Run what the words name; without any, everything, and write the report."""
    parser = argparse.ArgumentParser(prog="python -m tests.proofs.attacks", description=__doc__)
    parser.add_argument("words", nargs="*", help="only the attacks whose row, file or name has one of these")
    parser.add_argument(
        "--all", action="store_true", help="every kind of costly request beside ordinary ones"
    )
    parser.add_argument(
        "--timeout-ms",
        type=int,
        default=TIMEOUT_MS,
        help="the model's time-out: longer where the machine does other things, whose delays are no finding",
    )
    asked = parser.parse_args()
    hold_many_connections()
    attacks = [
        (group, attack)
        for group, its in GROUPS.items()
        for attack in its
        if is_named(asked.words, f"{group} {attack.row}: {attack.name}")
    ]
    kinds = [kind.name for kind in KINDS if is_named(asked.words, f"costly.py A1: {kind.name}")]
    with _Run(len(attacks) + len(kinds)) as ran, Installation(asked.timeout_ms) as installation:
        ran.attacks(attacks, installation)
        ran.costs(kinds, installation, every_kind=asked.all)
        installation.keep = ran.broken
        if ran.broken:
            ran.print(f"logs: {installation.logs}")
    if not asked.words and asked.timeout_ms == TIMEOUT_MS:
        text = render(ran.rows, ran.costs_found, ran.besides, ran.alone, ran.took_s)
        write_section("attacks", text, PAGE)
    ran.print(f"{len(ran.rows)} attacks, {len(kinds)} kinds of requests in {ran.took_s / 60:.1f} minutes")
    if ran.left_out:
        ran.print(f"{ran.left_out} were left out: the time was over")
    return 1 if ran.broken or ran.left_out else 0


class _Run:
    """What has been run so far, shown as it goes."""

    def __init__(self, number: int) -> None:
        self.rows: list[Row] = []
        self.costs_found: list[Cost] = []
        self.besides: list[Beside] = []
        self.alone = Beside("", 0, 0, 0, 0.0, ())
        self.left_out = 0
        self._begun = time.monotonic()
        self._progress = proof_progress(Console())
        self._task = self._progress.add_task("starting the processes", total=number)

    @property
    def took_s(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._begun

    @property
    def broken(self) -> bool:
        """Whether a promise is."""
        return any(not row.found.held for row in self.rows) or any(
            each.broken(self.alone) for each in self.besides
        )

    def attacks(self, attacks: list[tuple[str, Attack]], installation: Installation) -> None:
        """Each attack, while there is time."""
        for group, attack in attacks:
            if not self._goes_on(f"{attack.row}: {attack.name}"):
                continue
            row = run_attack(group, attack, installation)
            self.rows.append(row)
            self._tell(row.found.held, f"{attack.row}: {attack.name}: {row.found.seen} ({row.took_s:.1f} s)")

    def costs(self, kinds: list[str], installation: Installation, every_kind: bool) -> None:
        """What each kind costs, then the worst of them, or all, beside ordinary requests."""
        for kind in kinds:
            if self._goes_on(f"A1: {kind}"):
                found = cost(installation, kind, _SEARCH_S)
                self.costs_found.append(found)
                self.print(
                    f"     A1: {kind}: {found.statuses}, {found.cpu_ms:.2f} ms, "
                    f"{found.us_per_kb:,.0f} µs/KB, longest turn {found.longest_ms:.0f} ms"
                )
        if not self.costs_found:
            return
        chosen = kinds if every_kind else worst(self.costs_found)
        self._progress.update(self._task, description="A1: ordinary requests alone")
        self.alone = beside(installation, "", _BESIDE_S)
        self.print(
            f"     A1: ordinary requests alone: p99 {self.alone.p99_ms:.1f} ms, {self.alone.failed} failed"
        )
        for kind in chosen:
            self._progress.update(self._task, description=f"A1: ordinary requests beside {kind}")
            met = beside(installation, kind, _BESIDE_S)
            self.besides.append(met)
            self._tell(
                not met.broken(self.alone),
                f"A1: beside {kind}: {met.failed} of {met.sent} failed, p99 {met.p99_ms:.1f} ms "
                f"{met.why or ''}",
            )

    def print(self, line: str) -> None:
        """A line above the bar."""
        self._progress.console.print(line, markup=False, highlight=False)

    def __enter__(self) -> _Run:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def _goes_on(self, name: str) -> bool:
        if self.took_s > _LONGEST_S:
            self.left_out += 1
            return False
        self._progress.update(self._task, description=name, advance=1)
        return True

    def _tell(self, held: bool, line: str) -> None:
        self.print(f"{'held  ' if held else 'BROKEN'} {line}")


if __name__ == "__main__":
    run(main)
