"""The HTTP border to model services: one bulk call, its answer checked, foreign errors translated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Protocol

import orjson

from ekiben.process.traces import Traces
from router.errors import (
    BulkFailed,
    BulkRefused,
    DeadlinePassed,
    VersionFailed,
    VersionMalformed,
    VersionUnavailable,
)
from router.http.client import Client, NoResponse, Response, Session, TooLong
from router.lanes.answer import UNKNOWN_OUTPUT, OutputFields, Row, is_usable, read_item
from router.lanes.lag import LoopLag

_MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
_MAX_INFO_BYTES: Final = 4 * 1024 * 1024
# With these a service speaks of what it was sent; any other refusal speaks of the service.
_ROW_STATUSES: Final = frozenset({400, 413, 422})


@dataclass(frozen=True, slots=True)
class BulkAnswer:
    """A service's answer to a bulk call: what answered, and what became of each row."""

    model_version: str
    rows: list[Row]

    @property
    def is_usable(self) -> bool:
        """Whether a row is answered or refused, which only an endpoint that works does."""
        return any(map(is_usable, self.rows))


@dataclass(frozen=True, slots=True)
class ServiceInfo:
    """What `/model/info` tells that the router uses, and all of it for `GET /models/{model}`."""

    model_version: str
    output: OutputFields
    raw: dict[str, Any]


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
        """The service's `/model/info`."""
        ...


def read_bulk(model_version: str, body: bytes, rows: int, output: OutputFields) -> BulkAnswer:
    """Check the body of a bulk answer, each row's part by itself. Raises `VersionMalformed`."""
    if not model_version or not model_version.isprintable():  # bytes that are no UTF-8 are not printable
        raise VersionMalformed("an answer without a readable X-Model-Version")
    try:
        items = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise VersionMalformed(f"an answer that is not JSON: {error}") from None
    if type(items) is not list or len(items) != rows:
        raise VersionMalformed(f"an answer that is not an array of {rows}")
    return BulkAnswer(model_version, [read_item(item, model_version, output) for item in items])


def read_info(raw: Any) -> ServiceInfo:
    """Check what `/model/info` gave. Raises `VersionMalformed`."""
    if type(raw) is not dict or type(raw.get("model_version")) is not str or not raw["model_version"]:
        raise VersionMalformed("/model/info without a model_version")
    try:
        orjson.dumps(raw)  # orjson reads deeper nesting than it writes, and this is shown to people
    except orjson.JSONEncodeError:
        raise VersionMalformed("/model/info cannot be written as JSON again") from None
    output = raw.get("output")
    fields = UNKNOWN_OUTPUT
    if type(output) is dict:
        score, decision = output.get("score"), output.get("decision")
        fields = OutputFields(
            score if type(score) is str else None, decision if type(decision) is str else None
        )
    return ServiceInfo(raw["model_version"], fields, raw)


class HttpService:
    """A model service at `url`; `host` is its name where the URL has only one of its addresses."""

    def __init__(
        self,
        session: Session,
        url: str,
        host: str | None = None,
        traces: Traces | None = None,
        lag: LoopLag | None = None,
    ) -> None:
        self._client = Client(session, url, host)
        self._traces = traces
        self._lag = lag or LoopLag()
        self._bulk_url = f"{url}/bulk"

    async def bulk(
        self, rows: Sequence[bytes], timeout_s: float, output: OutputFields, parents: Sequence[bytes] = ()
    ) -> BulkAnswer:
        """`POST /bulk`. It belongs to the trace of the first of `parents`; a span of its own is linked to the
        others.
        """
        if self._traces is None:
            return await self._bulk(rows, timeout_s, output, parents[0] if parents else None)
        span = self._traces.begin("bulk call", "client", parents)
        span.set(ekiben__rows=len(rows), url__full=self._bulk_url, http__request__method="POST")
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
        headers = b"" if parent is None else b"traceparent: %b\r\n" % parent
        body = b"[%b]" % b",".join(rows)
        response = await self._ask(b"/bulk", timeout_s, _MAX_ANSWER_BYTES, body, headers)
        if response.status == 200:
            tag = response.headers.get(b"x-model-version", b"").decode("utf-8", "surrogateescape")
            return read_bulk(tag, response.body, len(rows), output)
        if response.status in _ROW_STATUSES:
            raise BulkRefused(f"the service refused the call with status {response.status}")
        if response.status == 500:
            raise BulkFailed("the service answered with status 500")
        raise VersionUnavailable(f"the service answered with status {response.status}")

    async def info(self, timeout_s: float) -> ServiceInfo:
        """`GET /model/info`."""
        response = await self._ask(b"/model/info", timeout_s, _MAX_INFO_BYTES)
        if response.status != 200:
            raise VersionUnavailable(f"/model/info answered with status {response.status}")
        try:
            return read_info(orjson.loads(response.body))
        except orjson.JSONDecodeError as error:
            raise VersionMalformed(f"/model/info is not JSON: {error}") from None

    async def _ask(
        self, target: bytes, timeout_s: float, limit: int, json: bytes | None = None, headers: bytes = b""
    ) -> Response:
        try:
            async with self._lag.limit(timeout_s):
                return await self._client.ask(target, limit, json, headers)
        except TimeoutError:
            raise DeadlinePassed(f"no answer within {timeout_s * 1000:.0f} ms") from None
        except TooLong:
            raise VersionMalformed("an answer of absurd length") from None
        except (NoResponse, OSError, ValueError) as error:
            raise VersionUnavailable(f"{type(error).__name__}: {error}") from None


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
