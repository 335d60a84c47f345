"""Ekiben's own services: `POST /bulk`, and `GET /model/info`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from router.errors import VersionMalformed, VersionUnavailable
from router.http.client import Response
from router.lanes.answer import OutputFields, read_item
from router.lanes.dialects.dialect import BulkAnswer, ServiceInfo, failure


class Native:
    """Each answer comes with its model version, and each row with `ok` or `error`."""

    target = b"/bulk"
    info_target = b"/model/info"
    needs_info = False

    def write(self, rows: Sequence[bytes]) -> bytes:
        """An array of the rows."""
        return b"[%b]" % b",".join(rows)

    def read(self, response: Response, rows: int, output: OutputFields) -> BulkAnswer:
        """Raises `VersionFailed`."""
        if response.status != 200:
            raise failure(response.status)
        tag = response.headers.get(b"x-model-version", b"").decode("utf-8", "surrogateescape")
        if not tag or not tag.isprintable():  # bytes that are no UTF-8 are not printable
            raise VersionMalformed("an answer without a readable X-Model-Version")
        return BulkAnswer(tag, [read_item(item, tag, output) for item in array_of(response.body, rows)])

    def read_info(self, response: Response) -> ServiceInfo:
        """`/model/info`. Raises `VersionFailed`."""
        if response.status != 200:
            raise VersionUnavailable(f"/model/info answered with status {response.status}")
        try:
            return _info(orjson.loads(response.body))
        except orjson.JSONDecodeError as error:
            raise VersionMalformed(f"/model/info is not JSON: {error}") from None


def array_of(body: bytes, rows: int) -> list[Any]:
    """The array of so many answers in `body`. Raises `VersionMalformed`."""
    try:
        items = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise VersionMalformed(f"an answer that is not JSON: {error}") from None
    if type(items) is not list or len(items) != rows:
        raise VersionMalformed(f"an answer that is not an array of {rows}")
    return items


def _info(raw: Any) -> ServiceInfo:
    if type(raw) is not dict or type(raw.get("model_version")) is not str or not raw["model_version"]:
        raise VersionMalformed("/model/info without a model_version")
    try:
        orjson.dumps(raw)  # orjson reads deeper nesting than it writes, and this is shown to people
    except orjson.JSONEncodeError:
        raise VersionMalformed("/model/info cannot be written as JSON again") from None
    output = raw.get("output")
    told = output if type(output) is dict else {}
    fields = {name: told[name] for name in ("score", "decision", "scores") if type(told.get(name)) is str}
    return ServiceInfo(raw["model_version"], OutputFields(**fields), raw)
