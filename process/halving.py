"""Finding the rows that a call fails on, without a call for each row. Pure: the caller makes the calls."""

from __future__ import annotations


class Halving:
    """What to call next after a call of `size` rows has failed as a whole.

    1. `span` is the stretch of rows, [start, end), to call next, or None when there is nothing left to try.
    2. A stretch that fails is tried again in halves. One row that fails alone is guilty.
    3. One guilty row costs at most 2·log2(size) calls, k of them about 2k·log2(size/k) + 2k.
    4. After 2·log2(size) + 2 failures in a row the rest is given up: then it is not the rows.
    """

    def __init__(self, size: int) -> None:
        self._waiting: list[tuple[int, int]] = []
        self._most_failures = 2 * (size - 1).bit_length() + 2
        self._failures = 0
        self._halve(0, size)

    @property
    def span(self) -> tuple[int, int] | None:
        """The stretch of rows to call next."""
        return self._waiting[-1] if self._waiting else None

    def answered(self) -> None:
        """The call of `span` was answered."""
        self._waiting.pop()
        self._failures = 0

    def failed(self) -> None:
        """The call of `span` failed."""
        self._failures += 1
        if self._failures >= self._most_failures:
            self._waiting.clear()
        else:
            self._halve(*self._waiting.pop())

    def _halve(self, start: int, end: int) -> None:
        if end - start > 1:
            middle = (start + end) // 2
            self._waiting += [(middle, end), (start, middle)]
