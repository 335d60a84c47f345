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
        response, content = await ask_once(session, url, ask, row, FIRST_REPEATED + POPULATION)
        if response.status != 200:
            raise BenchError(f"{url}{ask.path} answered {response.status}: {content[:200]!r}")
        head = sum(len(name) + len(value) + 4 for name, value in response.raw_headers)
        size = len("HTTP/1.1 200 OK\r\n") + head + 2 + len(content)
    return float(size)


async def ask_once(
    session: aiohttp.ClientSession, url: str, ask: Ask, row: Row, number: int, **headers: str
) -> tuple[aiohttp.ClientResponse, bytes]:
    """A response and its body. Raises BenchError when there is none."""
    own = dict(line.replace("#", str(number)).split(": ", 1) for line in ask.headers)
    body = ask.body(row, number)
    try:
        async with session.post(url + ask.path, data=body, headers=_HEADERS | own | headers) as response:
            return response, await response.read()
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise BenchError(f"{url} does not answer: {type(error).__name__}: {error}") from None


async def ask_json(session: aiohttp.ClientSession, url: str, ask: Ask, row: Row, number: int) -> Any:
    """The parsed body of a response; its status and what it said where it is not 200 or no JSON."""
    response, content = await ask_once(session, url, ask, row, number)
    if response.status != 200:
        return f"status {response.status}: {content[:200]!r}"
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return f"no JSON: {content[:200]!r}"
