"""The analysis as the controller runs it: reports of experiments and of shadows, from the event files."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final, TypeVar

import duckdb

from ekiben.control.analysis.gathering import gather
from ekiben.control.analysis.history import model_history
from ekiben.control.analysis.newer import newest_outcomes
from ekiben.control.analysis.report import put_together
from ekiben.control.analysis.shadow import shadow_reports
from ekiben.control.analysis.tables import DuckDBTables, EventTables
from ekiben.control.recording.files import EventFiles
from ekiben.experiments.document import Experiment
from ekiben.experiments.reports.history import History
from ekiben.experiments.reports.past import Past
from ekiben.experiments.reports.report import Report
from ekiben.experiments.reports.shadow import ShadowReport
from ekiben.state.documents.document import Stored

_T = TypeVar("_T")
NOTHING_PAST: Final = Past()
_TRIES: Final = 3
_GONE: Final = (OSError, duckdb.IOException, duckdb.InvalidInputException)
"""Among others they say that a file was merged away since it was listed; the last when pyarrow reads."""


def analyse(tables: EventTables, key: str, stored: Stored, now: float, past: Past = NOTHING_PAST) -> Report:
    """Everything known of the experiment `key` at `now` (seconds since 1970), with its `past`.

    Raises KeyError where the document has no such experiment, and what the engine raises.
    """
    experiment = stored.document.experiments[key]
    return put_together(key, experiment, stored, gather(tables, key, stored, now, past.step), past, now)


class Analyses:
    """The analyses of event files. Its methods take seconds of both cores: call them in a thread."""

    def __init__(self, files: EventFiles) -> None:
        self._files = files

    def report(self, experiment: str, stored: Stored, now: float, past: Past = NOTHING_PAST) -> Report:
        """`analyse` on the files as they are."""
        return self._with_tables(lambda tables: analyse(tables, experiment, stored, now, past))

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
