"""Which stream entries an event file holds: what its name says, and what follows from two names.

Rules that everything else rests on:

1. `kind=…/day=YYYY-MM-DD/{first}-{last}.parquet` holds every event of its kind of the stream entries from
   `first` to `last`, whoever wrote it. The day is that of recording, in UTC.
2. So a file whose range lies inside another's of the same kind says nothing new: readers leave it out.
3. Both hold within a generation of streams. Redis counts the entries of each stream for itself, so that names
   of `ekiben:events:2` and of 30e8d9b's `ekiben:exposures` say nothing of each other. From the second on, the
   generation is in the name: `2-{first}-{last}.parquet`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Final, Self

from ekiben.state.entry_id import EntryId

GENERATION: Final = 2
"""Of the streams that this release's routers write to."""
_NAME: Final = re.compile(
    r"day=(\d{4}-\d\d-\d\d)/(?:(\d{1,3})-)?(\d{14,20})\.(\d{6,20})-(\d{14,20})\.(\d{6,20})\.parquet", re.ASCII
)


@dataclass(frozen=True, slots=True)
class EventFile:
    """A file's place: what its name says."""

    kind: str
    day: date
    first: EntryId
    last: EntryId
    generation: int = GENERATION

    @classmethod
    def parse(cls, kind: str, path: str) -> Self | None:
        """Read a path that ends exactly as `path` writes it; None for any other, whatever it is."""
        name = "/".join(path.rsplit("/", 2)[-2:])
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        day, generation, *numbers = match.groups()
        a, b, c, d = map(int, numbers)
        try:
            file = cls(kind, date.fromisoformat(day), EntryId(a, b), EntryId(c, d), int(generation or 1))
        except ValueError:
            return None  # the 31st of February
        return file if file.first <= file.last and file.path.endswith(f"/{name}") else None

    @property
    def path(self) -> str:
        """Below the root. Names sort as the stream does."""
        first, last = (f"{ms:014d}.{seq:06d}" for ms, seq in (self.first, self.last))
        generation = "" if self.generation == 1 else f"{self.generation}-"
        return f"kind={self.kind}/day={self.day}/{generation}{first}-{last}.parquet"

    @property
    def place(self) -> tuple[int, EntryId, EntryId]:
        """What files of a kind are sorted by: by generation, then as the stream is."""
        return self.generation, self.first, self.last

    def holds(self, entry: EntryId) -> bool:
        """Whether the entry's events are in this file."""
        return self.first <= entry <= self.last


def without_contained(files: Iterable[EventFile]) -> list[EventFile]:
    """The files of one kind whose range lies in no other's, in the order of `EventFile.place`."""
    kept: list[EventFile] = []
    # Of those that begin together the longest comes first, so that whatever lies inside another follows it.
    for file in sorted(files, key=lambda f: (f.generation, f.first, -f.last.ms, -f.last.seq)):
        if not kept or (file.generation, file.last) > (kept[-1].generation, kept[-1].last):
            kept.append(file)
    return kept


def overlapping(files: list[EventFile]) -> set[EventFile]:
    """Of what `without_contained` returned, those that share entries with a neighbour."""
    found: set[EventFile] = set()
    for before, after in pairwise(files):
        if after.generation == before.generation and after.first <= before.last:
            found |= {before, after}
    return found


def unwritten_runs(entries: Iterable[EntryId], written: Iterable[EventFile]) -> list[list[EntryId]]:
    """The entries (in stream order) that no written file of their kind and generation holds, in runs with no
    file between.

    A run's range can name a new file: it holds nothing that is written elsewhere.
    """
    written = list(written)
    runs: list[list[EntryId]] = []
    last: EntryId | None = None
    for entry in entries:
        if any(file.holds(entry) for file in written):
            continue
        if last is None or any(last < file.last and file.first < entry for file in written):
            runs.append([])
        runs[-1].append(entry)
        last = entry
    return runs
