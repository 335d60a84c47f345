"""The prediction cache: a bounded one in the process, and behind it one in Redis that all workers share.

The key in Redis is `cache_key`, and the value the prediction's JSON. The cache in the process is one lane's,
so the digest of the features is key enough there. The cache is a convenience: whatever goes wrong with it is
a miss, and never an error.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, cast

from hiredis import pack_command
from redis.asyncio.connection import AbstractConnection, ConnectionPool, RedisSSLContext, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError

from router.lanes.answer import Answer
from router.lanes.breaker import Breaker

LOOK_UP_TIMEOUT_S: Final = 0.020
_STORE_TIMEOUT_S: Final = 1.0
_CONNECT_TIMEOUT_S: Final = 1.0
_MAX_STORES_PENDING: Final = 64
_MAX_CONNECTING: Final = 8

# ARGV[1] is the TTL in seconds, the others are the values: one command costs less than a pipeline of SETs.
_STORE_ALL: Final = """
for i, key in ipairs(KEYS) do redis.call('SET', key, ARGV[i + 1], 'EX', ARGV[1]) end
return #KEYS
"""
_STORE_ALL_SHA: Final = hashlib.sha1(_STORE_ALL.encode(), usedforsecurity=False).hexdigest()


def cache_key(model: str, version: str, model_version: str, digest: str) -> str:
    """The key of an answer: everything that can change it. `digest` is that of the canonical features.

    Two versions, or two models, may both call what they serve `1.0`, so whose answer it is is a part of it.
    Names of models and versions hold no slash and digests no colon: no two keys look the same.
    """
    return f"{model}/{version}/{model_version}:{digest}"


class SharedCache(Protocol):
    """What a lane asks of the cache behind it."""

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """The value of each key, None where there is none or the cache is away."""
        ...

    def put_many(self, entries: Sequence[tuple[str, bytes]], ttl_s: int) -> None:
        """Store entries for `ttl_s` seconds, some time soon, or not at all."""
        ...


class LocalCache:
    """The answers used last by this worker, at most `entries` of them, each for a time."""

    __slots__ = ("_entries", "_held")

    def __init__(self, entries: int) -> None:
        self._entries = entries
        # A dict keeps the order too, but finds its first entry only behind all that were removed before it.
        self._held: OrderedDict[str, tuple[float, Answer]] = OrderedDict()

    def get(self, key: str, now: float) -> Answer | None:
        """The answer under `key` unless it has expired; it becomes the one used last."""
        entry = self._held.get(key)
        if entry is None:
            return None
        if entry[0] <= now:
            del self._held[key]
            return None
        self._held.move_to_end(key)
        return entry[1]

    def put(self, key: str, answer: Answer, expires: float) -> None:
        """Keep `answer` until `expires`; the one that was not used for longest makes room."""
        if not self._entries:
            return
        self._held[key] = (expires, answer)
        self._held.move_to_end(key)
        if len(self._held) > self._entries:
            self._held.popitem(last=False)

    def __len__(self) -> int:
        return len(self._held)


class RedisCache:
    """The cache in Redis. A look-up is given up after 20 ms; several failures in a row pause it for 0.5 s.

    The commands go over redis-py's connections, and not through its client, which spends twice as long on a
    command as everything below it.
    """

    def __init__(
        self,
        url: str,
        clock: Callable[[], float] = time.monotonic,
        on_failure: Callable[[str], None] = lambda _what: None,
    ) -> None:
        # Neither retries nor time-outs of redis-py's own: a miss is cheaper, and one time-out is enough.
        # (With one, redis-py sends under asyncio.wait_for, which in Python 3.11 can swallow a cancellation:
        # a look-up then waited 5 s in place of 20 ms.)
        self._pool = ConnectionPool.from_url(
            url, retry=Retry(NoBackoff(), 0), socket_timeout=None, socket_connect_timeout=_CONNECT_TIMEOUT_S
        )
        self._idle: list[AbstractConnection] = []
        self._waiting: dict[asyncio.Future[None], None] = {}  # the one that waits longest is first
        self._connecting: set[asyncio.Task[AbstractConnection]] = set()
        self._tls: RedisSSLContext | None = None
        self._tls_lock = asyncio.Lock()
        self._clock = clock
        self._on_failure = on_failure
        self._stores: set[asyncio.Task[None]] = set()
        self.breaker = Breaker(threshold=3, cool_down_s=0.5, max_cool_down_s=0.5)

    async def _ask(self, *command: str | bytes | int) -> Any:
        """The reply to one command. Raises `ResponseError` where that is an error."""
        connection = await self._take()
        try:
            await connection.send_packed_command(pack_command(cast("Any", command)), check_health=False)
            reply = await connection.read_response(disconnect_on_error=False)
        except ResponseError:
            self._give_back(connection)
            raise
        except BaseException:
            # A reply that comes too late must reach nobody else.
            await connection.disconnect(nowait=True)
            raise
        self._give_back(connection)
        return reply

    async def _take(self) -> AbstractConnection:
        """The first connection that is idle. One is made for each who waits, up to a bound, and it is made to
        the end whoever gives up waiting: with TLS that takes longer than a look-up may.
        """
        while True:
            while self._idle:
                connection = self._idle.pop()
                if connection.is_connected and not await connection.can_read():
                    return connection
                await connection.disconnect(nowait=True)  # closed by Redis, or something is left in it
            turn = asyncio.get_running_loop().create_future()
            self._waiting[turn] = None
            if len(self._connecting) < min(len(self._waiting), _MAX_CONNECTING):
                task = asyncio.create_task(self._connect())
                self._connecting.add(task)
                task.add_done_callback(self._connected)
            try:
                await turn
            except asyncio.CancelledError:
                if not turn.cancelled():  # it was woken just before: the turn is another's
                    self._next_turn()
                raise
            finally:
                self._waiting.pop(turn, None)

    def _give_back(self, connection: AbstractConnection) -> None:
        self._idle.append(connection)
        self._next_turn()

    def _next_turn(self, error: BaseException | None = None) -> None:
        """Whoever waits longest looks for an idle connection again, or gets the error of one."""
        turn = next((turn for turn in self._waiting if not turn.done()), None)
        if turn is not None:
            del self._waiting[turn]
            turn.set_exception(error) if error else turn.set_result(None)

    async def _connect(self) -> AbstractConnection:
        connection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                if isinstance(connection, SSLConnection):
                    # Certificates are read once, and in a thread: all who wait here have 20 ms.
                    self._tls = connection.ssl_context = self._tls or connection.ssl_context
                    async with self._tls_lock:
                        await asyncio.to_thread(self._tls.get)
                await connection.connect()
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return cast("AbstractConnection", connection)

    def _connected(self, task: asyncio.Task[AbstractConnection]) -> None:
        self._connecting.discard(task)
        if task.cancelled():
            return
        if error := task.exception():
            self._next_turn(error)
        else:
            self._give_back(task.result())

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """One MGET, or all misses."""
        if not self.breaker.admits(self._clock()):
            return [None] * len(keys)
        try:
            async with asyncio.timeout(LOOK_UP_TIMEOUT_S):
                found = await self._ask("MGET", *keys)
        except (RedisError, OSError, TimeoutError, ValueError) as error:
            self._failed("look-up", error)
            return [None] * len(keys)
        if type(found) is not list or len(found) != len(keys):
            self._failed("look-up", ValueError("not what an MGET answers"))
            return [None] * len(keys)
        self.breaker.succeeded(self._clock())
        return cast("list[bytes | None]", found)

    def put_many(self, entries: Sequence[tuple[str, bytes]], ttl_s: int) -> None:
        """Start storing `entries`; when too many stores are under way already, they are dropped."""
        if ttl_s <= 0 or self.breaker.is_open(self._clock()):
            return
        if len(self._stores) >= _MAX_STORES_PENDING:
            self._on_failure("store dropped")
            return
        task = asyncio.create_task(self._store(entries, ttl_s))
        self._stores.add(task)
        task.add_done_callback(self._stores.discard)

    async def _store(self, entries: Sequence[tuple[str, bytes]], ttl_s: int) -> None:
        keys, values = zip(*entries, strict=True)
        arguments = len(keys), *keys, ttl_s, *values
        try:
            async with asyncio.timeout(_STORE_TIMEOUT_S):
                try:
                    await self._ask("EVALSHA", _STORE_ALL_SHA, *arguments)
                except NoScriptError:
                    await self._ask("EVAL", _STORE_ALL, *arguments)
        except (RedisError, OSError, TimeoutError, ValueError) as error:
            self._failed("store", error)

    def _failed(self, what: str, error: Exception) -> None:
        self.breaker.failed(self._clock())
        self._on_failure("timeout" if isinstance(error, TimeoutError) else what)

    async def ping(self) -> bool:
        """Whether Redis answers at all."""
        try:
            async with asyncio.timeout(1.0):
                await self._ask("PING")
        except (RedisError, OSError, TimeoutError, ValueError):
            return False
        return True

    async def close(self) -> None:
        """Finish the stores under way and close the connections."""
        if self._stores:
            await asyncio.wait(self._stores, timeout=_STORE_TIMEOUT_S)
        if self._connecting:
            await asyncio.wait(self._connecting)
        for connection in self._idle:
            await connection.disconnect(nowait=True)
        self._idle.clear()


class InMemoryCache:
    """A shared cache in a dict, for tests: TTLs are noted, not enforced."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}
        self.ttls: dict[str, int] = {}
        self.look_ups: list[list[str]] = []

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """The value of each key; the call is noted in `look_ups`."""
        self.look_ups.append(list(keys))
        return [self.held.get(key) for key in keys]

    def put_many(self, entries: Sequence[tuple[str, bytes]], ttl_s: int) -> None:
        """Store at once."""
        self.held.update(entries)
        self.ttls.update((key, ttl_s) for key, _ in entries)
