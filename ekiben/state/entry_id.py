"""The id of an entry of a Redis stream."""

from __future__ import annotations

from typing import NamedTuple, Self


class EntryId(NamedTuple):
    """A stream entry's id: Redis's clock in milliseconds since 1970, and a count within one of them."""

    ms: int
    seq: int

    @classmethod
    def parse(cls, text: bytes | str) -> Self:
        """Read `ms-seq`."""
        ms, _, seq = (text.decode() if isinstance(text, bytes) else text).partition("-")
        return cls(int(ms), int(seq))

    def __str__(self) -> str:
        return f"{self.ms}-{self.seq}"

    @property
    def received_at(self) -> float:
        """Seconds since 1970, different for each entry of a stream (up to 1,000 in a millisecond)."""
        return self.ms / 1000 + min(self.seq, 999) * 1e-6

    @property
    def next(self) -> EntryId:
        """The lowest id above this one."""
        return EntryId(self.ms, self.seq + 1)
