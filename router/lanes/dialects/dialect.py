"""What a dialect is: how a call for rows is written, and how its response is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from router.errors import BulkFailed, BulkRefused, VersionFailed, VersionUnavailable
from router.http.client import Response
from router.lanes.answer import OutputFields, Row, is_usable

# With these a service speaks of what it was sent; any other refusal speaks of the service.
ROW_STATUSES: Final = frozenset({400, 413, 422})


@dataclass(frozen=True, slots=True)
class BulkAnswer:
    """A server's answer to a call: what answered, and what became of each row."""

    model_version: str
    rows: list[Row]

    @property
    def is_usable(self) -> bool:
        """Whether a row is answered or refused, which only an endpoint that works does."""
        return any(map(is_usable, self.rows))


@dataclass(frozen=True, slots=True)
class ServiceInfo:
    """What a server tells of itself that the router uses, and all of it for `GET /models/{model}`."""

    model_version: str
    output: OutputFields
    raw: dict[str, Any]


class Dialect(Protocol):
    """How one endpoint is asked. Made for it alone, since it may remember what the server is."""

    target: bytes
    """Where calls are POSTed."""
    info_target: bytes
    """What is read to find out what the server is."""

    @property
    def needs_info(self) -> bool:
        """Whether the server must be asked what it is before it is called: its answers do not tell it."""
        ...

    def write(self, rows: Sequence[bytes]) -> bytes:
        """The body of a call for these rows (canonical JSON objects)."""
        ...

    def read(self, response: Response, rows: int, output: OutputFields) -> BulkAnswer:
        """Check the response to a call for so many rows, each row by itself. Raises `VersionFailed`."""
        ...

    def read_info(self, response: Response) -> ServiceInfo:
        """What the server is. Raises `VersionFailed`."""
        ...


def failure(status: int, why: str = "") -> VersionFailed:
    """What a call has failed with that was answered with this status, other than 200."""
    more = f": {why}" if why else ""
    if status in ROW_STATUSES:
        return BulkRefused(f"the service refused the call with status {status}{more}")
    if status == 500:
        return BulkFailed("the service answered with status 500")
    return VersionUnavailable(f"the service answered with status {status}")
