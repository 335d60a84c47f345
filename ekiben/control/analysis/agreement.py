"""Whether two reports say the same: one made of what is kept, and one computed from all events."""

from __future__ import annotations

from collections.abc import Iterator
from math import isclose
from typing import Any, Final

import msgspec

from ekiben.experiments.reports.report import Report


class Comparison(msgspec.Struct, frozen=True):
    """A report made of what is kept beside one computed from all events: where they differ (nothing where
    they say the same), and how many seconds each took.
    """

    differences: tuple[str, ...]
    kept_s: float
    from_scratch_s: float


TOLERANCE: Final = 1e-9
"""Sums are taken in another order: so much, relative to a number or to 1, it may differ."""


def differences(one: Report, other: Report) -> list[str]:
    """Where two reports differ, each as `metrics.0.std: 1.5 and 1.6`; nothing when they say the same."""
    return list(_differences("", msgspec.to_builtins(one), msgspec.to_builtins(other)))


def _differences(where: str, one: Any, other: Any) -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for key in one:
            yield from _differences(f"{where}.{key}", one[key], other[key])
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        for place, pair in enumerate(zip(one, other, strict=True)):
            yield from _differences(f"{where}.{place}", *pair)
    elif not _same(one, other):
        yield f"{where.removeprefix('.')}: {one!r} and {other!r}"


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float | int):
        return isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(one == other)
