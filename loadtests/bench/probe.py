"""One request by hand: what a good response looks like, before anything is measured."""

from __future__ import annotations

from typing import Any

import aiohttp
import orjson

from loadtests.bench.errors import BenchError
from loadtests.bench.streams import FIRST_REPEATED, POPULATION, Ask, Row

_HEADERS = {"content-type": "application/json"}


async def response_size(session: aiohttp.ClientSession, url: str, ask: Ask, row: Row) -> float:
    """The bytes of a good response on the wire: status line, headers, body. Raises BenchError."""
    size = 0
    for _ in range(2):  # the first may say that it was not cached, in a byte more
        status, content, size = await ask_once(session, url, ask, row, FIRST_REPEATED + POPULATION)
        if status != 200:
            raise BenchError(f"{url}{ask.path} answered {status}: {content[:200]!r}")
    return float(size)


async def ask_once(
    session: aiohttp.ClientSession, url: str, ask: Ask, row: Row, number: int
) -> tuple[int, bytes, int]:
    """The status, the body and the size of a response. Raises BenchError when there is none."""
    headers = dict(line.replace("#", str(number)).split(": ", 1) for line in ask.headers)
    try:
        async with session.post(
            url + ask.path, data=ask.body(row, number), headers=_HEADERS | headers
        ) as response:
            content = await response.read()
            head = sum(len(name) + len(value) + 4 for name, value in response.raw_headers)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise BenchError(f"{url} does not answer: {type(error).__name__}: {error}") from None
    return response.status, content, len("HTTP/1.1 200 OK\r\n") + head + 2 + len(content)


async def ask_json(session: aiohttp.ClientSession, url: str, ask: Ask, row: Row, number: int) -> Any:
    """The parsed body of a response; its status and what it said where it is not 200 or no JSON."""
    status, content, _ = await ask_once(session, url, ask, row, number)
    try:
        return orjson.loads(content) if status == 200 else f"status {status}: {content[:200]!r}"
    except orjson.JSONDecodeError:
        return f"no JSON: {content[:200]!r}"
