"""Event files as tables: an object store like a directory, and files that are merged away meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow.fs as pafs
import pytest
from moto.server import ThreadedMotoServer

from ekiben.control.analysis.analysing import Analysis, analyse
from ekiben.control.analysis.tables import DuckDBTables
from ekiben.control.recording.files import EventFiles, Readable
from tests.control.analysis.events import DAY, KEY, START, Log, metric, stored


@pytest.fixture
def object_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """A real S3 API on loopback with a bucket `events`: the environment that leads to it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    # pyarrow's own reader looks for the keys in the process's environment.
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "loopback")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "loopback")
    pafs.S3FileSystem(
        scheme="http", endpoint_override=f"127.0.0.1:{port}", region="us-east-1", allow_bucket_creation=True
    ).create_dir("events")
    yield {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_REGION": "us-east-1"}
    server.stop()


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
    assert Analysis(remote).report(KEY, held, now) == Analysis(local).report(KEY, held, now)
    assert Analysis(remote).report(KEY, held, now).variants[0].users == 25


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
        assert Analysis(files).report(KEY, stored(), START + DAY).variants[0].users == 1
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
    analysis = Analysis(EventFiles(log.url))
    thread = threading.Thread(
        target=lambda: reports.append(analysis.report(KEY, stored(metric()), START + DAY))
    )
    thread.start()
    thread.join()
    assert reports[0].variants[0].users == 25
