"""The analysis as the controller runs it: reports of experiments and of shadows, from the event files."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Final, TypeVar

import duckdb

from ekiben.control.analysis.aggregates.keeping import Keeping
from ekiben.control.analysis.agreement import Comparison, differences
from ekiben.control.analysis.gathering import gather
from ekiben.control.analysis.history import model_history
from ekiben.control.analysis.newer import newest_outcomes
from ekiben.control.analysis.phase import Phase
from ekiben.control.analysis.report import put_together
from ekiben.control.analysis.shadow import shadow_reports
from ekiben.control.analysis.source import FromEvents, Source
from ekiben.control.analysis.tables import DuckDBTables, EventTables
from ekiben.control.recording.files import EventFiles
from ekiben.control.recording.ranges import EventFile
from ekiben.experiments.document import Experiment
from ekiben.experiments.reports.history import History
from ekiben.experiments.reports.past import Past
from ekiben.experiments.reports.report import Report
from ekiben.experiments.reports.shadow import ShadowReport
from ekiben.state.documents.document import Stored
from ekiben.state.streams.events import KINDS

_T = TypeVar("_T")
NOTHING_PAST: Final = Past()
_TRIES: Final = 3
_GONE: Final = (OSError, duckdb.IOException, duckdb.InvalidInputException)
"""Among others they say that a file was merged away since it was listed; the last when pyarrow reads."""


def analyse(tables: EventTables, key: str, stored: Stored, now: float, past: Past = NOTHING_PAST) -> Report:
    """Everything known of the experiment `key` at `now` (seconds since 1970), with its `past`, computed from
    all events.

    Raises KeyError where the document has no such experiment, and what the engine raises.
    """
    return _report(
        FromEvents(tables, Phase(key, stored.document.experiments[key]), now), key, stored, now, past
    )


class Analyses:
    """The analyses of event files. Its methods take seconds of both cores: call them in a thread."""

    def __init__(self, files: EventFiles, folder: Path | None = None) -> None:
        """In `folder`, its own, it keeps what reports are made of; without one nothing is kept."""
        self._files = files
        self._comparing = threading.Lock()
        self._keeping = None if folder is None else Keeping(files, folder)

    def report(self, experiment: str, stored: Stored, now: float, past: Past = NOTHING_PAST) -> Report:
        """`analyse` on the files as they are, from what is kept where something is."""
        if self._keeping is not None:
            phase = Phase(experiment, stored.document.experiments[experiment])
            report = self._keeping.compute(
                phase, lambda source: _report(source, experiment, stored, now, past)
            )
            if report is not None:
                return report
        return self.from_scratch(experiment, stored, now, past)

    def from_scratch(self, experiment: str, stored: Stored, now: float, past: Past = NOTHING_PAST) -> Report:
        """`analyse` on the files as they are."""
        return self._with_tables(lambda tables: analyse(tables, experiment, stored, now, past))

    def compare(self, experiment: str, stored: Stored, now: float) -> Comparison:
        """`report` and `from_scratch` on the same files."""
        with self._comparing:
            while True:
                files = self._listed()
                begun = time.monotonic()
                kept = self.report(experiment, stored, now)
                between = time.monotonic()
                whole = self.from_scratch(experiment, stored, now)
                ended = time.monotonic()
                if self._listed() == files:
                    found = tuple(differences(kept, whole))
                    return Comparison(found, kept_s=between - begun, from_scratch_s=ended - between)

    def _listed(self) -> list[Mapping[EventFile, str]]:
        return [self._files.stamped(kind) for kind in KINDS]

    def let_go(self, but: Collection[str] = ()) -> None:
        """Remove what is kept, but of these experiments."""
        if self._keeping is not None:
            self._keeping.let_go(but)

    def shadow_reports(self, stored: Stored, now: float) -> list[ShadowReport]:
        """`shadow_reports` on the files as they are."""
        return self._with_tables(lambda tables: shadow_reports(tables, stored, now))

    def history(self, experiment: Experiment, live: str, now: float) -> History:
        """`model_history` on the files as they are."""
        return self._with_tables(lambda tables: model_history(tables, experiment, live, now))

    def newest_outcomes(self, experiments: Collection[str], since: float) -> dict[str, float]:
        """`newest_outcomes` on the files as they are; nothing is read where none is newer."""
        files = self._files.list("outcome")
        if not files or max(file.last for file in files).received_at <= since:
            return {}
        return self._with_tables(lambda tables: newest_outcomes(tables, experiments, since))

    def _with_tables(self, compute: Callable[[EventTables], _T]) -> _T:
        for tries_left in reversed(range(_TRIES)):
            try:
                with DuckDBTables(self._files) as tables:
                    return compute(tables)
            except _GONE:
                if not tries_left:
                    raise
        raise AssertionError


def _report(source: Source, key: str, stored: Stored, now: float, past: Past) -> Report:
    experiment = stored.document.experiments[key]
    return put_together(key, experiment, stored, gather(source, key, stored, now, past.step), past, now)
