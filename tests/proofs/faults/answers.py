"""What a version answers, so that every answer can be checked: a function of the row and the version."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import orjson

LIVE: Final = "v1"
TREATMENT: Final = "v2"
_BITS: Final = 48


def model_version(version: str) -> str:
    """The tag that a version answers under."""
    return f"credit_{version}:faults"


def predict(version: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """The answer of `version` for `row`: another row, or another version, has another score."""
    canonical = orjson.dumps(row, option=orjson.OPT_SORT_KEYS)
    digest = hashlib.blake2b(version.encode() + b"\0" + canonical, digest_size=_BITS // 8).digest()
    number = int.from_bytes(digest)
    return {"score": number / 2**_BITS, "decision": "approve" if number % 2 else "decline"}


def is_answer(version: str, row: Mapping[str, Any], prediction: object) -> bool:
    """Whether `prediction` is what `version` answers for `row`."""
    return prediction == predict(version, row)
