"""What clients say of users: one attribute out of the JSON text that events carry."""

from __future__ import annotations

import json
import re
from typing import Any, Final

_LONGEST: Final = 100
"""Characters of a value that tell it from others, and that reports show."""


def column(place: int) -> str:
    """The column of users that holds the value of the attribute at that place in `segments`."""
    return f"said_{place}"


def value_of(attributes: Any, name: str) -> Any:
    """The value of one attribute in a column of flat JSON objects, as text: the number 7 and the text "7" are
    the same. NULL where there is none, and where it is null or empty.

    A pattern does it, because engines differ in how they read JSON. It is exact: within a text every quote is
    escaped, so that a bare quote after a brace or a comma begins a name.
    """
    key = re.escape(json.dumps(name, ensure_ascii=False))
    found = attributes.re_extract(rf'[{{,]\s*{key}\s*:\s*("(?:[^"\\]|\\.)*"|[^,}}\s]+)', 1)
    bare = found.nullif("null").re_replace('^"|"$', "")
    return bare.substr(0, _LONGEST).nullif("")


def decoded(value: str) -> str:
    """A value as the client wrote it: without JSON's escapes."""
    try:
        return str(json.loads(f'"{value}"'))
    except ValueError:  # cut within an escape
        return value
