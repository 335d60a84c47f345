"""Sizes of effects as people write them: a number in the metric's unit, or "5%" of the control's mean."""

from __future__ import annotations

import re
import sys
from typing import Annotated, Any, Final

from pydantic import PlainValidator, WithJsonSchema

_SHARE: Final = re.compile(r"[0-9]{1,4}(\.[0-9]{1,6})?%")


def _amount(value: Any) -> float | str:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= sys.float_info.max:
        return float(value)
    if isinstance(value, str) and _SHARE.fullmatch(value) and share_of(value):
        return value
    raise ValueError('must be a number above 0, or a share of the control\'s mean as text, such as "5%"')


def share_of(amount: float | str) -> float | None:
    """The share that an amount is, 0 to 1; None of a number in the metric's unit."""
    return float(amount.removesuffix("%")) / 100 if isinstance(amount, str) else None


Amount = Annotated[
    float | str,
    PlainValidator(_amount),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0},
                {"type": "string", "pattern": r"^(?=.*[1-9])[0-9]{1,4}(\.[0-9]{1,6})?%$"},
            ]
        }
    ),
]
"""An amount as a document's field."""
