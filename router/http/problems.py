"""Errors as `application/problem+json` (RFC 9457): one table from domain errors to HTTP.

The API's description is derived from it: what a status means is what the docstrings of its errors say.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, NamedTuple

import msgspec
from msgspec import UNSET, Meta, UnsetType

from router import errors

PROBLEM_TYPE: Final = b"application/problem+json"
Headers = list[tuple[bytes, bytes]]


class Body(msgspec.Struct, forbid_unknown_fields=True):
    """A JSON object with these fields and no others."""


def about(description: str, form: str | None = None) -> Meta:
    """What the API's description says of a field, and the format of its text."""
    return Meta(description=description, extra_json_schema=None if form is None else {"format": form})


RequestId = Annotated[str, about("The request's id, taken or made")]


class Wrong(Body):
    """One thing that is wrong."""

    loc: Annotated[list[str | int], about("Where: the path in the features, or in the body")]
    msg: Annotated[str, about("Why")]


class Problem(Body):
    """RFC 9457."""

    type: Annotated[str, about("What kind of problem it is, for programs", "uri")]
    title: Annotated[str, about("The kind in words")]
    status: Annotated[int, about("The HTTP status"), Meta(ge=400, le=599)]
    detail: Annotated[str, about("What happened this time, for people")]
    request_id: RequestId


class BadRequestBody(Problem):
    """RFC 9457, with the outcomes at fault."""

    errors: Annotated[list[Wrong], about("Of outcomes: what is wrong with which")] | UnsetType = UNSET


class Refusal(Problem):
    """RFC 9457, with the features at fault."""

    errors: Annotated[list[Wrong], about("What is wrong with the features")]


class Row(NamedTuple):
    """A row of the table: a domain error, its status, type and title, and what such a problem may say."""

    error: type[errors.RouterError]
    status: int
    name: str
    title: str
    example: str


_HOST: Final = "this router does not answer to the name 'shop'; EKIBEN_ALLOWED_HOSTS lists other names"

# The first class that fits decides, so the special ones stand before the general ones.
TABLE: Final = (
    Row(errors.BadRequest, 400, "bad-request", "The request cannot be read", "`features` is missing"),
    Row(errors.Unauthorized, 401, "unauthorized", "A key is needed", "this key is not known"),
    Row(errors.Forbidden, 403, "forbidden", "Not allowed", "this key may not predict"),
    Row(errors.ForeignOrigin, 403, "foreign-origin", "Pages of this site may not ask", "pages may not call"),
    Row(errors.UnknownName, 404, "not-found", "Not found", "there is no model 'credits'"),
    Row(errors.MethodNotAllowed, 405, "method-not-allowed", "Method not allowed", "use POST"),
    Row(
        errors.TooSlow, 408, "too-slow", "The request took too long to arrive", "a body has to arrive in 10 s"
    ),
    Row(errors.BodyTooLarge, 413, "body-too-large", "The body is too large", "a body may have 1048576 bytes"),
    Row(errors.NotJson, 415, "not-json", "The body is not sent as JSON", "send the body as JSON"),
    Row(errors.EncodedBody, 415, "body-encoded", "The body is compressed", "send the body as it is"),
    Row(errors.UnknownHost, 421, "unknown-host", "Not a name of this router", _HOST),
    Row(errors.RowRefused, 422, "features-refused", "The features were refused", "the features were refused"),
    Row(errors.TooManyRequests, 429, "too-many-requests", "Too many requests", "this key's rate is used up"),
    Row(errors.Overloaded, 503, "overloaded", "Too busy", "4096 requests are waiting for this version"),
    Row(errors.StateNotDurable, 503, "state-not-durable", "Nothing would be kept", "appendonly is off"),
    Row(errors.StateAway, 503, "state-away", "Nothing can be kept now", "Redis did not confirm the outcomes"),
    Row(errors.NotReady, 503, "not-ready", "Not ready", "there are no experiments to route by yet"),
    Row(
        errors.DeadlinePassed, 504, "deadline-passed", "The deadline passed", "no answer before the deadline"
    ),
    Row(errors.VersionFailed, 502, "version-failed", "The model could not answer", "connection refused"),
    Row(errors.InternalError, 500, "internal-error", "An error in the router", "the router's log has more"),
)


_HEADERS: Final[dict[type[errors.RouterError], tuple[bytes, bytes]]] = {
    errors.Unauthorized: (b"www-authenticate", b"Bearer"),
    errors.EncodedBody: (b"accept-encoding", b"identity"),
    errors.TooSlow: (b"connection", b"close"),
}


def render_problem(error: errors.RouterError, request_id: str) -> tuple[int, Headers, bytes]:
    """Status, headers and body for `error`."""
    row = next(row for row in TABLE if isinstance(error, row.error))
    problem = problem_of(row, str(error), request_id, getattr(error, "errors", None))
    return row.status, _headers(error), msgspec.json.encode(problem)


def problem_of(row: Row, detail: str, request_id: str, wrong: list[dict[str, Any]] | None = None) -> Problem:
    """The body of a problem of this row; `wrong` is what an error that has details lists."""
    given = f"urn:ekiben:problem:{row.name}", row.title, row.status, detail, request_id
    if wrong is None:
        return Problem(*given)
    kind = Refusal if row.error is errors.RowRefused else BadRequestBody
    return kind(*given, [Wrong(**each) for each in wrong])


def _headers(error: errors.RouterError) -> Headers:
    headers: Headers = [(b"content-type", PROBLEM_TYPE)]
    if type(error) in _HEADERS:
        headers.append(_HEADERS[type(error)])
    if isinstance(error, errors.MethodNotAllowed):
        headers.append((b"allow", error.allowed.encode()))
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % error.retry_after_s))
    return headers
