"""A user's events, removed from everywhere, on demand.

1. What a stream holds is not touched there: what it held when forgetting was asked for is recorded first,
   and so trimmed, as always. Entries keep their ids and their order, none is lost and none comes twice.
2. Files that hold the user's events are written again without them, under the same name: a rename or a put,
   so a reader sees the one or the other.
3. What was computed from those files is removed, before the request is done.
4. Outcomes and kinds of other releases first: those without a user are found by the predictions in the
   user's exposures. A crash anywhere leaves what is needed to find the rest, and the request in Redis: it
   is done again.

Merging reads files and writes their rows elsewhere: both are done by `housekeeping.py`, in turn.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from ekiben.control.recording.files import EventFiles, Held
from ekiben.control.recording.intake import BAD_BLOCKS_STREAM
from ekiben.control.recording.ranges import EventFile
from ekiben.control.recording.schemas import conform
from ekiben.control.recording.streams import STREAMS
from ekiben.state.streams.blocks import BadBlock, decode_block, pack_block
from ekiben.state.streams.events import KINDS, Event

REQUESTS_KEY: Final = "ekiben:forgetting"
_FOUND_KEY: Final = "ekiben:forgetting:found:"
_RESULT_KEY: Final = "ekiben:forgotten:"
_RESULT_KEPT_S: Final = 3600
_DRAIN_WITHIN_S: Final = 60.0
_POLL_S: Final = 0.1
_TOLD: Final = "outcome"  # the kind that leads to a user only by a prediction

log = logging.getLogger(__name__)


class NotForgotten(Exception):
    """It has not happened yet; the message is one line that says why. The request stands and will be done."""


class Forgotten(msgspec.Struct, frozen=True):
    """How many events were removed, and from how many files."""

    exposures: int = 0
    predictions: int = 0
    shadows: int = 0
    outcomes: int = 0
    files: int = 0


class Forgetting:
    """Asked by any controller, done by the one that holds the lease."""

    def __init__(
        self,
        redis: Redis,
        files: EventFiles,
        lease: Held,
        hurry: Callable[[], None],
        forgotten: Callable[[], None] = lambda: None,
    ) -> None:
        """`hurry` makes the recorder begin a round now. `forgotten` removes what was computed from files that
        held the user's events; it blocks. Nothing is closed here."""
        self._redis = redis
        self._files = files
        self._lease = lease
        self._hurry = hurry
        self._forgotten = forgotten
        self._rewrite_wanted = False

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
        return msgspec.json.decode(result, type=Forgotten)

    async def do_requests(self) -> None:
        """Do what was asked for; the holder of the lease calls this again and again.

        Raises `NotForgotten`, `LeaseLost`, `OSError` and redis's own errors; what was asked for stays so.
        """
        if self._rewrite_wanted:
            await self._rewrite_log()
        asked = cast("dict[bytes, bytes]", await cast("Any", self._redis.hgetall(REQUESTS_KEY)))
        if not asked:
            return
        await self._record_first()
        await asyncio.to_thread(self._files.remove_abandoned)
        for request, user_hash in asked.items():
            await self._do(request.decode(), user_hash.decode())
        self._rewrite_wanted = True
        await self._rewrite_log()

    async def _do(self, request: str, user_hash: str) -> None:
        theirs = await asyncio.to_thread(find_theirs, self._files, user_hash, self._lease)
        # Counted before anything is removed, and the first count stays: a request that is done again after a
        # crash finds less.
        found = _FOUND_KEY + request
        await self._redis.set(found, msgspec.json.encode(theirs.counted), nx=True)
        await asyncio.to_thread(theirs.remove, self._files, self._lease)
        await asyncio.to_thread(self._forgotten)
        await remove_bad_blocks(self._redis, theirs)
        async with self._redis.pipeline(transaction=True) as done:
            done.rename(found, _RESULT_KEY + request)
            done.expire(_RESULT_KEY + request, _RESULT_KEPT_S)
            done.hdel(REQUESTS_KEY, request)
            await done.execute()
        log.info("a user was forgotten: %s", theirs.counted)

    async def _rewrite_log(self) -> None:
        """Ask Redis to write its append-only file anew: until then it holds what was removed."""
        try:
            await self._redis.bgrewriteaof()
        except ResponseError as error:
            if "in progress" in str(error):
                return  # that one may have begun too early: asked again with the next look
            log.warning("Redis does not rewrite its append-only file on request: %s", error)
        self._rewrite_wanted = False

    async def _record_first(self) -> None:
        """Wait until everything that the streams hold now is in files."""
        try:
            async with asyncio.timeout(_DRAIN_WITHIN_S):
                for stream in STREAMS:
                    try:
                        last = (await self._redis.xinfo_stream(stream.key))["last-generated-id"]
                    except ResponseError:
                        continue  # there is no such stream
                    while await self._redis.xrange(stream.key, max=last, count=1):
                        self._hurry()
                        await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise NotForgotten("what the streams hold is not recorded yet") from None


