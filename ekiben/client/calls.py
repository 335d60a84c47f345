"""What both clients send, how they read answers and when they try again: decided without a socket."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import quote, urlsplit

import msgspec
import orjson

from ekiben.client.errors import BadAnswer, ClientError, Unavailable, problem_of
from ekiben.client.values import Outcome, Prediction

TIMEOUT_S: Final = 5.0
PATIENCE_S: Final = 30.0
CONNECTIONS: Final = 100
_T = TypeVar("_T")
_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 10.0


class Request(NamedTuple):
    """A request to the router; a GET where there is no body."""

    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = {}

    @property
    def method(self) -> str:
        """GET or POST."""
        return "GET" if self.body is None else "POST"


class Answer(NamedTuple):
    """What came back. `headers` ignores the case of names."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Router:
    """Where the router is and what a client was told about asking it."""

    def __init__(
        self, url: str, key: str | None, timeout: float, patience: float, headers: Mapping[str, str] | None
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError(f"the router's address must be like http://HOST:PORT, and is {url!r}")
        if not timeout > 0:
            raise ValueError(f"timeout must be more than 0 seconds, not {timeout!r}")
        if key is not None and not key.isprintable():
            raise ValueError("the key has characters that no HTTP header may have")
        self.url = url.rstrip("/")
        self.timeout = timeout
        self.patience = patience
        self._headers = {"Accept": "application/json", **(headers or {})}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"

    def headers(self, request: Request) -> dict[str, str]:
        """All headers of a request, to be sent in UTF-8."""
        kind = {} if request.body is None else {"Content-Type": "application/json"}
        return {**self._headers, **kind, **request.headers}

    def check(self, answer: Answer, good: Collection[int]) -> bytes:
        """The body of an answer with a good status. Raises `BadAnswer` and `Problem`."""
        if answer.status in good:
            return answer.body
        if answer.status < 300:
            raise self.stranger()
        if answer.status < 400:
            where = answer.headers.get("Location")
            raise BadAnswer(f"{self.url} redirects to {where}, which is not followed")
        raise problem_of(answer.status, answer.body, answer.headers.get("Retry-After", ""))

    def stranger(self) -> BadAnswer:
        """The error for an answer that no router gives."""
        return BadAnswer(f"what answers at {self.url} is not an Ekiben router")

    def read_prediction(self, answer: Answer) -> Prediction:
        """Raises `BadAnswer` and `Problem`."""
        return self._decode(self.check(answer, (200,)), Prediction)

    def read_object(self, answer: Answer, also: Collection[int]) -> dict[str, Any]:
        """A JSON object, answered with 200 or a status of `also`. Raises `BadAnswer` and `Problem`."""
        return self._decode(self.check(answer, (200, *also)), dict[str, Any])

    def check_stored(self, answer: Answer, count: int) -> None:
        """Return where a router has stored so many outcomes. Raises `BadAnswer` and `Problem`."""
        if self._decode(self.check(answer, (202,)), _Accepted).accepted != count:
            raise self.stranger()

    def _decode(self, body: bytes, kind: type[_T]) -> _T:
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise self.stranger() from None


class _Accepted(msgspec.Struct):
    accepted: int


def ask_prediction(
    model: str,
    user: str | None,
    features: Mapping[str, Any],
    attributes: Mapping[str, Any] | None,
    fresh: bool,
    version: str | None,
    headers: Mapping[str, str] | None,
) -> Request:
    """`POST /predict/{model}`. Raises `ClientError` for what no JSON can hold."""
    given = {"user_id": user, "attributes": attributes, "version": version}
    told = {"Cache-Control": "no-cache"} if fresh else {}
    body = _json({"features": dict(features), **_without_none(given)})
    return Request(f"/predict/{quote(model, safe='')}", body, {**told, **(headers or {})})


def send_outcomes(outcomes: Iterable[Outcome]) -> Request:
    """`POST /outcomes`. Raises `ClientError` for what no JSON can hold."""
    return Request("/outcomes", _json({"outcomes": [_without_none(asdict(each)) for each in outcomes]}))


def _without_none(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _json(body: dict[str, Any]) -> bytes:
    """A body. NumPy's numbers are numbers, and NaN is null: JSON has no other word for a missing number."""
    try:
        return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
    except orjson.JSONEncodeError as error:
        raise ClientError(f"the request cannot be written as JSON: {error}") from None


class Tries:
    """When outcomes that may not have been stored are sent again: until `ends`, on the clock of `now`.

    A pause is what the router asks for (`Retry-After`) and a random part of a longest pause, which doubles
    from 0.2 s to 10 s, so that clients which failed at one moment come back at different ones. `chance` draws
    from [0, 1).
    """

    def __init__(self, ends: float, chance: Callable[[], float] = random.random) -> None:
        self._ends = ends
        self._chance = chance
        self._longest = _FIRST_PAUSE_S

    def pause(self, error: ClientError, now: float) -> float:
        """Seconds until the next try. Raises `error` where there is no time left for one."""
        asked = error.retry_after_s if isinstance(error, Unavailable) else 0.0
        left = self._ends - now
        if left <= asked:
            raise error
        drawn = self._longest * self._chance()
        self._longest = min(2 * self._longest, _LONGEST_PAUSE_S)
        return min(asked + drawn, left)
