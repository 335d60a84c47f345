"""What the router itself counted of a run: which answers were served, cached, fallbacks, errors."""

from __future__ import annotations

from collections import Counter
from typing import Final

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from loadtests.bench.errors import BenchError

_REQUESTS: Final = "ekiben_requests_total"
_EVENTS: Final = {"ekiben_events_sent_total": "events", "ekiben_events_dropped_total": "events dropped"}


def read_counters(text: str) -> Counter[str]:
    """Requests by result (served, cached, fallback, refused, error), and events, from /metrics."""
    counted: Counter[str] = Counter()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == _REQUESTS:
                counted[sample.labels["result"]] += int(sample.value)
            elif sample.name in _EVENTS:
                counted[_EVENTS[sample.name]] += int(sample.value)
    return counted


async def counters(session: aiohttp.ClientSession, router: str) -> Counter[str]:
    """What the router at this address has counted so far. Raises BenchError."""
    try:
        async with session.get(f"{router}/metrics") as response:
            return read_counters(await response.text())
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise BenchError(f"the router's /metrics cannot be read: {type(error).__name__}: {error}") from None
