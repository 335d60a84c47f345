"""The demo at the end of `ekiben up`: requests through the router, and what each version made of them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

import aiohttp
from rich.console import Console

from ekiben.client import AsyncClient, ClientError
from ekiben.clients.made_up import NoFeatures, features_of, made_up
from ekiben.demo.arrivals import read_applicants
from ekiben.demo.replay import Answer, draw, replay
from ekiben.demo.shadow_counts import ShadowCounts, parse_shadow_counts
from ekiben.demo.tables import demo_table, version_rows
from ekiben.experiments.document import Document
from ekiben.terminal.errors import EkibenError
from ekiben.terminal.screen import bar
from ekiben.terminal.settings import api_key

DEMO_MODEL = "credit"
TRAINED_HERE = ("v1", "v2", "v3", "shuffled")  # its versions that `ekiben train` makes
HELD_OUT = Path("training/data/held_out.jsonl")
_MADE_UP = 500  # rows


@dataclass(frozen=True, slots=True)
class Shown:
    """What a demo leaves to tell: the model, features to try again with, and what went wrong, in a line."""

    model: str
    features: dict[str, Any]
    failure: str | None


async def run_demos(
    console: Console, router_url: str, document: Document, models: Sequence[str]
) -> list[Shown]:
    """Send requests to each of these models and print a table of each. Raises EkibenError.

    What is sent are the held-out rows of the example, and of every other model rows that are made up from
    what it says of its features.
    """
    shown = []
    for model in models:
        try:
            rows, title = await _rows(router_url, model)
        except (NoFeatures, ClientError) as error:
            console.print(f"No demo of {model}: {error}", soft_wrap=True)
        else:
            shown.append(await _run_demo(console, router_url, document, model, rows, title))
    return shown


async def _rows(router_url: str, model: str) -> tuple[list[dict[str, Any]], str]:
    """What to send, and what the table is called. Raises `NoFeatures`, and `ClientError` of the router."""
    if model == DEMO_MODEL and (rows := await asyncio.to_thread(_held_out)):
        return rows, f"model {model}"
    async with AsyncClient(router_url, api_key(os.environ)) as router:
        features = features_of(await router.get(f"/models/{quote(model, safe='')}"))
    chance = Random(model)  # noqa: S311 - a demo, which has to be the same every time
    return [made_up(features, chance) for _ in range(_MADE_UP)], f"model {model}, rows made up"


def _held_out() -> list[dict[str, Any]]:
    """The example's rows, none where they are not here."""
    return [each.features for each in read_applicants(HELD_OUT)] if HELD_OUT.is_file() else []


async def _run_demo(
    console: Console,
    router_url: str,
    document: Document,
    model: str,
    rows: Sequence[dict[str, Any]],
    title: str,
) -> Shown:
    requests = draw(rows)
    users = len({each.user for each in requests})
    before = await _shadow_counts(router_url, model)
    with bar(console) as shown:
        task = shown.add_task(f"{len(requests):,} requests of {users:,} users", total=len(requests))
        answers = await replay(router_url, model, requests, lambda: shown.advance(task))
    shadowed = bool(document.models[model].shadow)
    after = await _settled(router_url, model, before, len(answers)) if shadowed else before
    console.print()
    console.print(demo_table(title, version_rows(document, model, answers, after.since(before))))
    if fallbacks := sum(answer.fallback_from is not None for answer in answers):
        console.print(f"{fallbacks} answers are live's, because the assigned version could not answer.")
    return Shown(model, requests[0].features, _failure(answers))


def _failure(answers: Sequence[Answer]) -> str | None:
    failed = [answer for answer in answers if answer.status != 200]
    if not failed:
        return None
    statuses = ", ".join(sorted({str(answer.status or "no connection") for answer in failed}))
    return f"{len(failed)} of {len(answers)} demo requests were refused or lost ({statuses}): see router.log"


async def _settled(router_url: str, model: str, before: ShadowCounts, expected: int) -> ShadowCounts:
    """Return the shadow's counts when all copies are done with, or their number has stopped growing."""
    seen = -1.0
    while True:
        counts = await _shadow_counts(router_url, model)
        settled = counts.since(before).settled
        if settled >= expected or settled == seen:
            return counts
        seen = settled
        await asyncio.sleep(0.4)


async def _shadow_counts(router_url: str, model: str) -> ShadowCounts:
    timeout = aiohttp.ClientTimeout(total=5.0)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{router_url}/metrics") as page,
        ):
            return parse_shadow_counts(await page.text(), model)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise EkibenError(f"cannot read {router_url}/metrics: {error}") from None
