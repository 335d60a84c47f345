"""What must hold: the figures of the run against what was promised of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from loadtests.bench.measure import Cell, Table
from loadtests.bench.memory import REQUESTS, Memory
from loadtests.bench.section import markdown_table

DIRECT: Final = "direct"
UNCACHED: Final = "router, uncached"
REPEATS: Final = "router, repeats"
EMPTY: Final = "empty app"
NAMES: Final = (DIRECT, UNCACHED, REPEATS, EMPTY)

TIMES: Final = "\N{MULTIPLICATION SIGN}"
MEMORY_MIB: Final = 200.0
FLAT_MIB: Final = 5.0


@dataclass(frozen=True, slots=True)
class Figure:
    """One promise: what was measured, what is required, and whether it holds."""

    name: str
    measured: str
    required: str
    holds: bool


def figures_table(found: Sequence[Figure]) -> str:
    """The promises in Markdown."""
    return markdown_table(
        ["figure", "measured", "required", ""],
        [
            [each.name, each.measured, each.required, "holds" if each.holds else "**missed**"]
            for each in found
        ],
        numbers_from=4,
    )


def figures(table: Table, memory: Memory | None) -> list[Figure]:
    """Every promise that the table can answer."""

    def p50(name: str) -> list[float]:
        return [one.p50_ms for one in table[name, 1].rounds]

    found = [
        at_least("uncached, 64 clients, against direct", table[UNCACHED, 64], table[DIRECT, 64], 5.0),
        at_most(
            "uncached, 64 clients: p99, against direct's p50",
            [one.p99_ms for one in table[UNCACHED, 64].rounds],
            [one.p50_ms for one in table[DIRECT, 64].rounds],
        ),
        at_least("uncached, 256 clients, against direct", table[UNCACHED, 256], table[DIRECT, 256], 7.0),
        no_errors("uncached, 256 clients: responses but 200", table[UNCACHED, 256]),
        at_least("repeats, 64 clients, against direct", table[REPEATS, 64], table[DIRECT, 64], 13.0),
        at_least("repeats, 64 clients, against the empty app", table[REPEATS, 64], table[EMPTY, 64], 0.5),
        at_most("1 client, cached: p50, against the empty app's", p50(REPEATS), p50(EMPTY), 0.25),
        at_most("1 client, uncached: p50, against direct's", p50(UNCACHED), p50(DIRECT), 0.2),
    ]
    if memory is not None:
        found += memory_figures(memory)
    return found


def at_least(name: str, one: Cell, other: Cell, ratio: float) -> Figure:
    """`one` answers at least `ratio` times as many requests a second as `other`, in half of the rounds.

    Round by round, since a machine that others share changes its speed: medians of each side, divided, would
    compare a good round with a bad one.
    """
    ratios = [a.per_second / b.per_second for a, b in zip(one.rounds, other.rounds, strict=True)]
    measured = median(ratios)
    return Figure(
        name,
        f"{measured:.2f} {TIMES} ({min(ratios):.2f} to {max(ratios):.2f})",
        f"at least {ratio:g} {TIMES}",
        measured >= ratio,
    )


def at_most(name: str, one_ms: Sequence[float], other_ms: Sequence[float], more_ms: float = 0.0) -> Figure:
    """A latency is at most `more_ms` longer than another one, in half of the rounds."""
    more = [a - b for a, b in zip(one_ms, other_ms, strict=True)]
    measured = median(more)
    return Figure(
        name,
        f"{measured:+.2f} ms ({min(more):+.2f} to {max(more):+.2f}; {median(one_ms):.2f} ms)",
        f"at most {more_ms:+.2f} ms",
        measured <= more_ms,
    )


def no_errors(name: str, cell: Cell) -> Figure:
    """Every response counts: nothing failed, nothing fell back, nothing came from where it should not."""
    bad = cell.errors + len(cell.problems)
    measured = f"{bad}" if bad else f"0 of {cell.requests:,}"
    return Figure(name, measured, "0", not bad)


def memory_figures(memory: Memory) -> list[Figure]:
    """A worker's memory after a million requests: how much, and whether it still grows."""
    enough = memory.requests >= REQUESTS
    return [
        Figure(
            f"a router worker's memory after {memory.requests:,} distinct requests",
            f"{memory.highest_mib:.0f} MiB",
            f"at most {MEMORY_MIB:.0f} MiB" + ("" if enough else f" after {REQUESTS:,}"),
            enough and memory.highest_mib <= MEMORY_MIB and not memory.errors,
        ),
        Figure(
            "its growth over the last half",
            f"{memory.growth_mib:+.1f} MiB",
            f"at most {FLAT_MIB:.0f} MiB",
            enough and memory.growth_mib <= FLAT_MIB,
        ),
    ]
