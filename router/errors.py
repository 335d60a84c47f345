"""What can go wrong on the way to an answer. These know no HTTP: `problems` maps them."""

from __future__ import annotations

from typing import Any


class RouterError(Exception):
    """Anything the app notices and tells the client; the message is for people."""


class BadRequest(RouterError):
    """The request cannot be read as what it should be."""


class OutcomesRefused(BadRequest):
    """The outcomes cannot be taken: `errors` tells which, and why. None of them was."""

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        super().__init__("the outcomes cannot be read: none of them was taken")
        self.errors = errors


class BodyTooLarge(RouterError):
    """More bytes than the limit."""


class NotJson(RouterError):
    """The body is of another media type than JSON."""


class EncodedBody(RouterError):
    """The body is compressed."""


class UnknownHost(RouterError):
    """The request was sent to a name that the router does not answer to."""


class ForeignOrigin(RouterError):
    """A web page of another site has sent the request."""


class Unauthorized(RouterError):
    """No key, or one that is not known."""


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
    """No such model, experiment or page."""


class MethodNotAllowed(RouterError):
    """The page exists, but not for this method."""

    def __init__(self, allowed: str) -> None:
        super().__init__(f"use {allowed}")
        self.allowed = allowed


class RowRefused(RouterError):
    """The model service refused these features; nobody else will take them either."""

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        super().__init__("the model service refused the features")
        self.errors = errors


class Overloaded(RouterError):
    """The queue is full, or the request could not make its deadline."""

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StateAway(RouterError):
    """The state Redis has not confirmed in time what it was to keep."""


class StateNotDurable(StateAway):
    """The state Redis would lose what it confirms, so nothing is confirmed."""


class NotReady(RouterError):
    """The router has no experiments to route by, or is stopping."""


class VersionFailed(RouterError):
    """A version could not answer. Live stands in for it, unless it is live itself."""


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
    """The time was over before there was an answer."""


class InternalError(RouterError):
    """Something that nobody foresaw; the log has it."""
