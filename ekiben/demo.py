"""The demo at the end of `ekiben up`: real applicants through the router, and what came of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
from rich.console import Console

from ekiben.errors import EkibenError
from ekiben.replay import draw, read_rows, replay
from ekiben.screen import bar, show_curl
from ekiben.shadows import ShadowCounts, parse_shadow_counts
from ekiben.tables import demo_table, version_rows
from experiments.document import Document

DEMO_MODEL = "credit"
TRAINED_HERE = ("v1", "v2", "v3")  # its versions that `ekiben train` makes
HELD_OUT = Path("training/data/held_out.jsonl")


async def run_demo(console: Console, router_url: str, document: Document) -> None:
    """Send the demo's requests and print the table. Raises EkibenError when one was not answered."""
    if DEMO_MODEL not in document.models:
        console.print(f"No demo: its applicants are for the model {DEMO_MODEL}, which is not served here.")
        return
    requests = draw(read_rows(HELD_OUT))
    before = await _shadow_counts(router_url)
    with bar(
        console,
        f"{len(requests):,} requests of {len({each.user for each in requests}):,} users",
        len(requests),
    ) as shown:
        answers = await replay(router_url, DEMO_MODEL, requests, lambda: shown.advance(shown.task_ids[0]))
    shadows = (
        await _settled(router_url, before, len(answers))
        if document.models[DEMO_MODEL].shadow
        else before.since(before)
    )
    console.print()
    console.print(demo_table(DEMO_MODEL, version_rows(document, DEMO_MODEL, answers, shadows)))
    if fallbacks := sum(answer.fallback_from is not None for answer in answers):
        console.print(f"{fallbacks} answers are live's, because the assigned version could not answer.")
    failed = [answer for answer in answers if answer.status != 200]
    if failed:
        statuses = ", ".join(sorted({str(answer.status or "no answer") for answer in failed}))
        raise EkibenError(
            f"{len(failed)} of {len(answers)} demo requests got no answer ({statuses}); see router.log"
        )
    show_curl(console, router_url, DEMO_MODEL, requests[0].features)


async def _settled(router_url: str, before: ShadowCounts, expected: int) -> ShadowCounts:
    """Return the shadow's counts when all copies are done with, or their number has stopped growing."""
    seen = -1.0
    for _ in range(25):
        counts = (await _shadow_counts(router_url)).since(before)
        if counts.settled >= expected or counts.settled == seen:
            break
        seen = counts.settled
        await asyncio.sleep(0.4)
    return counts


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
