"""Rounds of several targets in turn, and their medians."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from loadtests.bench.errors import BenchError
from loadtests.bench.streams import POPULATION, Numbers, Stream
from loadtests.bench.wrk import Round, drive

_SIZE_TOLERANCE: Final = 0.2
# Those who come again have to have come once: a lone client would take too long.
_WARMING: Final = 64

Counts = Callable[[], Awaitable[Counter[str]]]


@dataclass(frozen=True, slots=True)
class Target:
    """Something that is measured: where, with which requests, how large a good response is.

    `counts` are the servers' own counters; where `expect` names a result they must say that every request got
    it. `rest_s` is for what is in flight when wrk stops, before the next one's turn. A run
    in which one that `must_answer` does not is no run.
    """

    name: str
    url: str
    stream: Stream
    response_bytes: float
    counts: Counts | None = None
    expect: str = ""
    rest_s: float = 0.2
    must_answer: bool = True


@dataclass(frozen=True, slots=True)
class Cell:
    """A target at a number of clients: medians of its rounds, what was wrong in any, what servers counted."""

    rounds: tuple[Round, ...]
    problems: tuple[str, ...]
    counted: Mapping[str, int] = field(default_factory=dict)

    @property
    def per_second(self) -> float:
        """Requests a second."""
        return median(one.per_second for one in self.rounds)

    @property
    def p50_ms(self) -> float:
        """Half of the requests took no longer."""
        return median(one.p50_ms for one in self.rounds)

    @property
    def p99_ms(self) -> float:
        """One request of a hundred took longer."""
        return median(one.p99_ms for one in self.rounds)

    @property
    def requests(self) -> int:
        """Requests of all rounds."""
        return sum(one.requests for one in self.rounds)

    @property
    def errors(self) -> int:
        """Connections that failed, responses that were not 2xx or came too late, in all rounds."""
        return sum(one.errors for one in self.rounds)


Table = Mapping[tuple[str, int], Cell]


def problems(table: Table) -> list[str]:
    """What was wrong in any round, a line each."""
    return [
        f"{name}, {clients} clients: {problem}"
        for (name, clients), cell in table.items()
        for problem in cell.problems
    ]


@dataclass(frozen=True, slots=True)
class Effort:
    """How long each target is measured: rounds of so many seconds, after a warm-up that does not count."""

    rounds: int
    seconds: int
    warm_up_s: int


async def measure(
    targets: Sequence[Target],
    clients: Sequence[int],
    effort: Effort,
    numbers: Numbers,
    on_round: Callable[[str, int], None] = lambda _name, _clients: None,
) -> Table:
    """Measure every target at every number of clients, from few to many: round by round, the targets in turn.

    In turn, because a machine's speed changes while one looks: what is compared is measured within seconds.
    From few to many, because BentoML's batching remembers a crowd for a while and lets a lone client wait.
    """
    table: dict[tuple[str, int], Cell] = {}
    for count in sorted(clients):
        found: dict[str, list[tuple[Round, Counter[str]]]] = {target.name: [] for target in targets}
        if effort.warm_up_s:
            for target in targets:
                crowd = max(count, _WARMING) if target.stream.repeats else count
                await _round(target, crowd, effort.warm_up_s, numbers)
        for _ in range(effort.rounds):
            for target in targets:
                on_round(target.name, count)
                found[target.name].append(await _round(target, count, effort.seconds, numbers))
        for target in targets:
            rounds, counted = zip(*found[target.name], strict=True)
            wrong = [fault for one in found[target.name] for fault in faults(target, *one, count)]
            table[target.name, count] = Cell(rounds, tuple(wrong), sum(counted, Counter()))
    return table


async def _round(target: Target, clients: int, seconds: int, numbers: Numbers) -> tuple[Round, Counter[str]]:
    before = await target.counts() if target.counts else Counter[str]()
    one = await drive(target.url, target.stream, numbers.next, clients, seconds)
    if not target.stream.repeats:
        numbers.sent(one.requests + one.errors + clients)
    await asyncio.sleep(target.rest_s)
    after = await target.counts() if target.counts else Counter[str]()
    if target.must_answer and not one.requests:
        raise BenchError(f"{target.name} answered nothing at {clients} clients")
    return one, after - before


def faults(target: Target, one: Round, counted: Counter[str], clients: int) -> list[str]:
    """Why responses of a round do not count, a line each."""
    found = []
    if one.errors:
        found.append(f"{one.errors} of {one.requests} responses were errors")
    if not one.requests:
        return [*found, "nothing was answered"]
    if abs(one.bytes_each / target.response_bytes - 1) > _SIZE_TOLERANCE:
        found.append(f"responses had {one.bytes_each:.0f} bytes, a good one has {target.response_bytes:.0f}")
    if target.expect:
        found += [
            f"{counted[result]} were {result}"
            for result in ("fallback", "refused", "error")
            if counted[result]
        ]
        wanted = counted[target.expect]
        # Each of the repeated may come for the first time, or for the first since its answer expired, and all
        # who wait for that one are served; what was in flight at the end wrk has not counted.
        least = one.requests - (POPULATION + clients if target.stream.repeats else 0)
        if not least <= wanted <= one.requests + clients:
            found.append(f"{wanted} of {one.requests} were {target.expect}")
    return found
