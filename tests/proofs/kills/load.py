"""Predictions and their outcomes, by clients who note what they were promised."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from dataclasses import dataclass, field
from typing import Any, Final, Self

import aiohttp

_USERS: Final = 300
_SENDERS: Final = 6
_TRIES: Final = 60
_SHARE_WITH_OUTCOME: Final = 0.6
_SHARE_WITHOUT_ID: Final = 0.2
_SHARE_GIVES_UP: Final = 0.1


@dataclass(slots=True)
class Noted:
    """What the clients know in the end. An outcome's value is its number, so that it is known again.

    `accepted` were answered with 202; `unsure` were sent, and nobody said what became of them. `served` are
    predictions within the experiment, by their id, with the monotonic time of their answer.
    """

    served: dict[str, float] = field(default_factory=dict)
    accepted: set[int] = field(default_factory=set)
    unsure: set[int] = field(default_factory=set)
    requests: int = 0
    refused: int = 0
    cut: int = 0


class Load:
    """`rate` predictions a second, and an outcome for most of them, from the start of the block to its end.

    Outcomes with an id are sent again until they are taken, as the API asks of its clients; a tenth of the
    requests give up at once. Outcomes without an id are sent once. Their numbers come after `first`.
    """

    def __init__(self, url: str, rate: float, seed: int, first: int = 0) -> None:
        self.noted = Noted()
        self._url = url
        self._rate = rate
        self._random = random.Random(seed)
        self._numbers = first
        self._due: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._under_way: set[asyncio.Task[None]] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=2.0),
            timeout=aiohttp.ClientTimeout(total=10.0),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        self._predicting = asyncio.create_task(self._predict_on())
        self._tasks = [asyncio.create_task(self._send_on()) for _ in range(_SENDERS)]
        return self

    async def __aexit__(self, *_: object) -> None:
        """No more predictions; the outcomes that are due are still sent."""
        self._predicting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._predicting
        if self._under_way:
            await asyncio.wait(self._under_way)
        self._stopping = True
        await asyncio.gather(*self._tasks)
        await self._session.close()

    async def _predict_on(self) -> None:
        begun, count = time.monotonic(), 0
        while True:
            await asyncio.sleep(max(0.0, begun + count / self._rate - time.monotonic()))
            count += 1
            if len(self._under_way) < 500:
                task = asyncio.create_task(self._predict(count))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)

    async def _predict(self, count: int) -> None:
        user = f"user-{self._random.randrange(_USERS)}"
        body = {"user_id": user, "features": {"row": self._random.randrange(1000)}}
        # Some connections end, or a worker that was started later never saw a client.
        headers = {"connection": "close"} if count % 5 == 0 else {}
        try:
            async with self._session.post(
                f"{self._url}/predict/credit", json=body, headers=headers
            ) as answer:
                said = await answer.json(content_type=None)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return
        if answer.status != 200:
            return
        if said["variant"] is not None:
            self.noted.served[said["prediction_id"]] = time.monotonic()
        if self._random.random() < _SHARE_WITH_OUTCOME:
            self._numbers += 1
            of = {"user_id": user} if self._numbers % 3 == 0 else {"prediction_id": said["prediction_id"]}
            outcome = {**of, "name": "kills", "value": self._numbers}
            if self._random.random() >= _SHARE_WITHOUT_ID:
                outcome["id"] = f"kills-{self._numbers}"
            self._due.put_nowait(outcome)

    async def _send_on(self) -> None:
        while not (self._stopping and self._due.empty()):
            await asyncio.sleep(self._random.uniform(0.0, 0.1))
            batch = [self._due.get_nowait() for _ in range(min(self._due.qsize(), 20))]
            with_id = [each for each in batch if "id" in each]
            without = [each for each in batch if "id" not in each]
            if with_id:
                await self._send(with_id, 1 if self._random.random() < _SHARE_GIVES_UP else _TRIES)
            if without:
                await self._send(without, 1)

    async def _send(self, outcomes: list[dict[str, Any]], tries: int) -> None:
        numbers = {each["value"] for each in outcomes}
        self.noted.unsure |= numbers
        for _ in range(tries):
            self.noted.requests += 1
            try:
                async with self._session.post(f"{self._url}/outcomes", json={"outcomes": outcomes}) as answer:
                    await answer.read()
                    status = answer.status
            except (aiohttp.ClientError, OSError, TimeoutError):
                self.noted.cut += 1
                await asyncio.sleep(0.2)
                continue
            if status == 202:
                self.noted.accepted |= numbers
                self.noted.unsure -= numbers
                return
            assert status == 503, f"/outcomes answered {status}"
            self.noted.refused += 1
            await asyncio.sleep(float(answer.headers["retry-after"]) * 0.2)
