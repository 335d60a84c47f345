"""Event files as tables: an object store like a directory, and files that are merged away meanwhile."""

from __future__ import annotations

import threading
from pathlib import Path

import pyarrow.fs as pafs
import pytest

from ekiben.control.analysis.analysing import Analyses, analyse
from ekiben.control.analysis.tables import DuckDBTables
from ekiben.control.recording.files import EventFiles, Readable
from tests.control.analysis.events import DAY, KEY, START, Log, metric, stored


@pytest.fixture
def object_store(s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of a real S3 API. pyarrow's own reader looks for its keys in that of the process."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, s3[name])
    return s3


def write_some(log: Log) -> None:
    for number in range(50):
        prediction = log.exposure(f"u{number}", "treatment" if number % 2 else "control")
        log.outcome(number, prediction=prediction)
    log.write()


def copy(source: EventFiles, target: EventFiles) -> None:
    pafs.copy_files(
        source.root,
        target.root,
        source_filesystem=source.filesystem,
        destination_filesystem=target.filesystem,
        use_threads=False,
    )


def test_an_object_store_gives_the_same_report_as_a_directory(log: Log, object_store: dict[str, str]) -> None:
    write_some(log)
    held, now = stored(metric(), metric("good", "label", outcome="profit")), START + 3 * DAY
    remote = EventFiles("s3://events/of-mine", object_store)
    local = EventFiles(log.url)
    copy(local, remote)
    assert Analyses(remote).report(KEY, held, now) == Analyses(local).report(KEY, held, now)
    assert Analyses(remote).report(KEY, held, now).variants[0].users == 25


class Moving(EventFiles):
    """Files of which one is merged away just after it was listed, the first time."""

    listed = 0

    def readable(self, kind: str, first_day: object = None) -> Readable:
        found = super().readable(kind)
        self.listed += 1
        if self.listed == 1:
            self.filesystem.move(found.clean[0], found.clean[0].replace("2001", "2002"))
        return found


def test_a_file_that_is_merged_away_while_it_is_read_is_found_again(
    log: Log, object_store: dict[str, str]
) -> None:
    log.write()
    log.exposure("u1")
    log.write()
    remote = Moving("s3://events/moving", object_store)
    copy(EventFiles(log.url), remote)
    for files in (Moving(log.url), remote):
        assert Analyses(files).report(KEY, stored(), START + DAY).variants[0].users == 1
        assert files.listed > 1


def test_what_is_spilled_is_removed(log: Log) -> None:
    write_some(log)
    with DuckDBTables(EventFiles(log.url)) as tables:
        analyse(tables, KEY, stored(metric()), START + DAY)
        (spill,) = tables._duckdb.execute("SELECT current_setting('temp_directory')").fetchone()
        assert Path(spill).exists()
    assert not Path(spill).exists()


def test_a_report_is_computed_in_any_thread(log: Log) -> None:
    write_some(log)
    reports = []
    analysis = Analyses(EventFiles(log.url))
    thread = threading.Thread(
        target=lambda: reports.append(analysis.report(KEY, stored(metric()), START + DAY))
    )
    thread.start()
    thread.join()
    assert reports[0].variants[0].users == 25
