"""Filling a Redis with what a controller would have left there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec
from redis.asyncio import Redis

from ekiben.control.desk import RAMPS_KEY, REPORTS_KEY, SHADOW_REPORTS_KEY, RampState
from ekiben.experiments.reports.report import Report
from ekiben.state.documents.document import DocumentStore, Stored
from tests.control.dashboard.documents import grow
from tests.control.dashboard.reports import reports, shadow_reports


async def seed(redis: Redis, now: float) -> Stored:
    """Experiments with a history, reports, shadow reports and a ramp, as of `now`."""
    stored = await grow(DocumentStore(redis))
    await put_reports(redis, reports(stored, now))
    await _put(redis, SHADOW_REPORTS_KEY, shadow_reports())
    ramp = RampState(
        step=4,
        since=now - 700,
        kind="done",
        sentence="The last step is reached and every guardrail holds: it waits for a person.",
        at=now - 2,
    )
    await _put(redis, RAMPS_KEY, {"credit-boosting": ramp})
    return stored


async def put_reports(redis: Redis, made: Mapping[str, Report]) -> None:
    """Replace these reports."""
    await _put(redis, REPORTS_KEY, made)


async def _put(redis: Redis, key: str, values: Mapping[str, Any]) -> None:
    mapping = {name: msgspec.json.encode(value) for name, value in values.items()}
    await cast("Any", redis.hset(key, mapping=mapping))
