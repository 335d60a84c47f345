"""The search for the guilty rows of a call that failed as a whole. Pure: the caller makes the calls."""

from __future__ import annotations

from collections import deque
from typing import Final

from router.errors import BulkFailed, BulkRefused, RowRefused, VersionUnavailable
from router.lanes.answer import Row

_TOGETHER: Final = 8


class Search:
    """What to ask for next, and what became of each row.

    A part that fails is asked for again in halves, until the guilty rows stand alone. A row that fails alone
    keeps that failure. A row that is never asked for alone or in a part that is answered keeps a failure for
    which another version may answer.
    """

    def __init__(self, rows: int, whole: BulkFailed | BulkRefused) -> None:
        self.found: list[Row] = [VersionUnavailable(f"in a call that failed as a whole: {whole}")] * rows
        self._parts: deque[slice] = deque()
        self.learn(slice(0, rows), whole)

    def take(self) -> list[slice]:
        """The parts to ask for now, together: at most 8, and none when all is known."""
        return [self._parts.popleft() for _ in range(min(len(self._parts), _TOGETHER))]

    def learn(self, part: slice, became: list[Row] | BulkFailed | BulkRefused) -> None:
        """A part was answered row by row, or it failed as a whole."""
        if isinstance(became, list):
            self.found[part] = became
        elif part.stop - part.start > 1:
            middle = (part.start + part.stop) // 2
            self._parts += (slice(part.start, middle), slice(middle, part.stop))
        elif isinstance(became, BulkRefused):
            self.found[part.start] = RowRefused([{"loc": [], "msg": str(became)}])
        else:
            self.found[part.start] = became
