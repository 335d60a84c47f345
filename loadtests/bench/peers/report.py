"""The peers as a table: on the screen, and as the section of docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table as Screen

from loadtests.bench.figures import TIMES
from loadtests.bench.machine import describe_run, describe_tool
from loadtests.bench.measure import Cell, Effort, Table, problems
from loadtests.bench.peers.install import PEERS
from loadtests.bench.section import markdown_table

_HEAD = """\
## What others do for the same work (`make bench-peers`)

{about}

It was one run of {minutes:.1f} minutes. Each figure is the median of {effort.rounds} rounds of
{effort.seconds} s after a warm-up that does not count, all of them in turn at each number of clients. The
figures are requests a second, and p50/p99 in ms, for predictions of one applicant each, every one another
applicant. Those with one version serve {version}, with the same ONNX file and the fields checked by the
same pydantic model. Those that split do so by user, 50/50, over the same two BentoML services (v1, v2),
each with one worker. nginx and Envoy have one worker too. A mirror copies every request to v3. *Copies* is
how many of the requests v3 answered. Differences under 20 % are ties. The answers of each were compared
with the services' own before it was measured."""


@dataclass(frozen=True, slots=True)
class PeersRun:
    """All that one run found out. `absent` says why a row has no figures."""

    table: Table
    names: Sequence[str]
    mirrors: Sequence[str]
    absent: Mapping[str, str]
    clients: Sequence[int]
    effort: Effort
    version: str
    load: str
    took_s: float


def header(run: PeersRun) -> list[str]:
    """The names of the columns."""
    first, *others = run.clients
    clients = [f"{first} client{'s' if first > 1 else ''}", *(f"{count}" for count in others)]
    return ["", *clients, f"{TIMES} direct at 64", "copies at 64", "errors"]


def rows(run: PeersRun) -> list[list[str]]:
    """A row for each peer."""
    found = []
    direct = run.table.get((run.names[0], 64))
    for name in run.names:
        if name in run.absent:
            found.append([name, run.absent[name], *[""] * (len(run.clients) + 2)])
            continue
        cells = [run.table[name, count] for count in run.clients]
        at_64 = run.table[name, 64]
        ratio = f"{at_64.per_second / direct.per_second:.2f}" if direct and direct.per_second else ""
        # Those in flight when wrk stopped have been copied, too.
        share = min(1.0, at_64.counted.get("copies", 0) / max(1, at_64.requests))
        copies = f"{share:.0%}" if name in run.mirrors else ""
        found.append([name, *map(_cell, cells), ratio, copies, _errors(cells)])
    return found


def _cell(cell: Cell) -> str:
    if not cell.per_second:
        return "no answer"
    return f"{cell.per_second:,.0f} · {cell.p50_ms:.1f}/{cell.p99_ms:.0f}"


def _errors(cells: Sequence[Cell]) -> str:
    errors = sum(cell.errors for cell in cells)
    return f"{errors / max(1, sum(cell.requests for cell in cells)):.1%}" if errors else "0"


def show(console: Console, run: PeersRun) -> None:
    """Print the run."""
    table = Screen(title="Requests a second · p50/p99 ms", title_justify="left")
    for place, name in enumerate(header(run)):
        table.add_column(name, justify="right" if place else "left", overflow="fold")
    for row in rows(run):
        table.add_row(*row)
    console.print(table)
    for problem in problems(run.table):
        console.print(f"[red]{problem}[/]")


def section(run: PeersRun) -> str:
    """The run in Markdown."""
    head = _HEAD.format(
        about=describe_run(run.load, describe_tool("nginx", "-v").removeprefix("nginx version: "), *_pins()),
        minutes=run.took_s / 60,
        effort=run.effort,
        version=run.version,
    )
    parts = [head, markdown_table(header(run), rows(run))]
    if found := problems(run.table):
        parts.append("What was wrong: " + "; ".join(found) + ".")
    return "\n\n".join(parts)


def _pins() -> list[str]:
    lines = (
        line
        for file in sorted(PEERS.glob("*/requirements.txt"))
        for line in file.read_text(encoding="utf-8").splitlines()
    )
    return [line.replace("==", " ") for line in lines if line.startswith(("mlserver", "litserve", "envoy"))]
