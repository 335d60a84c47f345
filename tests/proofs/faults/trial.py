"""One fault under load: from a calm load over the fault to a calm load again, and the row that it makes."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.proofs.faults.answered import DEGRADED, ERRORS, Kind
from tests.proofs.faults.catalogue import Fault
from tests.proofs.faults.load import Load, recovery_s
from tests.proofs.faults.scene import Scene
from tests.proofs.faults.station import Station

_CALM_S: Final = 1.5
_PATIENCE_S: Final = 25.0


@dataclass(frozen=True, slots=True)
class Row:
    """What became of the requests of one fault, and which promises were broken (`broken`, none if all held).

    `recovery_s` is the time from the end of the fault (of an event: from the event) to the last response
    that was not as it should be.
    """

    group: str
    name: str
    sent: int
    right: int
    fallback: int
    uncached: int
    problems: int
    lost: int
    cut: int
    wrong: int
    recovery_s: float
    broken: tuple[str, ...]

    @property
    def degraded(self) -> int:
        """Right for the row and its version, but live's, or computed once more than needed."""
        return self.fallback + self.uncached

    @property
    def errors(self) -> int:
        """Without an answer; what was inside a killed worker is not counted here but in `cut`."""
        return self.problems + self.lost


async def run_trial(station: Station, fault: Fault, load: Load) -> Row:
    """Run `fault` under `load` (not entered yet). The station is whole again afterwards."""
    scene = Scene(station, load, fault.hold_s)
    over: float | None = None
    cores = _Cores()
    try:
        async with load:
            await asyncio.sleep(_CALM_S)
            calm = await _until_calm(load, _PATIENCE_S)
            scene.expect(calm, "the load was never calm before the fault")
            happened = time.monotonic()
            async with fault.apply(scene):
                await scene.hold()
            over = happened if fault.is_event else time.monotonic()
            if not fault.load_ends:
                calm = await _until_calm(load, _PATIENCE_S)
                scene.expect(calm, f"not as before {_PATIENCE_S:.0f} s after the fault's end")
    except (AssertionError, OSError, TimeoutError) as error:
        scene.expect(False, f"the harness failed: {type(error).__name__}: {error}")
    finally:
        await asyncio.to_thread(station.start)
    return _row(fault, load, scene, over, cores.busy_percent())


class _Cores:
    """How busy all cores of this machine are, with whatever runs on it, from now on."""

    def __init__(self) -> None:
        self._before = self._read()

    def busy_percent(self) -> float:
        """The share of their time that the cores were not idle."""
        idle, total = (now - then for now, then in zip(self._read(), self._before, strict=True))
        return 100.0 * (1 - idle / max(total, 1))

    @staticmethod
    def _read() -> tuple[int, int]:
        ticks = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        return ticks[3] + ticks[4], sum(ticks)


async def _until_calm(load: Load, within_s: float) -> bool:
    """Wait until a second has passed in which every response was as it should be."""
    end = time.monotonic() + within_s
    since = time.monotonic()
    while True:
        await asyncio.sleep(0.1)
        now = time.monotonic()
        since += recovery_s(load.samples, since)
        if now - since >= 1.0:
            return True
        if now > end:
            return False


def _row(fault: Fault, load: Load, scene: Scene, over: float | None, busy_percent: float) -> Row:
    count = load.count()
    errors = sum(count[kind] for kind in ERRORS)
    scene.expect(count[Kind.WRONG] == 0, f"wrong answers: {load.details(Kind.WRONG)}")
    scene.expect(count[Kind.BROKEN] == 0, f"errors without a problem+json: {load.details(Kind.BROKEN)}")
    scene.expect(count[Kind.PROBLEM] == 0 or fault.errors, f"errors: {load.details(Kind.PROBLEM)}")
    scene.expect(not load.left_out, f"{load.left_out} requests were never sent")
    if scene.broken:
        # The harness keeps two cores half busy. Past 90 % somebody else was there, and may be why.
        scene.broken.append(f"this machine's cores were busy to {busy_percent:.0f} % meanwhile")
    assert errors + sum(count[kind] for kind in (Kind.RIGHT, Kind.CUT, Kind.WRONG, *DEGRADED)) == len(
        load.samples
    )
    return Row(
        group=fault.group,
        name=fault.name,
        sent=len(load.samples),
        right=count[Kind.RIGHT],
        fallback=count[Kind.FALLBACK],
        uncached=count[Kind.UNCACHED],
        problems=count[Kind.PROBLEM],
        lost=count[Kind.BROKEN],
        cut=count[Kind.CUT],
        wrong=count[Kind.WRONG],
        recovery_s=0.0 if over is None else recovery_s(load.samples, over),
        broken=tuple(scene.broken),
    )
