"""Whether the answers are right: the same requests, under the same load, each answer looked at.

wrk cannot look at answers without slowing what it measures. So this goes beside the measured rounds: while
wrk keeps the server busy with 64 clients, a client of our own sends more applicants of the same stream and
compares every answer with what the model service itself says about that applicant.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import orjson

from ekiben.experiments.assignment import bucket_ranges, choose_variation, hash_v2
from loadtests.bench.checks.probe import ask_once
from loadtests.bench.document import EXPERIMENT, VARIANTS
from loadtests.bench.errors import BenchError
from loadtests.bench.streams import DIRECT, FIRST_CHECKED, ROUTER, Ask, Row, applicant

_AT_ONCE: Final = 16
_BATCH: Final = 200

Prediction = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """One applicant of the stream, and what each version says about it."""

    number: int
    row: Row
    expected: Mapping[str, Prediction]


async def make_cases(
    session: aiohttp.ClientSession,
    services: Mapping[str, str],
    rows: Sequence[Row],
    count: int,
    first: int = FIRST_CHECKED,
) -> list[Case]:
    """`count` applicants, their numbers from `first` on, and what each service answers itself."""
    numbers = range(first, first + count)
    chosen = [(number, rows[place % len(rows)]) for place, number in enumerate(numbers)]
    said: dict[str, list[Prediction]] = {version: [] for version in services}
    for start in range(0, count, _BATCH):
        instances = [applicant(row, number) for number, row in chosen[start : start + _BATCH]]
        for version, url in services.items():
            async with session.post(f"{url}/predict", json={"instances": instances}) as response:
                if response.status != 200:
                    raise BenchError(f"credit {version} answered {response.status}: {await response.text()}")
                said[version] += await response.json()
    return [
        Case(number, row, {version: said[version][place] for version in services})
        for place, (number, row) in enumerate(chosen)
    ]


async def check_router(session: aiohttp.ClientSession, router: str, cases: Sequence[Case]) -> list[str]:
    """Ask the router for every case, twice: the first answer is the model's, the second the cache's.

    Returns the differences, a line each.
    """

    async def ask(case: Case) -> list[str]:
        wrong = []
        for cached in (False, True):
            own = f"check-{case.number}-{cached:d}"
            wrong += router_faults(case, own, cached, *await _post(session, router, ROUTER, case, own))
        return wrong

    return await _all(cases, ask)


async def check_direct(
    session: aiohttp.ClientSession, direct: str, version: str, cases: Sequence[Case]
) -> list[str]:
    """Ask the service that is called directly for every case, one row a call. Returns the differences."""

    async def ask(case: Case) -> list[str]:
        status, _, answer = await _post(session, direct, DIRECT, case, "check")
        expected = [case.expected[version]]
        if status == 200 and answer == expected:
            return []
        return [f"{status} {str(answer)[:200]}, and not {expected}"]

    return await _all(cases, ask)


def router_faults(
    case: Case, request_id: str, cached: bool, status: int, header: str | None, answer: Any
) -> list[str]:
    """What is wrong with the router's answer to a case."""
    if status != 200 or not isinstance(answer, dict):
        return [f"status {status}: {str(answer)[:200]}"]
    bucket = hash_v2(EXPERIMENT, f"u-{case.number}")
    variant, version = VARIANTS[choose_variation(bucket, bucket_ranges(2, 1.0))]
    expected = {
        "version": version,
        "variant": variant,
        "experiment": EXPERIMENT,
        "prediction": case.expected[version],
        "request_id": request_id,
        "cached": cached,
    }
    found = [
        f"{field} is {answer.get(field)!r} and not {value!r}"
        for field, value in expected.items()
        if answer.get(field) != value
    ]
    if header != request_id:
        found.append(f"x-request-id is {header!r} and not {request_id!r}")
    if "fallback_from" in answer:
        found.append(f"it fell back from {answer['fallback_from']!r}")
    return found


async def _post(
    session: aiohttp.ClientSession, url: str, ask: Ask, case: Case, request_id: str
) -> tuple[int, str | None, Any]:
    own = {"x-request-id": request_id}
    try:
        response, content = await ask_once(session, url, ask, case.row, case.number, **own)
        return response.status, response.headers.get("x-request-id"), orjson.loads(content)
    except (BenchError, ValueError) as error:
        return 0, None, f"{type(error).__name__}: {error}"


async def _all(cases: Sequence[Case], ask: Callable[[Case], Awaitable[list[str]]]) -> list[str]:
    waiting = iter(cases)
    wrong: list[str] = []

    async def work() -> None:
        for case in waiting:
            wrong.extend([f"number {case.number}: {fault}" for fault in await ask(case)])

    await asyncio.gather(*(work() for _ in range(_AT_ONCE)))
    return wrong
