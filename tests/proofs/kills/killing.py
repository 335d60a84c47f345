"""Who is killed when: drawn from a seed, done by pid, and started again."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from ekiben.control.analysis.outcomes import firsts, repeated, repetitions
from ekiben.control.analysis.tables import DuckDBTables
from tests.proofs.faults.processes import Process
from tests.proofs.kills.judging import Outage, Verdict, judge
from tests.proofs.kills.load import Load
from tests.proofs.kills.station import KillsStation, kill_pid

WORKER: Final = "a router worker"
ROUTER: Final = "router"
CONTROLLER: Final = "controller"
STATE: Final = "state Redis"
CACHE: Final = "cache Redis"
TARGETS: Final[tuple[tuple[str, ...], ...]] = (
    (CONTROLLER,),
    (WORKER,),
    (ROUTER,),
    (STATE,),
    (CACHE,),
    (CACHE, STATE),
    (CONTROLLER, STATE),
    (ROUTER, CONTROLLER, CACHE, STATE),
)
_RECORDED_WITHIN_S: Final = 90.0


@dataclass(frozen=True, slots=True)
class Kill:
    """Wait, kill these at once, and start them again after a while."""

    victims: tuple[str, ...]
    wait_s: float
    down_s: float


def draw(number: int, seed: int) -> list[Kill]:
    """That many kills: each kind about as often, in any order, at any moment."""
    chance = random.Random(seed)
    kinds = [TARGETS[place % len(TARGETS)] for place in range(number)]
    chance.shuffle(kinds)
    return [Kill(victims, chance.uniform(0.2, 4.0), _down_s(chance)) for victims in kinds]


def _down_s(chance: random.Random) -> float:
    """Mostly short; one in five longer than a request with outcomes waits."""
    return chance.uniform(2.2, 3.5) if chance.random() < 0.2 else chance.uniform(0.0, 1.5)


async def run_kills(
    station: KillsStation,
    kills: Sequence[Kill],
    rate: float,
    seed: int,
    told: Callable[[Kill], None] = lambda _kill: None,
    until: float = float("inf"),
) -> tuple[Verdict, Load, int]:
    """Kill under load, let everything be recorded, and judge. Kills that are not begun at `until` (of the
    monotonic clock) are left out: the third of what is returned says how many were done.
    """
    worker_kills: list[float] = []
    outages: list[Outage] = []
    done = 0
    async with Load(station.url, rate, seed) as load:
        await asyncio.sleep(1.0)
        for kill in kills:
            if time.monotonic() > until:
                break
            await asyncio.sleep(kill.wait_s)
            began = time.monotonic()
            await asyncio.to_thread(_kill, station, kill.victims)
            if WORKER in kill.victims or ROUTER in kill.victims:
                worker_kills += [began, time.monotonic()]
            await asyncio.sleep(kill.down_s)
            await asyncio.to_thread(_start, station, kill.victims)
            if STATE in kill.victims:
                outages.append(Outage(began, time.monotonic()))
            done += 1
            told(kill)
        await asyncio.to_thread(station.start)
        await asyncio.sleep(2.0)
    end = time.monotonic() + _RECORDED_WITHIN_S
    while not await asyncio.to_thread(station.recorded):
        assert time.monotonic() < end, f"not recorded within {_RECORDED_WITHIN_S:.0f} s: {station.logs}"
        await asyncio.sleep(0.2)
    outcomes, exposures = await asyncio.to_thread(read_events, station)
    return judge(load.noted, outcomes, exposures, worker_kills, outages), load, done


def read_events(station: KillsStation) -> tuple[list[int], list[str]]:
    """The numbers of the outcomes and the ids of the exposures, as the analysis reads them."""
    with DuckDBTables(station.files) as tables:
        twice = tables.keep(repeated(tables.of("outcome")))
        once = firsts(tables.of("outcome"), repetitions(tables.of("outcome"), twice))
        values = tables.rows(once.filter(once.name == "kills").select("value"))
        ids = tables.rows(tables.of("exposure").select("event_id"))
    return [int(row["value"]) for row in values], [str(row["event_id"]) for row in ids]


def _kill(station: KillsStation, victims: Sequence[str]) -> None:
    """All at once: of those that are told one after the other the second would see the first fail."""
    processes = _processes(station, victims)
    pids = [pid for process in processes for pid in process.family()]
    if WORKER in victims:
        pids += station.workers()[:1]
    for pid in pids:
        kill_pid(pid)
    for process in processes:
        process.kill()


def _start(station: KillsStation, victims: Sequence[str]) -> None:
    """Start them, and wait for Redis only: who starts while another is away has to cope."""
    for process in _processes(station, victims):
        process.spawn()
    for process in (station.cache, station.state):
        process.wait_until_ready()


def _processes(station: KillsStation, victims: Sequence[str]) -> list[Process]:
    named: dict[str, Process] = {
        ROUTER: station.router,
        CONTROLLER: station.controller,
        STATE: station.state,
        CACHE: station.cache,
    }
    return [named[victim] for victim in victims if victim in named]
