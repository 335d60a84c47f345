"""The run as tables: on the screen, and as the section of docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, Group
from rich.table import Table as Screen

from loadtests.bench.figures import DIRECT, EMPTY, NAMES, TIMES, Figure, figures_table
from loadtests.bench.machine import describe_run, describe_tool
from loadtests.bench.measure import Effort, Table, problems
from loadtests.bench.memory import Memory, thinned
from loadtests.bench.section import markdown_table

_HEAD = """\
## The router beside the service called directly (`make bench`)

{about}

One run of {minutes:.1f} minutes has {effort.rounds} rounds of {effort.seconds} s after a warm-up that does
not count, the four of a row in turn. What must hold is compared within each round, since a shared machine
changes its speed. It is the median of the rounds (in brackets the least and the most, and the router's own
latency). The second table has each side's medians. There is one router worker and one worker a service,
users are split 50/50 over v1 and v2, there is no shadow, and cache, events and metrics are on. *Direct* is
the service's own `/predict` ({run.direct_version}), with adaptive batching, the same module and settings as
behind the router. The *empty app* answers `{{}}` to the same requests on the router's own server.
*Uncached* means that every request is another user with another application, made from the held-out rows.
*Repeats* are 1,000 applicants, of whom the one of rank r is drawn with a weight of 1/r."""

_WHAT_COUNTS = """\
A response counts under three conditions. wrk counts statuses from 400 on and failed connections (*errors*).
The mean size of the responses is that of a good answer. The router's own counters say for each round that
all were `served` (uncached) or `cached` (repeats), and none a fallback, refused or an error. Answers are
compared one by one beside the rounds, under the same load. """

_MEMORY = "This is the memory of the router worker (RSS) while it answers distinct requests at 256 clients."


@dataclass(frozen=True, slots=True)
class Run:
    """All that one run found out."""

    table: Table
    clients: Sequence[int]
    effort: Effort
    figures: Sequence[Figure]
    checks: Sequence[str]
    memory: Memory | None
    direct_version: str
    load: str
    took_s: float


def rows(run: Run) -> list[list[str]]:
    """A row for each number of clients and target."""
    return [
        [
            str(clients),
            name,
            f"{cell.per_second:,.0f}",
            f"{cell.p50_ms:.2f}",
            f"{cell.p99_ms:.2f}",
            f"{cell.per_second / run.table[DIRECT, clients].per_second:.2f}",
            f"{cell.per_second / run.table[EMPTY, clients].per_second:.2f}",
            str(cell.errors),
        ]
        for clients in run.clients
        for name in NAMES
        for cell in [run.table[name, clients]]
    ]


HEADER = ["clients", "", "requests/s", "p50 ms", "p99 ms", f"{TIMES} direct", f"{TIMES} empty", "errors"]


def show(console: Console, run: Run) -> None:
    """Print the run."""
    measured = Screen(title="One run: medians of the rounds", title_justify="left")
    for place, name in enumerate(HEADER):
        measured.add_column(name, justify="left" if place == 1 else "right")
    for name, row in zip(NAMES * len(run.clients), rows(run), strict=True):
        measured.add_row(row[0] if name == NAMES[0] else "", *row[1:], end_section=name == NAMES[-1])
    promised = Screen(title="What must hold", title_justify="left")
    for name in ("figure", "measured", "required", ""):
        promised.add_column(name, overflow="fold")
    for figure in run.figures:
        verdict = "[green]holds[/]" if figure.holds else "[red]MISSED[/]"
        promised.add_row(figure.name, figure.measured, figure.required, verdict)
    lines = [*run.checks, *(f"[red]{problem}[/]" for problem in problems(run.table))]
    console.print(Group(measured, promised, *lines))


def section(run: Run) -> str:
    """The run in Markdown."""
    about = describe_run(run.load, describe_tool("wrk", "-v").split(" [")[0])
    parts = [
        _HEAD.format(about=about, run=run, minutes=run.took_s / 60, effort=run.effort),
        figures_table(run.figures),
        markdown_table(HEADER, rows(run), numbers_from=2),
        _WHAT_COUNTS + " ".join(run.checks),
    ]
    if wrong := problems(run.table):
        parts.append("What was wrong: " + "; ".join(wrong) + ".")
    if run.memory is not None:
        samples = thinned(run.memory.samples, 11)
        parts += [
            _MEMORY,
            markdown_table(
                ["requests", *(f"{count:,}" for count, _ in samples)],
                [["MiB", *(f"{mib:.0f}" for _, mib in samples)]],
            ),
        ]
    return "\n\n".join(parts)
