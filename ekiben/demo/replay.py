"""The demo's traffic: real applicants who were held out of the training, sent through the router."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ekiben.client import AsyncClient, ClientError, Problem
from ekiben.demo.arrivals import said_of
from ekiben.terminal.settings import api_key

REQUESTS = 2_000
USERS = 1_500
SEED = 17
CONCURRENCY = 16


@dataclass(frozen=True, slots=True)
class Request:
    """One request of the demo."""

    user: str
    features: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: `status` is the HTTP status, 0 when there was no answer; times in milliseconds."""

    user: str
    status: int
    elapsed_ms: float
    version: str | None = None
    cached: bool = False
    fallback_from: str | None = None


def draw(rows: Sequence[dict[str, Any]]) -> list[Request]:
    """Return the requests: each user has one row and comes at least once; always the same."""
    chance = random.Random(SEED)  # noqa: S311 - a demo, which has to be the same every time
    theirs = {f"u-{number}": chance.choice(rows) for number in range(1, USERS + 1)}
    names = list(theirs)
    names += chance.choices(names, k=REQUESTS - USERS)
    chance.shuffle(names)
    return [Request(name, theirs[name]) for name in names]


async def replay(
    router_url: str, model: str, requests: Sequence[Request], on_answer: Callable[[], None]
) -> list[Answer]:
    """Send the requests, at most CONCURRENCY at once, and return an answer for each, in no special order."""
    waiting = iter(requests)
    answers: list[Answer] = []

    async def some(router: AsyncClient) -> None:
        for request in waiting:
            answers.append(await _ask(router, model, request))
            on_answer()

    async with AsyncClient(router_url, api_key(os.environ), timeout=10.0) as router:
        await asyncio.gather(*(some(router) for _ in range(CONCURRENCY)))
    return answers


async def _ask(router: AsyncClient, model: str, request: Request) -> Answer:
    begun = time.perf_counter()
    status, told = 0, None
    try:
        told = await router.predict(
            model, request.user, request.features, attributes=said_of(request.features)
        )
        status = 200
    except Problem as problem:
        status = problem.status
    except ClientError:
        pass  # counted as an answer that did not come
    elapsed_ms = (time.perf_counter() - begun) * 1000
    if told is None:
        return Answer(request.user, status, elapsed_ms)
    return Answer(request.user, status, elapsed_ms, told.version, told.cached, told.fallback_from)
