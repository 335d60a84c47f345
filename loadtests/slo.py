"""The service level objective: what a run must hold, and the highest load that holds it."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured over `seconds`. `times` counts requests by response time in whole milliseconds.

    Locust keeps two significant digits of a response time: 147 ms counts as 150 ms.
    """

    requests: int
    failures: int
    times: Mapping[int, int]
    seconds: float

    def since(self, before: Figures) -> Figures:
        """What came after `before`, an earlier look at the same counters."""
        times = Counter(self.times)
        times.subtract(before.times)
        return Figures(
            self.requests - before.requests,
            self.failures - before.failures,
            times,
            self.seconds - before.seconds,
        )

    def percentile_ms(self, share: float) -> int | None:
        """The smallest time that at least `share` of the requests stayed within; None without requests."""
        total = sum(self.times.values())
        reached = 0
        for time_ms in sorted(self.times):
            reached += self.times[time_ms]
            if total > 0 and reached >= share * total:
                return time_ms
        return None

    @property
    def error_rate(self) -> float:
        """The share of requests that failed."""
        return self.failures / self.requests if self.requests else 0.0

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Slo:
    """At most so many milliseconds at the 99th percentile, and at most such a share of failed requests."""

    p99_ms: float
    error_rate: float

    def broken(self, figures: Figures) -> str | None:
        """Which figure is past the objective, in words; None when it holds."""
        p99_ms = figures.percentile_ms(0.99)
        if p99_ms is None:
            return "there was no request"
        complaints = []
        if p99_ms > self.p99_ms:
            complaints.append(f"p99 is {p99_ms} ms, over {self.p99_ms:g} ms (--slo-p99-ms)")
        if figures.error_rate > self.error_rate:
            complaints.append(
                f"the error rate is {figures.error_rate:.4g}, over {self.error_rate:g} (--slo-error-rate)"
            )
        return "; ".join(complaints) or None


@dataclass(frozen=True, slots=True)
class Step:
    """A level of load and what was measured on it."""

    users: int
    figures: Figures
    broken: str | None


def find_knee(steps: Sequence[Step]) -> Step | None:
    """The highest load below the first one that broke the objective; None when none held it."""
    held = list(takewhile(lambda step: step.broken is None, steps))
    return held[-1] if held else None


COLUMNS = ("users", "requests", "requests_per_s", "p50_ms", "p99_ms", "error_rate", "slo", "knee")


def rows(steps: Sequence[Step]) -> list[tuple[str, ...]]:
    """The steps as the cells of COLUMNS."""
    knee = find_knee(steps)
    return [
        (
            str(step.users),
            str(step.figures.requests),
            f"{step.figures.rate:.1f}",
            _cell(step.figures.percentile_ms(0.5)),
            _cell(step.figures.percentile_ms(0.99)),
            f"{step.figures.error_rate:.4f}",
            "held" if step.broken is None else "broken",
            "knee" if step is knee else "",
        )
        for step in steps
    ]


def _cell(value: int | None) -> str:
    return "-" if value is None else str(value)


def render_table(steps: Sequence[Step]) -> str:
    """The steps as a table for a terminal."""
    lines = [COLUMNS, *rows(steps)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def write_table(path: Path, steps: Sequence[Step]) -> None:
    """The steps as CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(rows(steps))


def describe_knee(steps: Sequence[Step]) -> str:
    """The knee in a sentence."""
    knee = find_knee(steps)
    if knee is None:
        return "no knee: no step held the SLO"
    found = (
        f"{knee.users} users, {knee.figures.rate:.0f} requests/s, p99 {knee.figures.percentile_ms(0.99)} ms"
    )
    if knee is steps[-1]:
        return f"the knee was not reached, the SLO still held at {found}: go on with more --step-users"
    return f"the knee: {found}"
