"""One cut under load on both routers: what became of every request, and how long until all was as before."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import time
import urllib.parse
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from ekiben.experiments.assignment import bucket_ranges, choose_variation, hash_v2
from tests.proofs.faults.answered import Asked, Expected, Kind, Sample
from tests.proofs.faults.load import Load, recovery_s
from tests.proofs.netns.cuts import Cut
from tests.proofs.netns.installation import EXPERIMENT, REPLICAS, ROUTERS, TIMEOUT_MS, Installation

_CALM_S: Final = 1.2
_PATIENCE_S: Final = 30.0
_USERS: Final = [f"user-{number}" for number in range(200)]
_OTHER_COVERAGE: Final = 60.0


@dataclass(frozen=True, slots=True)
class Row:
    """What became of the requests to both routers during one cut, and which promises were broken.

    `recovery_s`: from the end of the cut to the last response that was not as it should be. `in_step_s`: from
    the end of the cut until both routers are at the same revision and reach everything, every replica too.
    """

    name: str
    sent: int
    right: int
    fallback: int
    uncached: int
    errors: int
    wrong: int
    recovery_s: float
    in_step_s: float
    broken: tuple[str, ...]


@dataclass
class Judge(Expected):
    """The judge of the faults, which also remembers which answers must be in the record."""

    exposed: set[str] = field(default_factory=set)

    def judge(self, asked: Asked, status: int, content_type: str, body: bytes, now: float) -> Sample:
        """What a complete response was. A user outside of the experiment is not exposed to it."""
        sample = super().judge(asked, status, content_type, body, now)
        if status == 200 and sample.kind is not Kind.WRONG:
            said = orjson.loads(body)
            if said["variant"] is not None:
                self.exposed.add(said["prediction_id"])
        return sample


async def run_trial(installation: Installation, cut: Cut, rate: float, hold_s: float) -> Row:
    """Make the cut under `rate` requests a second on each router, for `hold_s` seconds, and heal it."""
    broken: list[str] = []
    before = set(installation.exposures())
    # One judge for both: no prediction_id may come twice, and every user has one variant on both.
    expected = Judge(EXPERIMENT, coverage_moves=cut.coverage_moves)
    loads = [
        Load(installation.url(router), expected, rate, timeout_s=TIMEOUT_MS / 1000) for router in ROUTERS
    ]
    revision = 0
    async with loads[0], loads[1]:
        await asyncio.sleep(_CALM_S)
        broken += await _differences(installation, 100.0)
        with cut.apply(installation):
            if cut.coverage_moves:
                revision = await installation.change_coverage(_OTHER_COVERAGE)
            await asyncio.sleep(max(hold_s, cut.least_s))
            if cut.replicas is not None:
                counts = [len(await _endpoints(installation, router)) for router in ROUTERS]
                if counts != [cut.replicas] * len(ROUTERS):
                    broken.append(f"the routers call {counts} replicas")
            if cut.coverage_moves:
                broken += await _nobody_is_in_the_other_variant(installation)
            else:
                broken += await _differences(installation, 100.0)
        over = time.monotonic()
        in_step_s = await _in_step(installation, revision, over)
        broken += await _differences(installation, _OTHER_COVERAGE if cut.coverage_moves else 100.0)
        recovered = await _until_calm(loads, over)
        if in_step_s is None or not recovered:
            broken.append(f"not as before {_PATIENCE_S:.0f} s after the end")
    if cut.coverage_moves:
        revision = await installation.change_coverage(100.0)
        await _in_step(installation, revision, time.monotonic())
    broken += await _lost_exposures(installation, expected, before)
    return _row(cut, loads, over, in_step_s or _PATIENCE_S, broken)


async def _get(url: str) -> Any:
    def get() -> Any:
        with urllib.request.urlopen(url, timeout=5.0) as answer:
            return orjson.loads(answer.read())

    try:
        return await asyncio.to_thread(get)
    except OSError:
        return None


async def _assignments(installation: Installation, router: str) -> list[tuple[bool, str | None]]:
    def ask() -> list[tuple[bool, str | None]]:
        found = []
        address = urllib.parse.urlsplit(installation.url(router)).netloc
        with contextlib.closing(http.client.HTTPConnection(address, timeout=10.0)) as connection:
            for user in _USERS:
                connection.request("GET", f"/assignment/{EXPERIMENT}?user_id={user}")
                said = orjson.loads(connection.getresponse().read())
                found.append((said["in_experiment"], said["variant"]))
        return found

    return await asyncio.to_thread(ask)


def _right(coverage: float) -> list[tuple[bool, str | None]]:
    ranges = bucket_ranges(2, coverage / 100)
    chosen = [choose_variation(hash_v2(EXPERIMENT, user), ranges) for user in _USERS]
    return [(place >= 0, ("control", "treatment")[place] if place >= 0 else None) for place in chosen]


async def _differences(installation: Installation, coverage: float) -> list[str]:
    """Which routers assign otherwise than the hash says; both right is both alike."""
    right = _right(coverage)
    return [
        f"{router} assigns some users otherwise"
        for router in ROUTERS
        if await _assignments(installation, router) != right
    ]


async def _nobody_is_in_the_other_variant(installation: Installation) -> list[str]:
    """While coverage moves, a router may have a user in or out of the experiment, never on another side."""
    whole = _right(100.0)
    return [
        f"{router} has a user in the other variant"
        for router in ROUTERS
        if any(
            variant not in (None, own)
            for (_, variant), (_, own) in zip(await _assignments(installation, router), whole, strict=True)
        )
    ]


async def _in_step(installation: Installation, revision: int, since: float) -> float | None:
    """Seconds until both routers are at one revision, at least this one, and reach everything."""
    while time.monotonic() - since < _PATIENCE_S:
        found = [await _get(f"{installation.url(router)}/healthz") for router in ROUTERS]
        if all(each and set(each["dependencies"].values()) == {"up"} for each in found):
            revisions = {each["revision"] for each in found}
            if (
                len(revisions) == 1
                and min(revisions) >= revision
                and await _calls_every_replica(installation)
            ):
                return time.monotonic() - since
        await asyncio.sleep(0.05)
    return None


async def _endpoints(installation: Installation, router: str) -> list[dict[str, Any]]:
    model = await _get(f"{installation.url(router)}/models/credit")
    return [each for version in model["versions"].values() for each in version["endpoints"]] if model else []


async def _calls_every_replica(installation: Installation) -> bool:
    """Whether both routers have found all replicas behind the names, and have every one of them for well."""
    for router in ROUTERS:
        endpoints = await _endpoints(installation, router)
        if len(endpoints) != len(REPLICAS) or not all(each["healthy"] for each in endpoints):
            return False
    return True


async def _until_calm(loads: list[Load], over: float) -> bool:
    """Wait until a second has passed in which every response was as it should be."""
    while time.monotonic() - over < _PATIENCE_S:
        now = time.monotonic()
        worst = max(over + recovery_s(load.samples, over) for load in loads)
        if now - max(worst, over) >= 1.0:
            return True
        await asyncio.sleep(0.1)
    return False


async def _lost_exposures(installation: Installation, expected: Judge, before: set[str]) -> list[str]:
    """Every answer is in the record, once: those that waited while the state was away come late."""
    end = time.monotonic() + _PATIENCE_S
    missing = set(expected.exposed)
    found: list[str] = []
    while missing and time.monotonic() < end:
        await asyncio.sleep(0.2)
        found = await asyncio.to_thread(installation.exposures)
        missing = set(expected.exposed) - set(found)
    twice = [each for each, count in Counter(found).items() if count > 1 and each not in before]
    broken = [f"{len(missing)} exposures are not in the record"] if missing else []
    return broken + ([f"{len(twice)} exposures are in the record twice"] if twice else [])


def _row(cut: Cut, loads: list[Load], over: float, in_step_s: float, broken: list[str]) -> Row:
    count: Counter[Kind] = sum((load.count() for load in loads), Counter())
    errors = count[Kind.PROBLEM] + count[Kind.BROKEN]
    broken += [
        f"{kind}: {load.details(kind)}"
        for load in loads
        for kind in (Kind.WRONG, Kind.PROBLEM, Kind.BROKEN)
        if load.count()[kind]
    ]
    return Row(
        name=cut.name,
        sent=sum(count.values()),
        right=count[Kind.RIGHT],
        fallback=count[Kind.FALLBACK],
        uncached=count[Kind.UNCACHED],
        errors=errors,
        wrong=count[Kind.WRONG],
        recovery_s=max(recovery_s(load.samples, over) for load in loads),
        in_step_s=in_step_s,
        broken=tuple(broken),
    )
