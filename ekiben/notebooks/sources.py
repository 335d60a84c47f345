"""Where reports come from: a controller that has them, or event files from which they are computed here."""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ekiben.clients.controller import ControllerClient
from ekiben.experiments.reports.report import Report
from ekiben.experiments.reports.shadow import ShadowReport
from ekiben.experiments.reports.tidy import (
    Row,
    day_rows,
    left_out_rows,
    metric_rows,
    segment_rows,
    series_rows,
    shadow_row,
)
from ekiben.state.documents.document import Stored
from ekiben.state.documents.experiments_file import read_experiments_file

if TYPE_CHECKING:
    import pandas as pd

    from ekiben.control.analysis.analysing import Analyses


class Source(ABC):
    """Reports as frames: of the experiments that are named, or of all that have a report.

    Each frame has a row for each observation (`ekiben.experiments.reports.tidy` names the columns). Times are
    in UTC. Asking again gives the newest numbers.
    """

    def metrics(self, *experiments: str) -> pd.DataFrame:
        """A row for each metric and variant: its value there, and treatment minus control."""
        return self._frame(experiments, metric_rows)

    def series(self, *experiments: str) -> pd.DataFrame:
        """A row for each metric, treatment and time: the effect as it was known then."""
        return self._frame(experiments, series_rows)

    def days(self, *experiments: str) -> pd.DataFrame:
        """A row for each metric, treatment and day of first exposure."""
        return self._frame(experiments, day_rows)

    def segments(self, *experiments: str) -> pd.DataFrame:
        """A row for each segment, metric and treatment."""
        return self._frame(experiments, segment_rows)

    def left_out(self, *experiments: str) -> pd.DataFrame:
        """A row for each reason for which users or outcomes do not count."""
        return self._frame(experiments, left_out_rows)

    def shadows(self) -> pd.DataFrame:
        """A row for each shadow version beside what answered."""
        return _frame(map(shadow_row, self.shadow_reports()))

    @abstractmethod
    def experiments(self) -> Sequence[str]:
        """The keys of all experiments that have a report."""

    @abstractmethod
    def report(self, experiment: str) -> Report:
        """An experiment's report, with everything that is known of it."""

    @abstractmethod
    def shadow_reports(self) -> Sequence[ShadowReport]:
        """The reports of all shadow versions."""

    def _frame(self, named: Sequence[str], rows: Callable[[Report], Iterator[Row]]) -> pd.DataFrame:
        return _frame(row for key in named or self.experiments() for row in rows(self.report(key)))


def open_controller(url: str | None = None, token: str | None = None) -> Source:
    """The controller at `url`: EKIBEN_CONTROLLER_URL unless given, else the one on this machine.

    `token` is the admin token, EKIBEN_ADMIN_TOKEN unless given. Reading needs none on loopback. The methods
    raise `EkibenError` when there is no good answer.
    """
    given = {"EKIBEN_CONTROLLER_URL": url, "EKIBEN_ADMIN_TOKEN": token}
    named = {name: value for name, value in given.items() if value is not None}
    return _Controller(ControllerClient.from_environ({**os.environ, **named}))


def open_files(events: str | Path, experiments: str | Path, now: float | None = None) -> Source:
    """Event files in a folder or an object store (`s3://…`), and the experiments file that they belong to.

    Reports are computed here, in seconds, as they are at `now` (seconds since 1970), or at this moment. They
    are a controller's, except for what event files do not hold: a ramp's step and who changed what. Raises
    `BadExperimentsFile`, and `OSError` where something cannot be read.
    """
    from ekiben.control.analysis.analysing import Analyses
    from ekiben.control.recording.files import EventFiles

    document = read_experiments_file(Path(experiments)).document
    return _Files(Analyses(EventFiles(str(events))), Stored("", 0, "", document), now)


class _Controller(Source):
    def __init__(self, client: ControllerClient) -> None:
        self._client = client

    def experiments(self) -> Sequence[str]:
        return [each["key"] for each in self._client.experiments() if each["report_at"] is not None]

    def report(self, experiment: str) -> Report:
        return self._client.report(experiment)[0]

    def shadow_reports(self) -> Sequence[ShadowReport]:
        models = [model["name"] for model in self._client.status()["models"]]
        return [report for model in models for report in self._client.shadow_reports(model)]


class _Files(Source):
    def __init__(self, analyses: Analyses, stored: Stored, now: float | None) -> None:
        self._analyses = analyses
        self._stored = stored
        self._given = now

    def experiments(self) -> Sequence[str]:
        return list(self._stored.document.experiments)

    def report(self, experiment: str) -> Report:
        return self._analyses.report(experiment, self._stored, self._now)

    def shadow_reports(self) -> Sequence[ShadowReport]:
        return self._analyses.shadow_reports(self._stored, self._now)

    @property
    def _now(self) -> float:
        return time.time() if self._given is None else self._given


def _frame(rows: Iterable[Row]) -> pd.DataFrame:
    try:
        import pandas as pd
    except ModuleNotFoundError:
        raise ModuleNotFoundError("frames need pandas: pip install 'ekiben[notebooks]'") from None
    frame = pd.DataFrame(list(rows))
    for name in ("report_at", "at", "since", "until"):
        if name in frame:
            frame[name] = pd.to_datetime(frame[name], unit="s", utc=True)
    return frame
