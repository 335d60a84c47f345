"""API keys: who may do what, and how often. Without keys everyone may do everything."""

from __future__ import annotations

import hashlib
import hmac
import math
import os
from dataclasses import dataclass
from typing import Final

from ekiben.process.environ import LEAST_SECRET
from router.errors import Forbidden, TooManyRequests, Unauthorized

PREDICT: Final = "predict"
OUTCOMES: Final = "outcomes"
SCOPES: Final = frozenset({PREDICT, OUTCOMES})
DEFAULT_RATE: Final = 1000
"""Requests a second of a key in each worker, a tenth of what one can answer: default of `EKIBEN_KEY_RATE`."""
_UNLIMITED: Final = "unlimited"


class BadKeys(ValueError):
    """`EKIBEN_API_KEYS` cannot be read; the message never holds a key."""


class TokenBucket:
    """`rate` requests a second on average, bursts of one second's worth. Each worker has its own."""

    __slots__ = ("_burst", "_rate", "_tokens", "_updated")

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._burst = self._tokens = max(rate, 1.0)
        self._updated = -math.inf

    def take(self, now: float) -> float:
        """Take a token: 0.0, or, when there is none, the seconds until there will be."""
        self._tokens = min(self._burst, self._tokens + (now - self._updated) * self._rate)
        self._updated = now
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            return 0.0
        return (1.0 - self._tokens) / self._rate


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What a key may do. `name` is the start of its SHA-256: what metrics and logs call it."""

    digest: bytes
    name: str
    scopes: frozenset[str]
    bucket: TokenBucket | None


class Keys:
    """Checks keys. `EKIBEN_API_KEYS` is `key[:scope+scope[:requests a second]]`, several with commas.

    A key without a rate has the one for all, `unlimited` none. Without keys everyone is let in.
    """

    def __init__(self, keys: tuple[ApiKey, ...] = ()) -> None:
        self._keys = keys

    @classmethod
    def from_setting(cls, text: str, rate: float = DEFAULT_RATE) -> Keys:
        """Read the setting; `rate` (requests a second, 0 for no limit) is for keys without one of their own.

        Raises `BadKeys`.
        """
        parts = text.split(",") if text else []
        keys = tuple(_read_key(part, place, rate) for place, part in enumerate(parts, 1))
        if len({key.digest for key in keys}) < len(keys):
            raise BadKeys("EKIBEN_API_KEYS: the same key stands there twice")
        return cls(keys)

    @property
    def is_open(self) -> bool:
        """Whether no key is asked for."""
        return not self._keys

    def admit(self, given: bytes | None, scope: str, now: float) -> str:
        """The name of the key that was given. Raises `Unauthorized`, `Forbidden` or `TooManyRequests`."""
        if given is None:
            raise Unauthorized("give a key: Authorization: Bearer KEY")
        digest = hashlib.sha256(given).digest()
        found = None
        # Every key is compared, each in constant time: the time tells nothing about them.
        for key in self._keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        if found is None:
            raise Unauthorized("this key is not known")
        if scope not in found.scopes:
            raise Forbidden(f"this key may not {scope}")
        if found.bucket is not None and (wait_s := found.bucket.take(now)):
            raise TooManyRequests("this key's rate is used up", retry_after_s=int(wait_s) + 1)
        return found.name


def _read_key(text: str, place: int, rate: float) -> ApiKey:
    key, scopes_text, rate_text = (part.strip() for part in (*text.split(":", 2), "", "")[:3])
    if not key:
        raise BadKeys(f"EKIBEN_API_KEYS: key {place} is empty")
    if len(key) < LEAST_SECRET:
        raise BadKeys(f"EKIBEN_API_KEYS: key {place} has {len(key)} characters: at least {LEAST_SECRET}")
    scopes = frozenset(scope.strip() for scope in scopes_text.split("+")) if scopes_text else SCOPES
    if not scopes <= SCOPES:
        raise BadKeys(
            f"EKIBEN_API_KEYS: key {place} has an unknown scope; there are {', '.join(sorted(SCOPES))}"
        )
    if rate_text == _UNLIMITED:
        rate = 0.0
    elif rate_text:
        try:
            rate = float(rate_text)
        except ValueError:
            rate = 0.0
        if not 0 < rate < 1e9:
            raise BadKeys(
                f"EKIBEN_API_KEYS: key {place} needs a rate above 0, in requests a second, or `{_UNLIMITED}`"
            )
    bucket = TokenBucket(rate) if rate else None
    digest = hashlib.sha256(os.fsencode(key)).digest()  # the bytes that were set, UTF-8 or not
    return ApiKey(digest, digest.hex()[:12], scopes, bucket)


def given_key(authorization: bytes | None) -> bytes | None:
    """The key in an `Authorization: Bearer` header."""
    if authorization is None:
        return None
    scheme, _, key = authorization.partition(b" ")
    return key.strip() if scheme.lower() == b"bearer" and key.strip() else None
