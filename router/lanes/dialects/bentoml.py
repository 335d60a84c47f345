"""An ordinary BentoML service: any of its APIs that takes JSON, called as it stands.

Its answers do not say which model gave them. What can be known of that is in `/docs.json`: the name of the
service, the version of its Bento if it was built into one, and the shape of its APIs. The model version is
made of this: the document's `model_version`, otherwise that name, and a digest of `/docs.json` and of how the
service is asked.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

import msgspec
import orjson

from ekiben.experiments.version import UNVERSIONED, Rows
from ekiben.experiments.version import Dialect as Spec
from router.errors import RowNotTried, RowRefused, VersionMalformed, VersionUnavailable
from router.http.client import Response
from router.lanes.answer import OutputFields, Row, read_answer, read_refusal
from router.lanes.dialects.dialect import ROW_STATUSES, BulkAnswer, ServiceInfo, failure
from router.lanes.dialects.native import array_of

_MAX_WORDS: Final = 200
_NO_TAG: Final = re.compile(r"[^A-Za-z0-9_.:-]+")


class BentoML:
    """One API of a BentoML service.

    Where the service names the rows that it refuses (400 with a `loc` for each), the others are asked for
    again at once. Otherwise they are looked for, as in any call that is refused as a whole.
    """

    info_target = b"/docs.json"

    def __init__(self, spec: Spec, output: OutputFields, model_version: str | None) -> None:
        self.target = spec.path.encode()
        self._spec = spec
        self._is_single = spec.rows is Rows.SINGLE
        self._open = b"" if spec.argument is None else b"{%b:" % orjson.dumps(spec.argument)
        self._close = b"" if spec.argument is None else b"}"
        self._output = output
        self._given = model_version
        self._seen: Response | None = None
        self._info: ServiceInfo

    @property
    def needs_info(self) -> bool:
        """Until its `/docs.json` has been read once."""
        return self._seen is None

    def write(self, rows: Sequence[bytes]) -> bytes:
        """The argument of the API, or the body where that is the argument. A feature that is missing is null,
        for the service to judge.
        """
        spec = self._spec
        if spec.feature is not None or spec.features:
            rows = [orjson.dumps(self._value(orjson.loads(row))) for row in rows]
        (value,) = rows if self._is_single else (b"[%b]" % b",".join(rows),)
        return self._open + value + self._close

    def _value(self, row: Mapping[str, Any]) -> Any:
        if self._spec.feature is not None:
            return row.get(self._spec.feature)
        return [row.get(name) for name in self._spec.features]

    def read(self, response: Response, rows: int, output: OutputFields) -> BulkAnswer:
        """Raises `VersionFailed`."""
        tag = self._info.model_version
        if response.status in ROW_STATUSES:
            refused = self._refused(response.body, rows)
            if refused is None:
                raise failure(response.status, _reason(response.body) if rows == 1 else "")
            return BulkAnswer(tag, refused)
        if response.status != 200:
            raise failure(response.status)
        answers = [_single(response)] if self._is_single else array_of(response.body, rows)
        return BulkAnswer(tag, [_row(answer, tag, output) for answer in answers])

    def read_info(self, response: Response) -> ServiceInfo:
        """`/docs.json`; where it is not to be had, what the document says. Raises `VersionUnavailable`."""
        if response.status >= 500:
            raise VersionUnavailable(f"/docs.json answered with status {response.status}")
        seen = self._seen
        if seen is None or (seen.status, seen.body) != (response.status, response.body):
            self._info = self._told(_docs(response.body) if response.status == 200 else None)
            self._seen = response
        return self._info

    def _told(self, docs: Any) -> ServiceInfo:
        name = self._given or (None if docs is None else _name(docs))
        tag = UNVERSIONED if name is None else f"{name}+{self._digest(docs)}"
        raw = {
            "model_version": tag,
            "dialect": "bentoml",
            "path": self._spec.path,
            "output": asdict(self._output),
        }
        return ServiceInfo(tag, self._output, raw)

    def _digest(self, docs: Any) -> str:
        asked = self._spec.model_dump(mode="json", exclude={"concurrency"})
        return hashlib.sha256(orjson.dumps([asked, docs], option=orjson.OPT_SORT_KEYS)).hexdigest()[:8]

    def _refused(self, body: bytes, rows: int) -> list[Row] | None:
        """What becomes of each row of a call that was refused, None where the refusal does not tell."""
        try:
            found = msgspec.json.decode(body, type=_Refusal).detail
        except msgspec.MsgspecError:
            return None
        errors: dict[int, list[dict[str, Any]]] = {}
        for each in found:
            loc = each.loc[1:] if self._spec.argument is not None else each.loc
            place = 0 if self._is_single else loc.pop(0) if loc else None
            if not isinstance(place, int) or not 0 <= place < rows:
                return None
            errors.setdefault(place, []).append({"loc": self._named(loc), "msg": each.msg[:_MAX_WORDS]})
        if not errors:
            return None
        beside = RowNotTried("the service refused another row of the same call")
        return [RowRefused(read_refusal(errors[row])) if row in errors else beside for row in range(rows)]

    def _named(self, loc: list[str | int]) -> list[str | int]:
        """Where in the features an error of the API's argument lies."""
        spec = self._spec
        if spec.feature is not None:
            return [spec.feature, *loc]
        if spec.features and loc and isinstance(loc[0], int) and loc[0] < len(spec.features):
            return [spec.features[loc[0]], *loc[1:]]
        return loc


class _Error(msgspec.Struct):
    loc: list[str | int]
    msg: str


class _Refusal(msgspec.Struct):
    detail: list[_Error]


def _reason(body: bytes) -> str:
    """What a service says of the one row it was asked with: `{"error": …}`, alone or in a list."""
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    first = said[0] if type(said) is list and said else said
    words = first.get("error") if type(first) is dict else None
    return " ".join(words.split())[:_MAX_WORDS] if type(words) is str else ""


def _single(response: Response) -> Any:
    """The answer to one row. An API that returns text answers with the text itself."""
    if response.headers.get(b"content-type", b"").startswith(b"text/"):
        try:
            return response.body.decode()
        except UnicodeDecodeError:
            raise VersionMalformed("an answer that is not UTF-8") from None
    try:
        return orjson.loads(response.body)
    except orjson.JSONDecodeError as error:
        raise VersionMalformed(f"an answer that is not JSON: {error}") from None


def _row(answer: Any, tag: str, output: OutputFields) -> Row:
    try:
        return read_answer(answer, tag, output)
    except VersionMalformed as malformed:
        return malformed


def _docs(body: bytes) -> Any:
    """The JSON in `body`, None where it is none or cannot be written again."""
    try:
        docs = orjson.loads(body)
        orjson.dumps(docs)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return None
    return docs


def _name(docs: Any) -> str:
    """The service's name, and its Bento's version if it has one."""
    info = docs.get("info") if type(docs) is dict else None
    told = [info.get(key) for key in ("title", "version")] if type(info) is dict else []
    names = [_NO_TAG.sub("_", each)[:100] for each in told if type(each) is str and each not in ("", "None")]
    return ":".join(names) or "bentoml"
