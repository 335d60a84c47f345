"""Errors as `application/problem+json` (RFC 9457): one table from domain errors to HTTP."""

from __future__ import annotations

from typing import Any, Final

import orjson

from router import errors

PROBLEM_TYPE: Final = b"application/problem+json"

# The first class that fits decides, so the special ones stand before the general ones.
_TABLE: Final[tuple[tuple[type[errors.RouterError], int, str, str], ...]] = (
    (errors.BadRequest, 400, "bad-request", "The request cannot be read"),
    (errors.Unauthorized, 401, "unauthorized", "A key is needed"),
    (errors.Forbidden, 403, "forbidden", "Not allowed"),
    (errors.ForeignOrigin, 403, "foreign-origin", "Pages of this site may not ask"),
    (errors.UnknownName, 404, "not-found", "Not found"),
    (errors.MethodNotAllowed, 405, "method-not-allowed", "Method not allowed"),
    (errors.TooSlow, 408, "too-slow", "The request took too long to arrive"),
    (errors.BodyTooLarge, 413, "body-too-large", "The body is too large"),
    (errors.NotJson, 415, "not-json", "The body is not sent as JSON"),
    (errors.EncodedBody, 415, "body-encoded", "The body is compressed"),
    (errors.UnknownHost, 421, "unknown-host", "Not a name of this router"),
    (errors.RowRefused, 422, "features-refused", "The features were refused"),
    (errors.TooManyRequests, 429, "too-many-requests", "Too many requests"),
    (errors.Overloaded, 503, "overloaded", "Too busy"),
    (errors.StateNotDurable, 503, "state-not-durable", "Nothing would be kept"),
    (errors.StateAway, 503, "state-away", "Nothing can be kept now"),
    (errors.NotReady, 503, "not-ready", "Not ready"),
    (errors.DeadlinePassed, 504, "deadline-passed", "The deadline passed"),
    (errors.VersionFailed, 502, "version-failed", "The model could not answer"),
    (errors.InternalError, 500, "internal-error", "An error in the router"),
)

Headers = list[tuple[bytes, bytes]]


def render_problem(error: errors.RouterError, request_id: str) -> tuple[int, Headers, bytes]:
    """Status, headers and body for `error`."""
    status, name, title = _entry(error)
    problem: dict[str, Any] = {
        "type": f"urn:ekiben:problem:{name}",
        "title": title,
        "status": status,
        "detail": str(error),
        "request_id": request_id,
    }
    headers: Headers = [(b"content-type", PROBLEM_TYPE)]
    if isinstance(error, errors.RowRefused | errors.OutcomesRefused):
        problem["errors"] = error.errors
    elif isinstance(error, errors.MethodNotAllowed):
        headers.append((b"allow", error.allowed.encode()))
    elif isinstance(error, errors.Unauthorized):
        headers.append((b"www-authenticate", b"Bearer"))
    elif isinstance(error, errors.EncodedBody):
        headers.append((b"accept-encoding", b"identity"))
    elif isinstance(error, errors.TooSlow):
        headers.append((b"connection", b"close"))
    elif isinstance(error, errors.Overloaded | errors.TooManyRequests):
        headers.append((b"retry-after", str(error.retry_after_s).encode()))
    elif isinstance(error, errors.NotReady | errors.StateAway):
        headers.append((b"retry-after", b"1"))
    return status, headers, orjson.dumps(problem)


def _entry(error: errors.RouterError) -> tuple[int, str, str]:
    for kind, status, name, title in _TABLE:
        if isinstance(error, kind):
            return status, name, title
    raise TypeError(f"{type(error).__name__} is missing in the table of problems")
