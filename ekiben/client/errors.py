"""Why there is no good answer: errors that an application tells apart."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from typing import NamedTuple

import msgspec


class ClientError(Exception):
    """There is no good answer. The message is one line."""


class NoAnswer(ClientError):
    """Nothing answered, or the connection broke. What was sent may have arrived.

    `refused`: nobody listens at the address.
    """

    refused = False


class TimedOut(NoAnswer):
    """No answer came in time. What was sent may have arrived."""


class BadAnswer(ClientError):
    """What answers at the address is no router, or redirects to another address."""


class Wrong(NamedTuple):
    """One thing that is wrong: where (the path in the features, or in the body) and why."""

    loc: tuple[str | int, ...]
    msg: str

    def __str__(self) -> str:
        return ": ".join(filter(None, [".".join(map(str, self.loc)), self.msg]))


class Problem(ClientError):
    """The answer is an error (RFC 9457).

    `type` is for programs, such as `urn:ekiben:problem:overloaded`, and empty where something before the
    router has answered. `title` says what kind of problem it is, `detail` what happened this time, `errors`
    what is wrong with the features or with which outcome. `retry_after_s` is after how many seconds to ask
    again, 0.0 where the answer does not say so.
    """

    def __init__(self, status: int, body: bytes = b"", retry_after: str = "") -> None:
        told = _told(body)
        self.status = status
        self.type = told.type
        self.title = told.title
        self.detail = told.detail
        self.request_id = told.request_id
        self.errors = tuple(Wrong(each.loc, each.msg) for each in told.errors)
        self.retry_after_s = float(retry_after) if retry_after.isascii() and retry_after.isdigit() else 0.0
        line = told.detail or told.title
        what = f"{status}: {line}" if line else f"the router answered {status}"
        super().__init__("; ".join([what, *map(str, self.errors)]))


class Refused(Problem):
    """The request is at fault (4xx, but 429): the same request will be refused again."""


class Unauthorized(Refused):
    """The key is missing, not known or not allowed to do this (401, 403)."""


class FeaturesRefused(Refused):
    """The model refused the features (422). `errors` names the fields."""


class Unavailable(Problem):
    """The router or the version cannot answer now, or the key's rate is used up (5xx, 429)."""


def problem_of(status: int, body: bytes, retry_after: str) -> Problem:
    """The error that an answer stands for."""
    kind: type[Problem] = Unavailable if status == 429 or not 400 <= status < 500 else Refused
    if kind is Refused:
        kind = {401: Unauthorized, 403: Unauthorized, 422: FeaturesRefused}.get(status, Refused)
    return kind(status, body, retry_after)


def no_answer(error: BaseException) -> NoAnswer:
    """The error that an HTTP library's failure to get an answer stands for, with its cause in a few words."""
    causes = list(_causes(error))
    found = NoAnswer(_why(causes[-1]))
    found.refused = any(isinstance(each, ConnectionRefusedError) for each in causes)
    return found


def _causes(error: BaseException) -> Iterator[BaseException]:
    # Not the context of an error: that may be the application's own.
    each: BaseException | None = error
    while each is not None:
        yield each
        each = each.__cause__ or next((arg for arg in each.args if isinstance(arg, BaseException)), None)


def _why(error: BaseException) -> str:
    if isinstance(error, ssl.SSLError):
        return str(getattr(error, "verify_message", "") or error.reason or error)
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return str(getattr(error, "strerror", None) or error or type(error).__name__)


class _Wrong(msgspec.Struct):
    loc: tuple[str | int, ...]
    msg: str


class _Told(msgspec.Struct):
    type: str = ""
    title: str = ""
    detail: str = ""
    request_id: str = ""
    errors: tuple[_Wrong, ...] = ()


def _told(body: bytes) -> _Told:
    try:
        return msgspec.json.decode(body, type=_Told)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Told()
