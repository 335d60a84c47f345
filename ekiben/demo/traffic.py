"""The demo at the end of `ekiben up`: real applicants through the router, and what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console

from ekiben.demo.arrivals import read_applicants
from ekiben.demo.replay import Answer, draw, replay
from ekiben.demo.shadow_counts import ShadowCounts, parse_shadow_counts
from ekiben.demo.tables import demo_table, version_rows
from ekiben.experiments.document import Document
from ekiben.terminal.errors import EkibenError
from ekiben.terminal.screen import bar

DEMO_MODEL = "credit"
TRAINED_HERE = ("v1", "v2", "v3", "shuffled")  # its versions that `ekiben train` makes
HELD_OUT = Path("training/data/held_out.jsonl")


@dataclass(frozen=True, slots=True)
class Shown:
    """What the demo leaves to tell: features to try again with, and what went wrong, in a line."""

    features: dict[str, Any]
    failure: str | None


async def run_demo(console: Console, router_url: str, document: Document) -> Shown | None:
    """Send the demo's requests and print the table; None when its model is not served. Raises EkibenError."""
    if DEMO_MODEL not in document.models:
        console.print(f"No demo: its applicants are for the model {DEMO_MODEL}, which is not served here.")
        return None
    requests = draw([each.features for each in read_applicants(HELD_OUT)])
    users = len({each.user for each in requests})
    before = await _shadow_counts(router_url)
    with bar(console) as shown:
        task = shown.add_task(f"{len(requests):,} requests of {users:,} users", total=len(requests))
        answers = await replay(router_url, DEMO_MODEL, requests, lambda: shown.advance(task))
    after = await _settled(router_url, before, len(answers)) if document.models[DEMO_MODEL].shadow else before
    console.print()
    console.print(demo_table(DEMO_MODEL, version_rows(document, DEMO_MODEL, answers, after.since(before))))
    if fallbacks := sum(answer.fallback_from is not None for answer in answers):
        console.print(f"{fallbacks} answers are live's, because the assigned version could not answer.")
    return Shown(requests[0].features, _failure(answers))


def _failure(answers: Sequence[Answer]) -> str | None:
    failed = [answer for answer in answers if answer.status != 200]
    if not failed:
        return None
    statuses = ", ".join(sorted({str(answer.status or "no connection") for answer in failed}))
    return f"{len(failed)} of {len(answers)} demo requests were refused or lost ({statuses}): see router.log"


async def _settled(router_url: str, before: ShadowCounts, expected: int) -> ShadowCounts:
    """Return the shadow's counts when all copies are done with, or their number has stopped growing."""
    seen = -1.0
    while True:
        counts = await _shadow_counts(router_url)
        settled = counts.since(before).settled
        if settled >= expected or settled == seen:
            return counts
        seen = settled
        await asyncio.sleep(0.4)


async def _shadow_counts(router_url: str) -> ShadowCounts:
    timeout = aiohttp.ClientTimeout(total=5.0)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{router_url}/metrics") as page,
        ):
            return parse_shadow_counts(await page.text(), DEMO_MODEL)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise EkibenError(f"cannot read {router_url}/metrics: {error}") from None
