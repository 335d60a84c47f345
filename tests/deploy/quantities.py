"""Kubernetes' quantities: `500m`, `1Gi`, `2`. Neither kubectl nor the schemas notice `cpu: banana`."""

from __future__ import annotations

import re
from typing import Final

_FORM: Final = re.compile(r"(\d+(?:\.\d+)?)(m|[kMGTPE]|[KMGTPE]i)?")
_FACTORS: Final = {None: 1.0, "m": 1e-3, "k": 1e3} | {
    unit + suffix: base**power
    for power, unit in enumerate("KMGTPE", 1)
    for suffix, base in (("i", 1024.0), ("", 1000.0))
}


class NoQuantity(ValueError):
    """It is none; the message says which."""


def quantity(text: object) -> float:
    """The number: cores, bytes or a count. Raises `NoQuantity`."""
    found = _FORM.fullmatch(str(text))
    if found is None or found[2] == "K":  # a thousand is k, 1,024 is Ki
        raise NoQuantity(f"{text!r} is no quantity")
    return float(found[1]) * _FACTORS[found[2]]
