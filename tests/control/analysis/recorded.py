"""Events as the recorder leaves them, file after file, and reports of what is kept beside reports of all."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ekiben.control.analysis.aggregates.ledger import Outdated
from ekiben.control.analysis.agreement import differences
from ekiben.control.analysis.analysing import Analyses
from ekiben.control.recording import merging
from ekiben.control.recording.files import EventFiles
from ekiben.control.recording.ranges import EventFile
from ekiben.experiments.reports.report import Report
from ekiben.state.documents.document import Stored
from ekiben.state.entry_id import EntryId
from tests.control.analysis.events import DAY, KEY, START, Log, as_table


class Leads:
    """Who always holds the lease."""

    def held(self) -> bool:
        """It does."""
        return True


class Recorded(Log):
    """A log whose events are received one millisecond after the other, from `received` on (seconds after
    `START`), and whose files are named by what they hold.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder / "events"))
        self.files = EventFiles(self.url)
        self.received = 0.0
        self.folder = folder / "aggregates"
        self.analyses = Analyses(self.files, self.folder)
        self._last_ms = 0

    def write(self, first: int | None = None, last: int | None = None) -> None:
        """Write a file of each kind that something is held of."""
        for kind, rows in self._held.items():
            begin, end = (EntryId(row["ms"], 0) for row in (rows[0], rows[-1]))
            day = datetime.fromtimestamp(begin.ms / 1000, UTC).date()
            path = Path(self.files.path(EventFile(kind, day, begin, end)))
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(as_table(kind, rows), path, compression="zstd")
        self._held = {}

    def merge(self, kind: str, first: int = 0, last: int | None = None) -> None:
        """Merge these of a kind's files, all of one day, and remove them."""
        group = self.files.list(kind)[first:last]
        merging.merge(self.files, group, Leads())
        for file in group:
            self.files.remove(file)

    def look(self, held: Stored, now: float = 30 * DAY) -> Report:
        """A report of what is kept, which is that of all events."""
        self.write()
        found = self.analyses.report(KEY, held, START + now)
        differ = differences(found, self.analyses.from_scratch(KEY, held, START + now))
        assert not differ, differ
        return found

    def _add(self, kind: str, row: dict[str, Any]) -> None:
        self._last_ms = ms = max(self._last_ms + 1, int((START + self.received) * 1000))
        super()._add(kind, row | {"received_at": EntryId(ms, 0).received_at, "ms": ms})


def rebuilt(records: Sequence[Any]) -> list[str]:
    """Why everything was computed anew, from what was logged."""
    return [str(record.args[1]) for record in records if isinstance(record.args[-1], Outdated)]
