"""Model services in the process, over the one that ships: to be held, to fail, to be watched."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from router.errors import DeadlinePassed, VersionUnavailable
from router.lanes.answer import OutputFields
from router.lanes.dialects.dialect import BulkAnswer, ServiceInfo
from router.lanes.service import InMemoryService

OUTPUT = OutputFields("score", "decision")


def score(version: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A model that says what it was given: `row` in, `row` out, a score that tells the versions apart."""

    def answer(features: dict[str, Any]) -> dict[str, Any]:
        if features.get("refuse"):
            return {"error": {"status": 422, "errors": [{"loc": ["refuse"], "msg": "not this one"}]}}
        if features.get("fail"):
            return {"error": {"status": 500, "errors": []}}
        number = int(version[1:])
        return {"ok": {"row": features.get("row"), "score": number / 10, "decision": "yes", "by": version}}

    return answer


class Service(InMemoryService):
    """A version that answers, unless it is held (`gate`) or told to `fail`; counts what is in flight."""

    def __init__(self, version: str, output: OutputFields = OUTPUT, tag: str | None = None) -> None:
        super().__init__(score(version), tag or f"credit_{version}:1", output)
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure: Exception | None = None
        self.arrived = asyncio.Event()
        self.arrivals = 0
        self.in_flight = 0
        self.most_in_flight = 0
        self.bytes: list[int] = []

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Every row that was asked for, in order."""
        return [row for call in self.calls for row in call]

    def hold(self) -> None:
        """Let calls arrive and wait, until `release`."""
        self.gate.clear()

    def release(self) -> None:
        """Let the calls that wait go on, and those that come."""
        self.gate.set()

    def die(self) -> None:
        """Refuse connections from now on."""
        self.failure = VersionUnavailable("connection refused")

    async def bulk(self, rows: Sequence[bytes], timeout_s: float, *others: Any) -> BulkAnswer:
        """Answer the rows, as the HTTP service would: within the time, or not at all."""
        self.in_flight += 1
        self.arrivals += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        self.bytes.append(sum(len(row) + 1 for row in rows) + 1)
        self.arrived.set()
        try:
            async with asyncio.timeout(timeout_s):
                await self.gate.wait()
            if self.failure is not None:
                raise self.failure
            return await super().bulk(rows, timeout_s, *others)
        except TimeoutError:
            raise DeadlinePassed("no answer in time") from None
        finally:
            self.in_flight -= 1

    async def info(self, timeout_s: float) -> ServiceInfo:
        """As `bulk` is reached, so is this; a held service still tells what it is."""
        if self.failure is not None:
            raise self.failure
        return await super().info(timeout_s)
