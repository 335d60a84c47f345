"""What the admin API refuses, as `application/problem+json` (RFC 9457): one table from errors to statuses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from starlette.responses import Response

from ekiben.control.acting.editing import NoDocument, Stale, UnknownExperiment
from ekiben.control.auth import TooManyAttempts
from ekiben.control.recording.forgetting import NotForgotten
from ekiben.experiments.problems import DocumentError
from ekiben.state.connecting import StateUnavailable
from ekiben.state.documents.document import Conflict
from ekiben.state.user import SaltMissing


class BadRequest(Exception):
    """The request cannot be read as what it should be."""


class BodyTooLarge(Exception):
    """More bytes than the limit."""


class Unauthorized(Exception):
    """No admin token, or a wrong one."""


class Forbidden(Exception):
    """Known, and not allowed to do this."""


class NotFound(Exception):
    """No such page, or nothing there yet."""


class MethodNotAllowed(Exception):
    """The page exists, but not for this method."""


_TABLE: Final[tuple[tuple[type[Exception], int, str, str], ...]] = (
    (BadRequest, 400, "bad-request", "The request cannot be read"),
    (Unauthorized, 401, "unauthorized", "The admin token is needed"),
    (Forbidden, 403, "forbidden", "Not allowed"),
    (NotFound, 404, "not-found", "Not found"),
    (UnknownExperiment, 404, "not-found", "Not found"),
    (MethodNotAllowed, 405, "method-not-allowed", "Method not allowed"),
    (NoDocument, 409, "no-experiments", "There are no experiments yet"),
    (Stale, 409, "stale", "The experiments have changed"),
    (Conflict, 409, "stale", "The experiments have changed"),
    (BodyTooLarge, 413, "body-too-large", "The body is too large"),
    (DocumentError, 422, "refused", "This is not possible"),
    (TooManyAttempts, 429, "too-many-attempts", "Too many wrong tokens"),
    (StateUnavailable, 503, "state-unavailable", "The state Redis does not answer"),
    (NotForgotten, 503, "not-forgotten", "The user is not forgotten yet"),
    (SaltMissing, 503, "salt-missing", "The salt of the user ids is not known"),
    (Exception, 500, "internal-error", "An error in the controller"),
)


class Problem(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What every refusal says."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[str] = []
    """Of a refused document: a line for each reason."""
    revision: int | None = None
    meanwhile: list[dict[str, Any]] = []
    """Of a change that was decided on an older revision: what was changed since, newest first."""


def titles(errors: Sequence[type[Exception]] | None = None) -> dict[int, str]:
    """What the refusals with these errors, or all of them, are called, by their status."""
    found: dict[int, list[str]] = {}
    for error, status, _, title in _TABLE:
        if errors is None or error in errors:
            found.setdefault(status, []).append(title)
    return {status: " / ".join(dict.fromkeys(each)) for status, each in found.items()}


def problem_response(error: Exception) -> Response:
    """The response that reports `error`. An unexpected one is not described."""
    status, name, title = next(row[1:] for row in _TABLE if isinstance(error, row[0]))
    shown = status < 500 or isinstance(error, NotForgotten | SaltMissing)
    detail = _detail(error) if shown else title
    problem = Problem(type=f"urn:ekiben:problem:{name}", title=title, status=status, detail=detail)
    headers = {}
    if isinstance(error, DocumentError):
        problem.errors = list(error.problems)
    elif isinstance(error, Stale):
        problem.revision = error.revision
        problem.meanwhile = [
            {"revision": each.revision, "who": each.who, "why": each.why, "changes": list(each.changes)}
            for each in error.meanwhile
        ]
    elif isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    elif isinstance(error, MethodNotAllowed):
        headers["Allow"] = str(error)
    elif isinstance(error, TooManyAttempts):
        headers["Retry-After"] = str(error.retry_after_s)
    elif isinstance(error, StateUnavailable):
        headers["Retry-After"] = "1"
    content = msgspec.json.encode(problem)
    return Response(content, status, headers=headers, media_type="application/problem+json")


def _detail(error: Exception) -> str:
    if isinstance(error, Conflict):
        return "the experiments were changed at the same moment: look again and decide again"
    if isinstance(error, MethodNotAllowed):
        return f"use {error}"
    if isinstance(error, DocumentError):
        return "; ".join(error.problems)
    return str(error)
