"""A1: which request costs a worker most, and what it costs everybody else."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import orjson

from tests.proofs.attacks.installation import Installation
from tests.proofs.attacks.kinds import KINDS
from tests.proofs.faults.answered import ERRORS, Kind
from tests.proofs.faults.processes import ROOT

RATE: Final = 400.0
"""Ordinary requests a second: 8 clients of 50."""
MOST_P99_MS: Final = 25.0
MOST_TIMES_ALONE: Final = 3.0
_LARGE: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Cost:
    """What a kind of request costs a worker that does nothing else. `longest_ms` is the most CPU time between
    two turns of its event loop: whatever else the machine does, everybody else waits for that long.
    """

    kind: str
    requests: int
    bytes_each: float
    cpu_ms: float
    longest_ms: float
    statuses: str

    @property
    def us_per_kb(self) -> float:
        """Microseconds of CPU for each 1,000 bytes."""
        return self.cpu_ms * 1e6 / max(self.bytes_each, 1.0)


@dataclass(frozen=True, slots=True)
class Beside:
    """What became of ordinary requests, alone (`kind` is empty) or beside four clients of a kind."""

    kind: str
    sent: int
    failed: int
    fallbacks: int
    p99_ms: float
    why: tuple[str, ...]

    def broken(self, alone: Beside) -> bool:
        """Whether others paid for the attack."""
        return self.failed > 0 or self.p99_ms > most_ms(alone)


def most_ms(alone: Beside) -> float:
    """What ordinary requests may take at the 99th percentile."""
    return max(MOST_TIMES_ALONE * alone.p99_ms, MOST_P99_MS)


class Flooding:
    """The attackers' process: from `begin` to `end` they send."""

    def __init__(self, port: int, kind: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.proofs.attacks.flood", str(port), kind],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def begin(self) -> None:
        """Let them send, once everything is rendered."""
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"
        self._told()

    def end(self) -> dict[str, Any]:
        """Stop them; what came back."""
        self._told()
        assert self._process.stdout is not None
        flooded: dict[str, Any] = orjson.loads(self._process.stdout.readline())
        return flooded

    def _told(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


def cost(installation: Installation, kind: str, seconds: float) -> Cost:
    """What this kind costs the worker."""
    with Flooding(installation.port, kind) as flooding:
        flooding.begin()
        installation.turned()
        before = installation.cpu_s()
        time.sleep(seconds)
        flooded = flooding.end()
        cpu_s = installation.cpu_s() - before
        turned = installation.turned()
    requests = sum(flooded["statuses"].values())
    statuses = ", ".join(sorted(flooded["statuses"]))
    each = max(requests, 1)
    return Cost(
        kind, requests, flooded["bytes_sent"] / each, cpu_s * 1000 / each, turned.longest_cpu_ms, statuses
    )


def beside(installation: Installation, kind: str, seconds: float, rate: float = RATE) -> Beside:
    """Ordinary requests, beside four clients of this kind; alone where it is empty."""
    if not kind:
        return asyncio.run(_load(installation, kind, seconds, rate))
    with Flooding(installation.port, kind) as flooding:
        flooding.begin()
        time.sleep(0.3)
        found = asyncio.run(_load(installation, kind, seconds, rate))
        flooding.end()
    return found


async def _load(installation: Installation, kind: str, seconds: float, rate: float) -> Beside:
    async with installation.load(rate) as load:
        await asyncio.sleep(seconds)
    took = sorted(sample.done - sample.sent for sample in load.samples)
    count = load.count()
    bad = (*ERRORS, Kind.WRONG)
    return Beside(
        kind,
        len(took),
        sum(count[each] for each in bad) + load.left_out,
        count[Kind.FALLBACK],
        1000 * took[int(0.99 * len(took))] if took else float("inf"),
        tuple(load.details(*bad)),
    )


def search(installation: Installation, seconds: float) -> list[Cost]:
    """What each kind costs, in the catalogue's order."""
    return [cost(installation, each.name, seconds) for each in KINDS]


def worst(costs: Sequence[Cost]) -> list[str]:
    """The kinds to run beside ordinary requests: what costs most per byte, of all and of those with a large
    body, what costs most per request, and what the loop stood still for longest.
    """
    found = [
        max(costs, key=lambda each: each.us_per_kb),
        max((each for each in costs if each.bytes_each >= _LARGE), key=lambda each: each.us_per_kb),
        max(costs, key=lambda each: each.cpu_ms),
        max(costs, key=lambda each: each.longest_ms),
    ]
    return list(dict.fromkeys(each.kind for each in found))
