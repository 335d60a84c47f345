"""`python -m tests.proofs.upgrade CHECKOUT`: an installation of 30e8d9b is taken over while it serves.

`CHECKOUT` is a checkout of 30e8d9b. Its router is under load all along. Its controller is killed, and this
release's controller begins. A router of this release begins beside the former one, then the former one ends.
Exits 1 where an event was lost or is there twice.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from ekiben.state.streams.blocks import EVENTS_STREAM
from ekiben.state.streams.former import FORMER_EXPOSURES_STREAM
from tests.proofs.kills.load import Load, Noted
from tests.proofs.running import run
from tests.proofs.upgrade.station import Station

RATE: Final = 100.0


async def take_over(station: Station, stretch_s: float) -> list[tuple[str, int, int, int]]:
    """(what, how many clients know of, how many of those are missing, how many are there twice)."""
    stop_former, stop_here = asyncio.Event(), asyncio.Event()
    async with station.state.client() as redis:
        former_router = station.router("former")
        former_controller = station.controller("former")
        former = asyncio.create_task(_load(former_router.url, 0, stop_former))
        await asyncio.sleep(stretch_s)
        former_controller.kill()
        await asyncio.to_thread(station.controller, "here")
        await asyncio.sleep(stretch_s)
        router = await asyncio.to_thread(station.router, "here")
        here = asyncio.create_task(_load(router.url, 1_000_000, stop_here))
        await asyncio.sleep(stretch_s)
        assert await redis.exists(FORMER_EXPOSURES_STREAM, EVENTS_STREAM) == 2
        stop_former.set()
        noted = [await former]
        await asyncio.to_thread(former_router.stop)
        await asyncio.sleep(stretch_s)
        stop_here.set()
        noted.append(await here)
        await asyncio.to_thread(router.stop)
        await station.drained(redis)
    served = {prediction for each in noted for prediction in each.served}
    accepted = {number for each in noted for number in each.accepted}
    recorded = await asyncio.to_thread(station.recorded)
    outcomes = recorded["outcome"]
    answered = {each.removesuffix(".v3") for each in recorded["shadow"]}
    return [
        (
            "exposures",
            len(served),
            len(served.difference(recorded["exposure"])),
            _twice(recorded["exposure"]),
        ),
        ("shadow answers", len(served), len(served - answered), _twice(recorded["shadow"])),
        ("outcomes", len(accepted), len(accepted.difference(outcomes)), _twice(outcomes)),
    ]


async def _load(url: str, first: int, stop: asyncio.Event) -> Noted:
    async with Load(url, RATE, seed=first, first=first) as load:
        await stop.wait()
    return load.noted


def _twice(ids: Sequence[object]) -> int:
    return sum(count - 1 for count in Counter(ids).values())


def main() -> int:
    """Take over, and say what became of the events."""
    parser = argparse.ArgumentParser(prog="python -m tests.proofs.upgrade", description=__doc__)
    parser.add_argument("checkout", type=Path, help="a checkout of 30e8d9b")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each stretch lasts (5)")
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="ek-", dir="/tmp") as folder,
        Station(Path(folder), asked.checkout) as station,
    ):
        found = asyncio.run(take_over(station, asked.seconds))
    table = Table("events", "known to clients", "missing", "there twice")
    for row in found:
        table.add_row(*(str(cell) for cell in row))
    Console().print(table)
    return int(any(missing or twice for _, _, missing, twice in found))


if __name__ == "__main__":
    run(main)
