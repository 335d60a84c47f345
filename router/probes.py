"""Asking model services what they are: model version, output fields, health."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from router.endpoints import Endpoint
from router.errors import VersionFailed
from router.lane import Lane
from router.routes import ModelRoute, VersionRoute

log = logging.getLogger(__name__)

_ROUND_S: Final = 1.0
_EVERY_ROUNDS: Final = 5
_TIMEOUT_S: Final = 2.0


async def run_probes(
    routes: Callable[[], Mapping[str, ModelRoute]],
    resolve: Callable[[Mapping[str, ModelRoute]], Awaitable[None]],
) -> None:
    """Resolve every host name and probe every endpoint every 5 s, those that are not well every second."""
    rounds = 0
    while True:
        everyone = rounds % _EVERY_ROUNDS == 0
        if everyone:
            await resolve(routes())
        await probe_all(routes(), everyone=everyone)
        rounds += 1
        await asyncio.sleep(_ROUND_S)


async def probe_all(routes: Mapping[str, ModelRoute], *, everyone: bool) -> None:
    """One round of `/model/info`."""
    probes = [
        _probe(endpoint, version, route)
        for route in routes.values()
        for version in route.versions.values()
        for endpoint in version.endpoints.all
        if everyone or not endpoint.reached or endpoint.info is None
    ]
    await asyncio.gather(*probes)


async def _probe(endpoint: Endpoint, version: VersionRoute, route: ModelRoute) -> None:
    try:
        info = await endpoint.service.info(_TIMEOUT_S)
    except VersionFailed as error:
        endpoint.reached = False
        endpoint.last_error = str(error)
        return
    except Exception:
        log.exception("a probe of %s failed in a way that nobody foresaw", endpoint.url)
        endpoint.reached = False
        return
    known = endpoint.info
    endpoint.reached = True
    endpoint.last_error = None
    endpoint.info = info
    lanes: list[Lane] = [version.lane]
    lanes += [shadow.lane for shadow in route.shadows if shadow.version == version.version]
    for lane in lanes:
        if known is None or known.model_version != info.model_version or lane.model_version is None:
            lane.learn(info.model_version, info.output)
