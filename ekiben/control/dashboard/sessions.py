"""Who is logged in: random ids in cookies, kept in the state Redis under their hash.

1. A browser gets a random id with its first page of a form. The form's token is an HMAC of that id, so a
   form counts only in the browser that it was made for, and nothing is stored for it.
2. Logging in gives a new id. Redis holds a digest of it, keyed by the admin token, with the person's name,
   for eight hours: who reads Redis can not log in with what is found there, and a new token ends every
   session.
3. While Redis is away, this process goes on with the sessions that it has seen: pages can be read, and
   nothing can be changed anyway.
4. Logging out holds in this process at once, whatever Redis does. Elsewhere it holds once Redis has taken it,
   which is tried again until it has.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

COOKIE: Final = "ekiben_session"
LIFETIME_S: Final = 8 * 3600
_KEY: Final = "ekiben:session:"
_MOST_KNOWN: Final = 1_000


@dataclass(frozen=True, slots=True)
class Session:
    """Someone who showed the admin token. `id` is the cookie's; `expires_at` is seconds since 1970."""

    id: str
    who: str
    expires_at: float


class Sessions:
    """The sessions in one Redis, with a memory for the time without it."""

    def __init__(
        self, redis: Redis, bind: Callable[[str], str], clock: Callable[[], float] = time.time
    ) -> None:
        """`bind` makes the digest of an id that is kept."""
        self._redis = redis
        self._bind = bind
        self._clock = clock
        self._known: dict[str, Session] = {}
        self._ended: dict[str, float] = {}  # until when the sessions would have been good
        self._to_delete: set[str] = set()

    async def begin(self, who: str) -> Session:
        """A new session for someone who showed the token."""
        session = Session(secrets.token_urlsafe(32), who, self._clock() + LIFETIME_S)
        with suppress(RedisError, OSError):  # it is good on this replica
            await self._redis.set(self._key(session.id), who.encode(), ex=LIFETIME_S)
        self._remember(session)
        return session

    async def find(self, cookie: str | None) -> Session | None:
        """The session of a cookie's id, None when nobody is logged in with it."""
        if not cookie:
            return None
        key = self._key(cookie)
        if key in self._ended:
            return None
        known = self._known.get(key)
        try:
            who = cast("bytes | None", await self._redis.get(key))
            await self._delete_ended()
        except (RedisError, OSError):
            return known if known and known.expires_at > self._clock() and key not in self._ended else None
        if who is None or key in self._ended:
            self._known.pop(key, None)
            return None
        if known is None:
            known = Session(cookie, who.decode(errors="replace"), self._clock() + LIFETIME_S)
            self._remember(known)
        return known if known.expires_at > self._clock() else None

    async def end(self, cookie: str) -> None:
        """Log out the browser that has this id."""
        now, key = self._clock(), self._key(cookie)
        self._known.pop(key, None)
        self._ended = {each: until for each, until in self._ended.items() if until > now}
        self._ended[key] = now + LIFETIME_S
        self._to_delete.add(key)
        with suppress(RedisError, OSError):  # tried again
            await self._delete_ended()

    async def _delete_ended(self) -> None:
        if self._to_delete:
            keys = tuple(self._to_delete)
            await self._redis.delete(*keys)
            self._to_delete.difference_update(keys)

    def _key(self, cookie: str) -> str:
        return _KEY + self._bind(cookie)

    def _remember(self, session: Session) -> None:
        if len(self._known) >= _MOST_KNOWN:
            self._known.pop(next(iter(self._known)))
        self._known[self._key(session.id)] = session


def form_token(cookie: str) -> str:
    """What a form has to bring back from the browser with this cookie."""
    return hmac.new(cookie.encode(), b"ekiben form", hashlib.sha256).hexdigest()


def form_token_holds(cookie: str | None, token: object) -> bool:
    """Whether a form came from the browser that it was made for."""
    if not cookie or not isinstance(token, str):
        return False
    return hmac.compare_digest(form_token(cookie).encode(), token.encode())


def write_cookie(value: str, *, secure: bool, max_age: int | None = None) -> str:
    """A Set-Cookie header that no script and no other site can use; `max_age` 0 takes it away."""
    age = "" if max_age is None else f"; Max-Age={max_age}"
    return f"{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict{age}{'; Secure' if secure else ''}"


def new_cookie() -> str:
    """An id for a browser that has none yet."""
    return secrets.token_urlsafe(32)
