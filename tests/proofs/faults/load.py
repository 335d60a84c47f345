"""A constant load on the router, every response of it judged."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

import aiohttp
import orjson

from tests.proofs.faults.answered import Asked, Expected, Kind, Sample

_USERS: Final = 500
_SESSIONS: Final = 8
_MOST_UNDER_WAY: Final = 4000
# Far past every deadline: who waits so long was forgotten.
_PATIENCE_S: Final = 15.0


class Load:
    """`rate` requests a second over many connections, from the start of the block to its end.

    Half of them ask for a row that was never asked before, half for one of `repeated`; with `rows` all of
    them ask for one of those, past the cache.
    """

    def __init__(
        self,
        url: str,
        expected: Expected,
        rate: float,
        rows: Sequence[Mapping[str, Any]] = (),
        repeated: int = 30,
        timeout_s: float = 1.0,
        most_under_way: int = _MOST_UNDER_WAY,
    ) -> None:
        self.expected = expected
        self.samples: list[Sample] = []
        self.left_out = 0
        self.worker_killed_at: float | None = None
        self._url = f"{url}/predict/credit"
        self._rate = rate
        self._rows = rows
        self._most_under_way = most_under_way
        self._late_s = timeout_s + 5.0  # the machine is busy: far more than the router needs
        self._random = random.Random(17)
        self._salt = f"{time.monotonic_ns():x}"
        self._repeated = [self._row(f"again-{number}") for number in range(repeated)]
        self._sessions: list[aiohttp.ClientSession] = []
        self._under_way: dict[asyncio.Task[None], Asked] = {}
        self._sending: asyncio.Task[None] | None = None
        self._count = 0

    async def __aenter__(self) -> Self:
        # uvicorn closes a connection 5 s after its last answer; a client that keeps it as long may hit that.
        self._sessions = [
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=2.0),
                timeout=aiohttp.ClientTimeout(total=_PATIENCE_S),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
            for _ in range(_SESSIONS)
        ]
        self._sending = asyncio.create_task(self._send())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        for session in self._sessions:
            await session.close()

    async def stop(self) -> None:
        """Send nothing more, and wait for what is under way."""
        if self._sending is not None:
            self._sending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sending
            self._sending = None
        if self._under_way:
            await asyncio.wait(list(self._under_way))

    def worker_dies(self) -> None:
        """Until `worker_is_gone`, a request whose connection breaks was inside the killed worker."""
        self.worker_killed_at = float("inf")

    def worker_is_gone(self) -> None:
        """No later request can have been inside it."""
        self.worker_killed_at = time.monotonic()

    def count(self) -> Counter[Kind]:
        """How many samples of each kind there are."""
        return Counter(sample.kind for sample in self.samples)

    def details(self, *kinds: Kind) -> list[str]:
        """The most frequent details of the samples of these kinds, with how many have them."""
        found = Counter(sample.detail for sample in self.samples if sample.kind in kinds)
        return [f"{number} x {detail}" for detail, number in found.most_common(5)]

    def answered_by(self, version: str, since: float) -> int:
        """How many requests sent after `since` this version answered."""
        return sum(sample.version == version and sample.sent > since for sample in self.samples)

    async def _send(self) -> None:
        begun = time.monotonic()
        while True:
            due = begun + self._count / self._rate
            pause = due - time.monotonic()
            if pause > 0:
                await asyncio.sleep(pause)
            self._count += 1
            if len(self._under_way) >= self._most_under_way:
                self.left_out += 1
                continue
            asked = self._ask()
            task = asyncio.create_task(self._request(asked, self._count))
            self._under_way[task] = asked
            task.add_done_callback(self._under_way.pop)

    def _row(self, name: str) -> dict[str, Any]:
        return {"row": f"{self._salt}-{name}", "amount": round(self._random.uniform(1, 5000), 2)}

    def _ask(self) -> Asked:
        user = f"user-{self._random.randrange(_USERS)}"
        if self._rows:
            row, is_new = self._random.choice(self._rows), False
        elif self._random.random() < 0.5:
            row, is_new = self._row(str(self._count)), True
        else:
            row, is_new = self._random.choice(self._repeated), False
        digest = hashlib.blake2b(orjson.dumps(row), digest_size=8).hexdigest()
        request_id = f"{self._salt}-{self._count}"
        return Asked(request_id, user, row, digest, is_new, bool(self._rows), time.monotonic())

    async def _request(self, asked: Asked, number: int) -> None:
        headers = {"content-type": "application/json", "x-request-id": asked.request_id}
        if asked.no_cache:
            headers["cache-control"] = "no-cache"
        if number % 10 == 0:
            headers["connection"] = "close"  # or a worker that was started later never saw a client
        body = orjson.dumps({"user_id": asked.user, "features": asked.row})
        session = self._sessions[number % _SESSIONS]
        try:
            async with session.post(self._url, data=body, headers=headers) as answer:
                content = await answer.read()
                now = time.monotonic()
                sample = self.expected.judge(asked, answer.status, answer.content_type, content, now)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            sample = self._broken(asked, error)
        if sample.kind not in (Kind.WRONG, Kind.CUT) and sample.done - sample.sent > self._late_s:
            sample = Sample(sample.sent, sample.done, Kind.BROKEN, "past every deadline")
        self.samples.append(sample)

    def _broken(self, asked: Asked, error: Exception) -> Sample:
        killed = self.worker_killed_at
        reset = isinstance(error, (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError, OSError))
        inside = killed is not None and asked.sent <= killed and reset
        kind = Kind.CUT if inside else Kind.BROKEN
        return Sample(asked.sent, time.monotonic(), kind, f"{type(error).__name__}: {error}")


def recovery_s(samples: Sequence[Sample], since: float) -> float:
    """Seconds from `since` until the last response that was not as it should be; 0 where there is none.

    A single look-up that took longer than the 20 ms that it has is no fault: repeats that were not cached
    count in half seconds in which they were more than one in ten.
    """
    last = since
    repeats: Counter[int] = Counter()
    uncached: dict[int, list[float]] = {}
    for sample in samples:
        if sample.done <= since:
            continue
        half = int(sample.done * 2)
        repeats[half] += sample.is_repeat
        if sample.kind is Kind.UNCACHED:
            uncached.setdefault(half, []).append(sample.done)
        elif sample.kind is not Kind.RIGHT:
            last = max(last, sample.done)
    for half, times in uncached.items():
        if len(times) > max(1.0, 0.1 * repeats[half]):
            last = max(last, *times)
    return last - since