@dataclass(frozen=True, slots=True)
class Theirs:
    """What of the event files is one user's. `counted` counts each event once, however many files hold it."""

    user_hash: str
    predictions: frozenset[str]
    files: list[EventFile]  # of outcomes first
    counted: Forgotten

    def remove(self, files: EventFiles, lease: Held) -> None:
        """Rewrite every file that holds some. Blocks. Raises `LeaseLost` and `OSError`."""
        is_theirs = _theirs(self.user_hash, self.predictions)
        for file in self.files:
            schema = files.schema([file])
            kept = (
                batch.filter(pc.invert(is_theirs(conform(batch, _SEARCHED))))
                for batch in files.batches(file, schema, lease)
            )
            files.write(kept, schema, file, lease)


_SEARCHED: Final = pa.schema([(name, pa.string()) for name in ("user_hash", "prediction_id", "event_id")])


def _theirs(user_hash: str, predictions: Collection[str]) -> Callable[[Any], Any]:
    """Says of a batch which rows are theirs: by the user, or by one of the user's predictions."""
    known = pa.array(sorted(predictions), pa.string())

    def is_theirs(batch: Any) -> Any:
        by_user = pc.fill_null(pc.equal(batch.column("user_hash"), pa.scalar(user_hash)), False)
        return pc.or_(by_user, pc.is_in(batch.column("prediction_id"), value_set=known))

    return is_theirs


def find_theirs(files: EventFiles, user_hash: str, lease: Held) -> Theirs:
    """Look through every file. Blocks. Raises `LeaseLost` and `OSError`."""
    predictions: set[str] = set()
    events: dict[str, set[str]] = defaultdict(set)
    found: dict[EventFile, None] = {}
    # Those of other releases may lead to a user by a prediction only, as outcomes do: all are known by then.
    for kind in sorted(files.kinds(), key=lambda kind: (kind == _TOLD, kind not in KINDS)):
        is_theirs = _theirs(user_hash, predictions)
        for file in files.list(kind):
            for batch in files.batches(file, _SEARCHED, lease):
                theirs = batch.filter(is_theirs(batch))
                if theirs.num_rows:
                    found[file] = None
                    events[kind].update(theirs.column("event_id").to_pylist())
                    if kind != _TOLD:
                        predictions.update(theirs.column("prediction_id").drop_null().to_pylist())
    counted = Forgotten(**{f"{kind}s": len(events[kind]) for kind in KINDS}, files=len(found))
    return Theirs(user_hash, frozenset(predictions), [*reversed(found)], counted)


async def remove_bad_blocks(redis: Redis, theirs: Theirs) -> None:
    """Remove their events from blocks that were put aside, and blocks that cannot be read: nobody can say
    whose those are."""

    def may_stay(row: Event | msgspec.Raw) -> bool:
        event = row if isinstance(row, Event) else msgspec.msgpack.decode(row, type=Event)
        return event.user_hash != theirs.user_hash and event.prediction_id not in theirs.predictions

    entries: list[tuple[bytes, dict[bytes, bytes]]] = cast("Any", await redis.xrange(BAD_BLOCKS_STREAM))
    for entry, fields in entries:
        try:
            block_id, by_kind, unknown = decode_block(fields)
            kept = {kind: list(filter(may_stay, rows)) for kind, rows in (by_kind | unknown).items()}
            if kept == by_kind | unknown:
                continue
        except (BadBlock, msgspec.ValidationError):
            kept = {}
        async with redis.pipeline(transaction=True) as change:
            if any(kept.values()):
                change.xadd(BAD_BLOCKS_STREAM, cast("Any", fields | pack_block(block_id, kept)))
            change.xdel(BAD_BLOCKS_STREAM, entry)
            await change.execute()
        log.warning("bad block %s lost what was of a user who was forgotten", entry.decode())
