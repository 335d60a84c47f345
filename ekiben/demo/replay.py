"""The demo's traffic: real applicants who were held out of the training, sent through the router."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from ekiben.terminal.settings import key_headers

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

    async def client(session: aiohttp.ClientSession) -> None:
        for request in waiting:
            answers.append(await _ask(session, f"{router_url}/predict/{model}", request))
            on_answer()

    limits = aiohttp.ClientTimeout(total=10.0)
    async with aiohttp.ClientSession(
        timeout=limits, connector=aiohttp.TCPConnector(limit=0), headers=key_headers(os.environ)
    ) as session:
        await asyncio.gather(*(client(session) for _ in range(CONCURRENCY)))
    return answers


async def _ask(session: aiohttp.ClientSession, url: str, request: Request) -> Answer:
    begun = time.perf_counter()
    status, body = 0, {}
    try:
        async with session.post(
            url, json={"user_id": request.user, "features": request.features}
        ) as response:
            body = await response.json(content_type=None)
            status = response.status
    except (aiohttp.ClientError, TimeoutError, ValueError):
        pass  # counted as an answer that did not come
    elapsed_ms = (time.perf_counter() - begun) * 1000
    if not isinstance(body, dict):
        body = {}
    return Answer(
        user=request.user,
        status=status,
        elapsed_ms=elapsed_ms,
        version=body.get("version"),
        cached=body.get("cached") is True,
        fallback_from=body.get("fallback_from"),
    )
