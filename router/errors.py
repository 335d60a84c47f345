"""What can go wrong on the way to an answer. These know no HTTP: `problems` maps them."""

from __future__ import annotations

from typing import Any


class RouterError(Exception):
    """Anything the app notices and tells the client; the message is for people."""

    retry_after_s: int | None = None
    """After how long to try again, None where that would not help."""


class BadRequest(RouterError):
    """The request cannot be read: no strict JSON, a field missing or unknown, a wrong type, an empty user."""


class OutcomesRefused(BadRequest):
    """The outcomes cannot be taken: `errors` tells which, and why. None of them was."""

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        super().__init__("the outcomes cannot be read: none of them was taken")
        self.errors = errors


class BodyTooLarge(RouterError):
    """The body has more bytes or more elements than the router is set to take."""


class NotJson(RouterError):
    """The `Content-Type` of the body is missing, or is not `application/json`."""


class EncodedBody(RouterError):
    """The body is compressed. Nothing is unpacked here."""


class UnknownHost(RouterError):
    """The `Host` header is missing, or has a name that the router does not answer to."""


class ForeignOrigin(RouterError):
    """A web page of another site has sent the request. `EKIBEN_ALLOWED_ORIGINS` lists those that may."""


class Unauthorized(RouterError):
    """No key, or one that is not known, where keys are set."""


class Forbidden(RouterError):
    """The key may not do this."""


class TooManyRequests(RouterError):
    """The key's rate is used up."""

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TooSlow(RouterError):
    """The client took too long to send its request."""


class UnknownName(RouterError):
    """There is no such model, version, experiment or page."""


class MethodNotAllowed(RouterError):
    """The page exists, but not for this method."""

    def __init__(self, allowed: str) -> None:
        super().__init__(f"use {allowed}")
        self.allowed = allowed


class RowRefused(RouterError):
    """The model service refused the features. `errors` tells which and why, and there is no fallback."""

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        super().__init__("the model service refused the features")
        self.errors = errors


class Overloaded(RouterError):
    """Too many wait already, or the request could not be answered in time."""

    retry_after_s = 1


class StateAway(RouterError):
    """The state Redis has not confirmed in time what it was to keep."""

    retry_after_s = 1


class StateNotDurable(StateAway):
    """The state Redis would lose what it confirms, so nothing is confirmed."""


class NotReady(RouterError):
    """The router has no experiments to route by, or is stopping."""

    retry_after_s = 1


class VersionFailed(RouterError):
    """A version could not answer. Live answers in its place where it can."""


class VersionUnavailable(VersionFailed):
    """No endpoint of the version could be reached, or none is let through by its breaker."""


class RowNotTried(VersionUnavailable):
    """The service had no time for this row beside others on which its model fails."""


class BulkFailed(VersionUnavailable):
    """The service failed on a bulk call as a whole (500): one of its rows may be why, or the service."""


class VersionMalformed(BulkFailed):
    """The version answered with something that is no answer."""


class BulkRefused(VersionFailed):
    """The service refused a bulk call as a whole (400, 413, 422): one of its rows may be why."""


class DeadlinePassed(VersionFailed):
    """The model's `timeout_ms` was over before there was an answer."""


class InternalError(RouterError):
    """An unexpected fault of the router's own. Its log has more."""
