"""Who may change things: those who have the admin token."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import logging
import time
from collections.abc import Callable
from typing import Final, Self

from ekiben.control.settings import Settings
from ekiben.process.secret_file import kept_secret

TOKEN_FILE: Final = "admin_token"  # noqa: S105 - the name of the file
ATTEMPTS: Final = 10
"""Wrong tokens that one client may send at once; another every `EVERY_S` seconds."""
EVERY_S: Final = 6.0
_MOST_CLIENTS: Final = 10_000

_log = logging.getLogger(__name__)


class TooManyAttempts(Exception):
    """This token is wrong, like so many others from this client that it should wait with the next one."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"too many wrong tokens: try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class Auth:
    """Checks the admin token. The right one always passes, whatever else its client, or somebody behind the
    same proxy, has sent: what cannot be guessed needs no lock, and a lock would be a way to keep people out.
    """

    def __init__(self, token: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        if not token:
            raise ValueError("an empty token would let everyone in")
        self._digest = _digest(token)
        self._clock = clock
        self._failures: dict[str, float] = {}

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """With `EKIBEN_ADMIN_TOKEN`, else, on loopback, with the one in the data directory.

        Every setting that is off loopback has a token: `Settings.from_environ` refuses others.
        """
        token = settings.admin_token
        if not token:
            token = kept_secret(settings.data_dir / TOKEN_FILE)
            _log.info("the admin token is kept in %s", settings.data_dir / TOKEN_FILE)
        return cls(token)

    def bind(self, value: str) -> str:
        """A digest of the value that nobody can make without the token, and that ends with it."""
        return hmac.new(self._digest, value.encode(), hashlib.sha256).hexdigest()

    def check(self, token: str, client: str = "") -> bool:
        """Whether this is the admin token, in a time that says nothing about it.

        `client` is who sends it, such as an address. Raises `TooManyAttempts`.
        """
        if hmac.compare_digest(_digest(token), self._digest):
            return True
        now = self._clock()
        # The time at which all of the client's failures will be forgiven: each adds EVERY_S to it.
        forgiven = max(self._failures.get(client, now), now)
        left_s = forgiven - now - (ATTEMPTS - 1) * EVERY_S
        if left_s > 0:
            raise TooManyAttempts(int(left_s) + 1)
        self._note(client, forgiven + EVERY_S, now)
        if left_s > -EVERY_S:
            _log.warning("%d wrong tokens in a row from %s", ATTEMPTS, client or "somebody")
        return False

    def _note(self, client: str, forgiven: float, now: float) -> None:
        if client not in self._failures and len(self._failures) >= _MOST_CLIENTS:
            self._failures = {each: until for each, until in self._failures.items() if until > now}
            if len(self._failures) >= _MOST_CLIENTS:
                self._failures.clear()
        self._failures[client] = forgiven


def bearer_token(authorization: str | None) -> str | None:
    """The token in an `Authorization: Bearer` header, which is UTF-8 in the Latin-1 that HTTP has."""
    scheme, _, token = (authorization or "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        return None
    with contextlib.suppress(UnicodeError):
        return token.encode("latin-1").decode()
    return token


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
