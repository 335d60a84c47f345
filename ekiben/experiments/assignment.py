"""Who gets which variant: the assignment of the GrowthBook SDK specification, version 0.8.

Pure functions of their arguments, the same in every process and on every machine. GrowthBook's SDKs put a
user in the same bucket, except that its SDK for Go hashes UTF-8 bytes where the specification has UTF-16 code
units: it differs for ids that are not ASCII. Shares are fractions, 0 to 1.

Source: GrowthBook, "Build your own SDK" (https://docs.growthbook.io/lib/build-your-own); FNV-1a:
Fowler, Noll, Vo (http://www.isthe.com/chongo/tech/comp/fnv/). tests/experiments/vectors.py holds
the specification's own test vectors.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

BUCKETS = 10_000

_OFFSET_BASIS = 0x811C9DC5
_PRIME = 0x01000193
_MASK = 0xFFFFFFFF


def fnv32a(text: str, state: int = _OFFSET_BASIS) -> int:
    """Return the 32-bit FNV-1a hash of the UTF-16 code units of `text`, as JavaScript counts them.

    `state` continues an earlier hash: fnv32a(a + b) == fnv32a(b, fnv32a(a)). A lone surrogate is a code
    unit like any other, so any Python string has a hash.
    """
    units: Sequence[int]
    if text.isascii():
        units = text.encode()
    else:
        encoded = text.encode("utf-16-le", "surrogatepass")
        units = struct.unpack(f"<{len(encoded) // 2}H", encoded)
    for unit in units:
        state = (state ^ unit) * _PRIME & _MASK
    return state


def bucket_after(seed_state: int, value: str) -> int:
    """Return the bucket, 0 to 9,999, of `value` under the seed whose `fnv32a` is `seed_state`."""
    return fnv32a(str(fnv32a(value, seed_state))) % BUCKETS


def hash_v2(seed: str, value: str) -> float:
    """Return the place of `value` under `seed` in [0, 1), a multiple of 1/10,000: hash version 2."""
    return bucket_after(fnv32a(seed), value) / BUCKETS


def hash_v1(seed: str, value: str) -> float:
    """Return the place of `value` under `seed` in [0, 1), a multiple of 1/1,000: hash version 1.

    Seeds are not independent of each other in this version; it decides namespaces only.
    """
    return fnv32a(value + seed) % 1000 / 1000


def bucket_ranges(
    count: int, coverage: float, weights: Sequence[float] | None = None
) -> list[tuple[float, float]]:
    """Return the half-open range of each of `count` variants: [start, start + coverage * weight).

    `start` is the sum of the weights before, so coverage moves ends only: raising it adds users and moves
    none. Coverage is clamped to 0..1. Weights that are not `count` in number, or do not add up to 1 within
    0.01, are replaced by equal ones, as the specification says.
    """
    coverage = min(max(coverage, 0.0), 1.0)
    if weights is None or len(weights) != count or not 0.99 <= sum(weights) <= 1.01:
        weights = [1 / count] * count if count > 0 else []
    ranges = []
    start = 0.0
    for weight in weights:
        ranges.append((start, start + coverage * weight))
        start += weight
    return ranges


def choose_variation(n: float, ranges: Sequence[tuple[float, float]]) -> int:
    """Return the index of the first range that holds `n`, or -1 when none does."""
    for index, (start, end) in enumerate(ranges):
        if start <= n < end:
            return index
    return -1


def in_namespace(user_id: str, namespace: tuple[str, float, float]) -> bool:
    """Tell whether the user's place in the namespace (name, start, end) lies in [start, end)."""
    name, start, end = namespace
    return start <= hash_v1("__" + name, user_id) < end
