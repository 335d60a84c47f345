"""Waiting until a router reaches the versions that it is to serve."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection

import aiohttp

from ekiben.terminal.errors import EkibenError

ROUTED_TIMEOUT_S = 20.0


async def until_routed(router_url: str, wanted: Collection[str], workers: int) -> None:
    """Return when the router reaches each of the wanted `model/version`s. Raises EkibenError after a while.

    Every worker looks for itself, and which one answers is chance: so many good answers in a row that one
    that is behind is unlikely.
    """
    deadline = time.monotonic() + ROUTED_TIMEOUT_S
    good = 0
    away: list[str] = []
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=2.0), connector=connector
    ) as session:
        while good < 4 * workers:
            away = await _away(session, router_url, wanted)
            good = 0 if away else good + 1
            if time.monotonic() > deadline:
                raise EkibenError(
                    f"the router does not reach {', '.join(away) or 'every version'}: see router.log"
                )
            if away:
                await asyncio.sleep(0.1)


async def _away(session: aiohttp.ClientSession, router_url: str, wanted: Collection[str]) -> list[str]:
    try:
        async with session.get(f"{router_url}/healthz") as response:
            dependencies = (await response.json(content_type=None))["dependencies"]
            return [name for name in wanted if dependencies.get(name) != "up"]
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError):
        return list(wanted)
