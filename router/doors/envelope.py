"""The request's envelope: strict parsing, and features brought to canonical bytes."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import orjson

from ekiben.experiments.snapshot import Attributes
from ekiben.state.user import MAX_USER_ID_CHARS
from router.errors import BadRequest

MAX_ATTRIBUTES: Final = 32
MAX_ATTRIBUTE_NAME_CHARS: Final = 64
MAX_ATTRIBUTE_TEXT_CHARS: Final = 256
_FIELDS: Final = frozenset({"user_id", "features", "attributes", "version"})
_SCALARS: Final = frozenset({str, int, float, bool, type(None)})


Envelope = tuple[bytes, str | None, Attributes | None, str | None]
"""A prediction asked for: the canonical bytes of the features, who it is for (None for nobody), what is known
of the user (None for nothing) and the version that alone is to answer (None for the user's own).
"""


def parse_envelope(body: bytes, header_user: bytes | None, trusts_header: bool = False) -> Envelope:
    """Read the body of `POST /predict/{model}`. Raises `BadRequest`.

    The features come back as JSON with sorted keys and no white space. What orjson will not read, or not
    write again (bad UTF-8, NaN, 1e999, integers of thousands of digits, nesting of hundreds), is refused
    here, so that no row can spoil the batch it travels in. Of a duplicate key the last counts.

    The body's user wins over the header's. With `trusts_header` only the header names a user, as where a
    gateway sets it: a body that names another one is refused.
    """
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the body is not strict JSON: {error}") from None
    if type(data) is not dict:
        raise BadRequest("the body must be a JSON object with `features` and, unless in a header, `user_id`")
    if not data.keys() <= _FIELDS:
        unknown = next(field for field in data if field not in _FIELDS)
        raise BadRequest(
            f"unknown field {unknown[:100]!r}: a request has `features`, `user_id`, `attributes`, `version`"
        )
    features = data.get("features")
    if type(features) is not dict:
        raise BadRequest(
            "`features` must be a JSON object" if "features" in data else "`features` is missing"
        )
    user_id = None if header_user is None else _user_of_header(header_user)
    if "user_id" in data:
        given = _user(data["user_id"])
        if trusts_header and given != user_id:
            raise BadRequest("`user_id` is not the user of X-User-ID, which alone counts here")
        user_id = given
    attributes = _attributes(data["attributes"]) if "attributes" in data else None
    version = _version(data["version"]) if "version" in data else None
    try:
        return orjson.dumps(features, option=orjson.OPT_SORT_KEYS), user_id, attributes, version
    except (orjson.JSONEncodeError, RecursionError) as error:
        raise BadRequest(f"`features` cannot be written as JSON again: {error}") from None


def _user(value: Any) -> str:
    if type(value) is not str:
        raise BadRequest("`user_id` must be a string")
    if not 0 < len(value) <= MAX_USER_ID_CHARS:
        raise BadRequest(f"`user_id` must have 1 to {MAX_USER_ID_CHARS} characters")
    return value


def _user_of_header(value: bytes) -> str:
    try:
        return _user(value.decode())
    except UnicodeDecodeError:
        raise BadRequest("X-User-ID is not UTF-8") from None


def _attributes(value: Any) -> Attributes | None:
    if type(value) is not dict:
        raise BadRequest("`attributes` must be a JSON object")
    if len(value) > MAX_ATTRIBUTES:
        raise BadRequest(f"`attributes` may have {MAX_ATTRIBUTES} entries, not {len(value)}")
    for name, each in value.items():
        if not 0 < len(name) <= MAX_ATTRIBUTE_NAME_CHARS:
            raise BadRequest(
                f"the name of attribute {name[:100]!r} must have 1 to {MAX_ATTRIBUTE_NAME_CHARS} characters"
            )
        if type(each) not in _SCALARS:
            raise BadRequest(f"attribute {name!r} must be a text, a number, true, false or null")
        if type(each) is str and len(each) > MAX_ATTRIBUTE_TEXT_CHARS:
            raise BadRequest(f"attribute {name!r} may have {MAX_ATTRIBUTE_TEXT_CHARS} characters")
    return value or None


def _version(value: Any) -> str:
    if type(value) is not str:
        raise BadRequest("`version` must be a string, the name of one of the model's versions")
    return value


def row_digest(features: bytes) -> str:
    """The digest that stands for canonical features in cache keys: BLAKE2b (RFC 7693), 128 bits, in hex."""
    return hashlib.blake2b(features, digest_size=16).hexdigest()
