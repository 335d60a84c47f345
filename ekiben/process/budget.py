"""A budget of bytes: what many holders in one process may hold together."""

from __future__ import annotations


class ByteBudget:
    """Counts the bytes that are held now. Who takes some gives as many back, whatever happens in between.

    `limit` is the most that may be held at once, `held` what is held now, and `most` the high-water mark
    since the start; all in bytes.
    """

    __slots__ = ("held", "limit", "most")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self.most = 0

    def take(self, size: int, spare: int = 0) -> bool:
        """Hold `size` bytes more and return True. Return False, and hold none, where fewer than `spare` bytes
        of the limit would be left.
        """
        held = self.held + size
        if held > self.limit - spare:
            return False
        self.held = held
        if held > self.most:
            self.most = held
        return True

    def give(self, size: int) -> None:
        """Hold `size` bytes less."""
        self.held -= size
