"""A user's events, removed from everywhere, on demand.

1. What a stream holds is not touched there: what it held when forgetting was asked for is recorded first,
   and so trimmed, as always. Entries keep their ids and their order, none is lost and none comes twice.
2. Files that hold the user's events are written again without them, under the same name: a rename or a put,
   so a reader sees the one or the other.
3. Outcomes first, because those without a user are found by the predictions in the user's exposures. A
   crash anywhere leaves what is needed to find the rest, and the request in Redis: it is done again.

Merging reads files and writes their rows elsewhere: both are done by `control/housekeeping.py`, in turn.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final, Self, cast

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from control.event_files import STREAM_KINDS, EventFiles, Held
from control.event_ranges import EventFile
from control.merging import read_batches

REQUESTS_KEY: Final = "ekiben:forgetting"
_RESULT_KEY: Final = "ekiben:forgotten:"
_RESULT_KEPT_S: Final = 3600
_DRAIN_WITHIN_S: Final = 60.0
_POLL_S: Final = 0.1

log = logging.getLogger(__name__)


class NotForgotten(Exception):
    """It has not happened yet; the message is one line that says why. The request stands and will be done."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How many events were removed, and from how many files."""

    exposures: int
    shadows: int
    outcomes: int
    files: int

    @classmethod
    def from_json(cls, data: bytes | str) -> Self:
        """What `do_requests` wrote."""
        return cls(**orjson.loads(data))


class Forgetting:
    """Asked by any controller, done by the one that holds the lease."""

    def __init__(self, redis: Redis, files: EventFiles, lease: Held, hurry: Callable[[], None]) -> None:
        """`hurry` makes the recorder begin a round now. Nothing is closed here."""
        self._redis = redis
        self._files = files
        self._lease = lease
        self._hurry = hurry

    async def forget(self, user_hash: str, within_s: float = 120.0) -> Forgotten:
        """Remove the user's events from streams and files. Raises `NotForgotten`."""
        request = secrets.token_hex(16)
        try:
            await cast("Any", self._redis.hset(REQUESTS_KEY, request, user_hash))
            async with asyncio.timeout(within_s):
                while not (result := await self._redis.get(_RESULT_KEY + request)):  # noqa: ASYNC110 - in Redis
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise NotForgotten(
                f"no controller got it done within {within_s:g} s; the request stands: see their logs"
            ) from None
        except (RedisError, OSError) as error:
            raise NotForgotten(f"Redis did not take the request: {error}") from error
        return Forgotten.from_json(result)

    async def do_requests(self) -> None:
        """Do what was asked for; the holder of the lease calls this again and again.

        Raises `NotForgotten`, `LeaseLost`, `OSError` and redis's own errors; what was asked for stays so.
        """
        asked = cast("dict[bytes, bytes]", await cast("Any", self._redis.hgetall(REQUESTS_KEY)))
        if not asked:
            return
        await self._record_first()
        for request, user_hash in asked.items():
            forgotten = await asyncio.to_thread(forget_in_files, self._files, user_hash.decode(), self._lease)
            # The first answer counts: done again after a crash there is less to remove.
            key = _RESULT_KEY + request.decode()
            await self._redis.set(key, orjson.dumps(asdict(forgotten)), ex=_RESULT_KEPT_S, nx=True)
            await cast("Any", self._redis.hdel(REQUESTS_KEY, request))
            log.info("a user was forgotten: %s", forgotten)

    async def _record_first(self) -> None:
        """Wait until everything that the streams hold now is in files."""
        try:
            async with asyncio.timeout(_DRAIN_WITHIN_S):
                for stream in STREAM_KINDS:
                    try:
                        last = (await self._redis.xinfo_stream(stream))["last-generated-id"]
                    except ResponseError:
                        continue  # there is no such stream
                    while await self._redis.xrange(stream, max=last, count=1):
                        self._hurry()
                        await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise NotForgotten("what the streams hold is not recorded yet") from None


def forget_in_files(files: EventFiles, user_hash: str, lease: Held) -> Forgotten:
    """Rewrite every file that holds the user's events. Blocks. Raises `LeaseLost` and `OSError`."""
    user = pa.scalar(user_hash)

    def by_user(batch: Any) -> Any:
        return pc.fill_null(pc.equal(batch.column("user_hash"), user), False)

    predictions: set[str] = set()
    served: list[EventFile] = []
    for file in (*files.list("shadow"), *files.list("exposure")):
        found = False
        for batch in read_batches(files, file, lease, ["user_hash", "prediction_id"]):
            theirs = batch.filter(by_user(batch))
            found |= theirs.num_rows > 0
            predictions.update(theirs.column("prediction_id").drop_null().to_pylist())
        if found:
            served.append(file)
    known = pa.array(sorted(predictions), pa.string())

    def by_prediction(batch: Any) -> Any:
        return pc.or_(by_user(batch), pc.is_in(batch.column("prediction_id"), value_set=known))

    told = [
        file
        for file in files.list("outcome")
        if any(
            pc.any(by_prediction(batch)).as_py()
            for batch in read_batches(files, file, lease, ["user_hash", "prediction_id"])
        )
    ]
    outcomes = sum(_rewrite(files, file, by_prediction, lease) for file in told)
    removed = {"shadow": 0, "exposure": 0}
    for file in served:
        removed[file.kind] += _rewrite(files, file, by_user, lease)
    return Forgotten(removed["exposure"], removed["shadow"], outcomes, len(told) + len(served))


def _rewrite(files: EventFiles, file: EventFile, unwanted: Callable[[Any], Any], lease: Held) -> int:
    """Write a file again without some rows; how many those were."""
    removed = 0

    def wanted() -> Any:
        nonlocal removed
        for batch in read_batches(files, file, lease):
            kept = batch.filter(pc.invert(unwanted(batch)))
            removed += batch.num_rows - kept.num_rows
            yield kept

    staged = files.stage(wanted())
    try:
        files.publish(staged, file, lease)
    except BaseException:
        files.discard(staged)
        raise
    return removed
