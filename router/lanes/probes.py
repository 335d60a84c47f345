"""Asking model services what they are: model version, output fields, health."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from router.errors import VersionFailed
from router.lanes.endpoint import Endpoint
from router.lanes.routes import ModelRoute, VersionRoute

log = logging.getLogger(__name__)

_ROUND_S: Final = 1.0
_EVERY_ROUNDS: Final = 5
_TIMEOUT_S: Final = 2.0


async def run_probes(
    routes: Callable[[], Mapping[str, ModelRoute]],
    resolve: Callable[[Mapping[str, ModelRoute]], Awaitable[None]],
    round_s: float = _ROUND_S,
) -> None:
    """Resolve every host name and probe every endpoint every 5 s, those that are not well every second.

    Each model has its own rounds: one whose services hang keeps no other waiting.
    """
    probing: dict[str, asyncio.Task[None]] = {}
    rounds: Counter[str] = Counter()
    try:
        while True:
            for name, route in routes().items():
                if name not in probing or probing[name].done():
                    everyone = rounds[name] % _EVERY_ROUNDS == 0
                    rounds[name] += 1
                    probing[name] = asyncio.create_task(_round({name: route}, resolve, everyone))
            await asyncio.sleep(round_s)
    finally:
        for task in probing.values():
            task.cancel()


async def _round(
    routes: Mapping[str, ModelRoute],
    resolve: Callable[[Mapping[str, ModelRoute]], Awaitable[None]],
    everyone: bool,
) -> None:
    try:
        if everyone:
            await resolve(routes)
        await probe_all(routes, everyone=everyone)
    except Exception:
        log.exception("a round of probes failed unexpectedly")


async def probe_all(routes: Mapping[str, ModelRoute], *, everyone: bool) -> None:
    """One round of `/model/info`."""
    probes = [
        _probe(endpoint, version)
        for route in routes.values()
        for version in route.versions.values()
        for endpoint in version.endpoints.all
        if everyone or not endpoint.reached or endpoint.info is None
    ]
    await asyncio.gather(*probes)


async def _probe(endpoint: Endpoint, version: VersionRoute) -> None:
    try:
        info = await endpoint.service.info(_TIMEOUT_S)
    except VersionFailed as error:
        endpoint.reached = False
        endpoint.last_error = str(error)
        return
    except Exception:
        log.exception("a probe of %s failed unexpectedly", endpoint.url)
        endpoint.reached = False
        return
    before = endpoint.info
    endpoint.reached = True
    endpoint.last_error = None
    endpoint.info = info
    known = version.endpoints.known
    # Where endpoints differ, as they do during a roll-out, only the one that has changed is news.
    if before is None or before.model_version != info.model_version or known.model_version is None:
        known.saw(info.model_version)
        known.output = info.output
