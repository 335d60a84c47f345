"""The lease: of several controllers one acts, and one that was stopped and wakes up finds out before it acts.

1. Who holds the lease has set `ekiben:lease` to its token and its name, with a time to live, and renews it
   every third of that time.
2. Each acquisition takes the next token, so that a later holder has a higher one.
3. By its own clock a holder counts from before its last renewal was sent: it never believes longer than
   Redis does, however long the answer took or the process stood still.
4. Even so a process can be stopped between looking and acting. What must not happen twice therefore checks
   `fence` in the same script that does it (`DocumentStore.change`, `Lease.write`): a token that is no longer
   the one in Redis is `LeaseLost`, and nothing has happened.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

LEASE_KEY: Final = "ekiben:lease"
LEASE_TOKENS_KEY: Final = "ekiben:lease:tokens"

# KEYS: lease, tokens. ARGV: the fence held so far or "", the holder, time to live in ms.
# Returns the token, or 0 when somebody else holds it.
_ACQUIRE: Final = """
local held = redis.call('GET', KEYS[1])
if held and held == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return tonumber(string.match(held, '^%d+'))
end
if held then return 0 end
local token = redis.call('INCR', KEYS[2])
redis.call('SET', KEYS[1], token .. ' ' .. ARGV[2], 'PX', ARGV[3])
return token
"""

_RELEASE: Final = (
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
)

# KEYS: lease, a hash. ARGV: the fence, then field, value, field, value, …
_WRITE: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
for place = 2, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[place], ARGV[place + 1]) end
return 1
"""

_log = logging.getLogger(__name__)


class LeaseLost(Exception):
    """Somebody else acts now, or nobody does: what was about to happen has not happened."""


class Lease:
    """One process's part in the lease. `holder` names the process and is its own alone.

    `redis` is not closed here.
    """

    def __init__(
        self,
        redis: Redis,
        holder: str,
        ttl_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.holder = holder
        self._redis = redis
        self._ttl_s = ttl_s
        self._clock = clock
        self._token: int | None = None
        self._until = 0.0
        self._acquire = redis.register_script(_ACQUIRE)
        self._release = redis.register_script(_RELEASE)
        self._write = redis.register_script(_WRITE)

    @property
    def token(self) -> int | None:
        """The fencing token: higher for each later holder. None while not held."""
        return self._token if self.held() else None

    @property
    def fence(self) -> str:
        """What Redis holds while this lease is held, for a script to compare. Raises `LeaseLost`."""
        if self._token is None:
            raise LeaseLost(f"{self.holder} does not hold the lease")
        return f"{self._token} {self.holder}"

    def held(self) -> bool:
        """Whether this process may act, by its own clock."""
        return self._token is not None and self._clock() < self._until

    async def renew(self) -> bool:
        """Renew the lease, or acquire it when it is free; whether it is held now.

        Raises redis's own errors; what was held then stays held until its time is over.
        """
        asked = self._clock()
        fence = f"{self._token} {self.holder}" if self._token is not None else ""
        arguments: list[str | int] = [fence, self.holder, int(self._ttl_s * 1000)]
        self._token = await self._acquire(keys=[LEASE_KEY, LEASE_TOKENS_KEY], args=arguments) or None
        self._until = asked + self._ttl_s
        return self.held()

    async def release(self) -> None:
        """Give it up, so that another need not wait until it expires. Never raises for Redis."""
        if self._token is None:
            return
        fence, self._token = self.fence, None
        with contextlib.suppress(RedisError, OSError):
            await self._release(keys=[LEASE_KEY], args=[fence])

    async def write(self, key: str, fields: Mapping[str, bytes | str]) -> None:
        """Set fields of the hash at `key`, if the lease is still held when Redis does it.

        Raises `LeaseLost`, and redis's own errors.
        """
        arguments: list[bytes | str] = [self.fence, *(part for item in fields.items() for part in item)]
        if not await self._write(keys=[LEASE_KEY, key], args=arguments):
            raise LeaseLost(f"{self.holder} no longer holds the lease")

    async def run(self, on_change: Callable[[bool], None]) -> None:
        """Hold the lease for as long as possible, until cancelled; then give it up.

        `on_change` is called with True when this process begins to act and with False when it must stop.
        """
        known = False
        try:
            while True:
                try:
                    await self.renew()
                except (RedisError, OSError) as error:
                    _log.warning("the lease could not be renewed: %s", error)
                if self.held() != known:
                    known = self.held()
                    _log.info("lease %s", f"held, token {self._token}" if known else "lost")
                    on_change(known)
                await asyncio.sleep(self._ttl_s / 3)
        finally:
            # Shielded: the cancellation that brought us here must not keep the next one waiting.
            await asyncio.shield(self.release())
            if known:
                on_change(False)
