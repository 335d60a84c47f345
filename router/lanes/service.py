"""The HTTP border to the servers of models: one call, its answer checked, foreign errors translated."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Protocol

import orjson

from ekiben.experiments.version import Version
from ekiben.process.traces import Traces
from router.errors import DeadlinePassed, VersionFailed, VersionMalformed, VersionUnavailable
from router.http.client import Client, NoResponse, Response, Session, TooLong
from router.lanes.answer import UNKNOWN_OUTPUT, OutputFields, read_item
from router.lanes.dialects.dialect import BulkAnswer, ServiceInfo
from router.lanes.dialects.table import dialect_of
from router.lanes.lag import LoopLag

_MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
_MAX_INFO_BYTES: Final = 4 * 1024 * 1024


class ModelService(Protocol):
    """One endpoint of a version. Every failure is a `VersionFailed`."""

    async def bulk(
        self, rows: Sequence[bytes], timeout_s: float, output: OutputFields, parents: Sequence[bytes] = ()
    ) -> BulkAnswer:
        """Answer `rows` (canonical JSON objects), in order, each answer checked for the fields of `output`.

        `parents` are the `traceparent`s of the requests that the rows come from.
        """
        ...

    async def info(self, timeout_s: float) -> ServiceInfo:
        """What the service tells of itself."""
        ...


class HttpService:
    """The server at `url`, asked as `spec` says; `host` is its name where the URL has only one of its
    addresses.
    """

    def __init__(
        self,
        session: Session,
        spec: Version,
        url: str,
        host: str | None = None,
        traces: Traces | None = None,
        lag: LoopLag | None = None,
    ) -> None:
        self._client = Client(session, url, host, spec.ca)
        self._dialect = dialect_of(spec)
        self._secrets = spec.headers
        self._traces = traces
        self._lag = lag or LoopLag()
        self._url = f"{url}{self._dialect.target.decode()}"

    async def bulk(
        self, rows: Sequence[bytes], timeout_s: float, output: OutputFields, parents: Sequence[bytes] = ()
    ) -> BulkAnswer:
        """One call. It belongs to the trace of the first of `parents`; a span of its own is linked to the
        others.
        """
        if self._dialect.needs_info:
            begun = time.monotonic()
            await self.info(timeout_s)
            timeout_s = max(timeout_s - (time.monotonic() - begun), 0.0)
        if self._traces is None:
            return await self._bulk(rows, timeout_s, output, parents[0] if parents else None)
        span = self._traces.begin("bulk call", "client", parents)
        span.set(ekiben__rows=len(rows), url__full=self._url, http__request__method="POST")
        error: str | None = None
        try:
            answer = await self._bulk(rows, timeout_s, output, span.traceparent)
            span.set(ekiben__model_version=answer.model_version)
        except VersionFailed as failure:
            error = str(failure)
            raise
        finally:
            span.end(error)
        return answer

    async def _bulk(
        self, rows: Sequence[bytes], timeout_s: float, output: OutputFields, parent: bytes | None
    ) -> BulkAnswer:
        dialect = self._dialect
        headers = b"" if parent is None else b"traceparent: %b\r\n" % parent
        body = dialect.write(rows)
        response = await self._ask(dialect.target, timeout_s, _MAX_ANSWER_BYTES, body, headers)
        return dialect.read(response, len(rows), output)

    async def info(self, timeout_s: float) -> ServiceInfo:
        """What the server tells of itself."""
        response = await self._ask(self._dialect.info_target, timeout_s, _MAX_INFO_BYTES)
        return self._dialect.read_info(response)

    async def _ask(
        self, target: bytes, timeout_s: float, limit: int, json: bytes | None = None, headers: bytes = b""
    ) -> Response:
        try:
            if self._secrets:
                headers += _header_lines(self._secrets)
            async with self._lag.limit(timeout_s):
                return await self._client.ask(target, limit, json, headers)
        except TimeoutError:
            raise DeadlinePassed(f"no answer within {timeout_s * 1000:.0f} ms") from None
        except TooLong:
            raise VersionMalformed("an answer of absurd length") from None
        except (NoResponse, OSError, ValueError) as error:
            raise VersionUnavailable(f"{type(error).__name__}: {error}") from None


def _header_lines(secrets: Mapping[str, str]) -> bytes:
    """The lines of the headers whose values are environment variables. Raises `VersionUnavailable`."""
    lines = b""
    for name, reference in secrets.items():
        variable = reference.removeprefix("env:")
        value = os.environ.get(variable, "")
        if not value or not value.isascii() or not value.isprintable():
            what = "is not one line of ASCII" if value else "is not set"
            raise VersionUnavailable(f"{variable}, the router's variable for the header {name}, {what}")
        lines += b"%b: %b\r\n" % (name.encode(), value.encode())
    return lines


@dataclass(eq=False)
class InMemoryService:
    """A model service in the process: `answer` turns a row's features into an item, or raises."""

    answer: Callable[[dict[str, Any]], dict[str, Any]]
    model_version: str = "model_v1:test"
    output: OutputFields = UNKNOWN_OUTPUT
    calls: list[list[dict[str, Any]]] = field(default_factory=list, init=False)

    async def bulk(
        self, rows: Sequence[bytes], timeout_s: float, output: OutputFields, parents: Sequence[bytes] = ()
    ) -> BulkAnswer:
        """Answer each row; the call is noted in `calls`."""
        features = [orjson.loads(row) for row in rows]
        self.calls.append(features)
        tag = self.model_version
        return BulkAnswer(tag, [read_item(self.answer(row), tag, output) for row in features])

    async def info(self, timeout_s: float) -> ServiceInfo:
        """The model version and the output fields."""
        raw = {"model_version": self.model_version, "output": asdict(self.output)}
        return ServiceInfo(self.model_version, self.output, raw)
