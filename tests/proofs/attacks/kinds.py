"""Requests that cost a worker much, accepted or refused: what `costly` searches for the worst."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from tests.proofs.attacks.wire import request
from tests.proofs.faults.station import EXPERIMENT

_PREDICT: Final = "/predict/credit"
_OUTCOMES: Final = "/outcomes"
_MOST: Final = 1_000_000
"""Bytes of a large body: below the limit of 1 MiB."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of request. `render` makes what is sent over and over, one after the other; each is answered
    by `answers` responses.
    """

    name: str
    render: Callable[[], Sequence[bytes]]
    answers: int = 1


def kind(name: str) -> Kind:
    """The kind of that name. Raises KeyError."""
    return _BY_NAME[name]


def _predict(features: bytes, **headers: str) -> list[bytes]:
    return [request("POST", _PREDICT, b'{"user_id":"attacker","features":%b}' % features, **headers)]


def _outcomes(items: Sequence[Any]) -> list[bytes]:
    return [request("POST", _OUTCOMES, orjson.dumps({"outcomes": items}))]


def _filled(part: bytes, before: bytes = b"[", after: bytes = b"]", size: int = _MOST) -> bytes:
    """As many of `part`, with commas, as fit."""
    return before + b",".join([part] * (size // (len(part) + 1))) + after


def _keys(names: Sequence[str], value: bytes = b"1") -> bytes:
    return b"{" + b",".join(b'"%b":%b' % (name.encode(), value) for name in names) + b"}"


def _feature(value: bytes) -> bytes:
    return b'{"x":%b}' % value


def _unknown_fields() -> list[bytes]:
    fields = {f"{number:x}": 1 for number in range(140)}
    return _outcomes([fields] * 1000)


def _all_wrong() -> list[bytes]:
    wrong = {"prediction_id": 1, "user_id": 2, "name": 3, "value": "4", "at": 5, "id": 6}
    return _outcomes([{**wrong, "seven": 7, "eight": 8}] * 1000)


def _outcome(number: int, **fields: Any) -> dict[str, Any]:
    return {"user_id": f"attacker-{number}", "name": "profit", "value": number, **fields}


def _pipelined() -> list[bytes]:
    return [request("POST", _PREDICT, b"{}") * 100]


def _chunked(size: int) -> list[bytes]:
    body = b'{"user_id":"attacker","features":{"x":"%b"}}' % (b"y" * 900_000)
    parts = (body[place : place + size] for place in range(0, len(body), size))
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    return [request("POST", _PREDICT, chunks, transfer_encoding="chunked")]


def _no_cache() -> list[bytes]:
    rows = (b'{"user_id":"attacker","features":{"x":%d}}' % number for number in range(200))
    return [request("POST", _PREDICT, row, cache_control="no-cache") for row in rows]


def _large_rows() -> list[bytes]:
    numbers = b",".join(b"%d.12345678901234" % number for number in range(45_000))
    bodies = (b'{"user_id":"a","features":{"n":%d,"x":[%b]}}' % (each, numbers) for each in range(4))
    return [request("POST", _PREDICT, body) for body in bodies]


def _get(path: str, **headers: str) -> Callable[[], list[bytes]]:
    return lambda: [request("GET", path, **headers)]


KINDS: Final[tuple[Kind, ...]] = (
    Kind("1,000 outcomes of 140 unknown fields each", _unknown_fields),
    Kind("1,000 outcomes, every field of each wrong", _all_wrong),
    Kind(
        "1,000 outcomes with a bad time",
        lambda: _outcomes([_outcome(n, at=f"2026-13-{n:0800d}") for n in range(1000)]),
    ),
    Kind("1,000 good outcomes", lambda: _outcomes([_outcome(n) for n in range(1000)])),
    Kind(
        "1,000 good outcomes of 1 KB each",
        lambda: _outcomes(
            [_outcome(n, name="é" * 100, user_id="ü" * 250, id=f"{n:0128d}") for n in range(1000)]
        ),
    ),
    Kind("100,000 outcomes", lambda: _outcomes([1] * 100_000)),
    Kind(
        "one outcome of 90,000 unknown fields",
        lambda: _outcomes([{f"{number:x}": 1 for number in range(90_000)}]),
    ),
    Kind("nested lists, 800 KB", lambda: _predict(_feature(_filled(b"[" * 60 + b"]" * 60, size=800_000)))),
    Kind("empty lists, 1 MB", lambda: _predict(_feature(_filled(b"[]")))),
    Kind("empty objects, 1 MB", lambda: _predict(_feature(_filled(b"{}")))),
    Kind("nested 1,000 deep, 1 MB", lambda: _predict(_feature(_filled(b"[" * 1000 + b"]" * 1000)))),
    Kind("100,000 keys", lambda: _predict(_keys([f"k{n:05x}" for n in reversed(range(90_000))]))),
    Kind(
        "keys that differ at their end",
        lambda: _predict(_keys([f"{'k' * 200}{n:04x}" for n in reversed(range(4500))])),
    ),
    Kind("a key 100,000 times", lambda: _predict(_keys(["k"] * 160_000))),
    Kind("a string of escapes, 1 MB", lambda: _predict(_feature(b'"' + b"\\n" * 490_000 + b'"'))),
    Kind(
        "a string of unicode escapes, 1 MB",
        lambda: _predict(_feature(b'"' + b"\\ud83d\\ude00" * 80_000 + b'"')),
    ),
    Kind("long decimals, 1 MB", lambda: _predict(_feature(_filled(b"0." + b"1234567890" * 30)))),
    Kind("an integer of 900,000 digits", lambda: _predict(_feature(b"9" * 900_000))),
    Kind("short integers, 1 MB", lambda: _predict(_feature(_filled(b"1")))),
    Kind("good features, 1 MB", _large_rows),
    Kind("a body broken at its last byte, 1 MB", lambda: _predict(_feature(_filled(b"[]")) + b",")),
    Kind("an unknown model, 1 MB", lambda: [_large_rows()[0].replace(b"/credit ", b"/nobody ")]),
    Kind("a gzip body, 125 MB unpacked", lambda: _predict(_gzipped(), content_encoding="gzip")),
    Kind("a body a byte a chunk, 900 KB", lambda: _chunked(1)),
    Kind("a body 64 bytes a chunk, 900 KB", lambda: _chunked(64)),
    Kind("100 pipelined, refused", _pipelined, answers=100),
    Kind("7,000 headers", lambda: [request("GET", "/livez", **{f"h{n:x}": "1" for n in range(7000)})]),
    Kind("a key of 60 KB", lambda: _predict(b"{}", authorization=f"Bearer {'k' * 60_000}")),
    Kind("a path of 60 KB", _get(f"/predict/{'%41' * 20_000}")),
    Kind("past the cache", _no_cache),
    Kind("an assignment", _get(f"/assignment/{EXPERIMENT}?user_id={'%C3%BC' * 256}")),
    Kind("/metrics", _get("/metrics")),
    Kind("/openapi.json", _get("/openapi.json")),
    Kind("/docs", _get("/docs")),
    Kind("/models", _get("/models")),
    Kind("/models/credit", _get("/models/credit")),
    Kind("/healthz", _get("/healthz")),
    Kind("no HTTP at all", lambda: [b"\x16\x03\x01" * 20 + b"\r\n\r\n"]),
    Kind("a connection for each request", _get("/livez", connection="close")),
)


def _gzipped() -> bytes:
    return gzip.compress(bytes(125_000_000), 6)


_BY_NAME: Final = {each.name: each for each in KINDS}
