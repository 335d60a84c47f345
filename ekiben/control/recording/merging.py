"""Small event files into larger ones: of a closed minute, then of an hour, then of a day, one is left.

A merged file's range contains the ranges it was made from, so that readers leave those out from the moment
it is there; they are removed a while later, when nobody reads them any more. A crash anywhere leaves files
that say the same twice, which readers know how to take, and the next pass goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from itertools import groupby
from typing import Any, Final

import pyarrow.compute as pc

from ekiben.control.recording.files import EventFiles, Held, check
from ekiben.control.recording.ranges import EventFile, without_contained

log = logging.getLogger(__name__)

# A file of a minute, an hour or a day can still appear this long after its end.
_CLOSED_AFTER_S: Final = 60
_DAY_CLOSED_AFTER_S: Final = 600
_READ_FOR_S: Final = 60


class Merging:
    """Merges while the lease is held. It remembers since when it has seen a file inside another."""

    def __init__(self, files: EventFiles, lease: Held) -> None:
        self._files = files
        self._lease = lease
        self._inside_since: dict[EventFile, float] = {}

    def merge_all(self, now: float) -> None:
        """One pass over everything; blocks. Raises `LeaseLost` and `OSError`."""
        inside: dict[EventFile, float] = {}
        for kind in self._files.kinds():
            listed = self._files.list(kind)
            kept = without_contained(listed)
            for file in set(listed).difference(kept):
                since = inside[file] = self._inside_since.get(file, now)
                if now - since >= _READ_FOR_S:
                    check(self._lease)
                    self._files.remove(file)
                    del inside[file]
            for group in closed_groups(kept, now):
                merge(self._files, group, self._lease)
        self._inside_since = inside


def closed_groups(files: Sequence[EventFile], now: float) -> list[list[EventFile]]:
    """Which files of one kind (in stream order, none inside another) become one: neighbours that were
    recorded on one day that is over, else in one hour that is over, else in one minute that is over."""

    def period(file: EventFile) -> tuple[object, ...] | None:
        midnight = datetime.combine(file.day + timedelta(days=1), time(), UTC).timestamp()
        if now >= midnight + _DAY_CLOSED_AFTER_S:
            return (file.generation, file.day)
        for length in (3600, 60):
            number = file.first.ms // (length * 1000)
            if now >= (number + 1) * length + _CLOSED_AFTER_S:
                return (file.generation, file.day, length, number)
        return None

    groups = [list(group) for key, group in groupby(files, period) if key is not None]
    return [group for group in groups if len(group) > 1]


def merge(files: EventFiles, group: Sequence[EventFile], lease: Held) -> EventFile:
    """Write the file that stands for these neighbours, which stay. Raises `LeaseLost` and `OSError`."""
    merged = replace(group[0], last=group[-1].last)
    schema = files.schema(group)
    files.write(_rows_once(files, group, schema, lease), schema, merged, lease)
    log.debug("%d files became %s", len(group), merged.path)
    return merged


def _rows_once(files: EventFiles, group: Sequence[EventFile], schema: Any, lease: Held) -> Iterator[Any]:
    """Every event of these files once: of two that share entries the second gives what follows the first."""
    before: EventFile | None = None
    for file in group:
        shared = before is not None and file.first <= before.last
        for batch in files.batches(file, schema, lease):
            if shared and before is not None:
                batch = batch.filter(pc.greater(batch.column("received_at"), before.last.received_at))
            yield batch
        before = file
