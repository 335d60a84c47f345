"""Finding the rows that a call fails on, without a call for each row. Pure: the caller makes the calls."""

from __future__ import annotations

import math


class Halving:
    """What to call next after a call of `size` rows has failed as a whole.

    1. `span` is the stretch of rows, [start, end), to call next, or None when there is nothing left to try.
    2. A stretch that fails is tried again in halves. One row that fails alone is guilty.
    3. Both halves are tried before one of them is halved: most rows have their answer early. Where the first
       is answered the guilty row is in the second, which is halved without a call.
    4. One guilty row costs at most 2·log2(size) calls, k of them about 2k·log2(size/k) + 2k.
    5. After 2·log2(size) + 2 failures without any answer the rest is given up: it is not the rows then.
    """

    def __init__(self, size: int) -> None:
        # The last one is next. Of two halves that are both still to be tried the first is marked.
        self._waiting: list[tuple[int, int, bool]] = []
        self._failures_left: float = 2 * (size - 1).bit_length() + 2
        self._waiting += _halves(0, size)

    @property
    def span(self) -> tuple[int, int] | None:
        """The stretch of rows to call next."""
        return self._waiting[-1][:2] if self._waiting else None

    @property
    def left(self) -> list[tuple[int, int]]:
        """The stretches that are still to be called."""
        return [(start, end) for start, end, _ in self._waiting]

    def answered(self) -> None:
        """The call of `span` was answered."""
        self._failures_left = math.inf
        _, _, is_first = self._waiting.pop()
        if is_first:
            start, end, _ = self._waiting[-1]
            self._waiting[-1:] = _halves(start, end) or self._waiting[-1:]

    def failed(self) -> None:
        """The call of `span` failed."""
        self._failures_left -= 1
        start, end, is_first = self._waiting.pop()
        if self._failures_left <= 0:
            self._waiting.clear()
        elif is_first:
            self._waiting[-1:-1] = _halves(start, end)
        else:
            self._waiting += _halves(start, end)


def _halves(start: int, end: int) -> list[tuple[int, int, bool]]:
    if end - start < 2:
        return []
    middle = (start + end) // 2
    return [(middle, end, False), (start, middle, True)]
