"""Event files in a directory and in an object store."""

from __future__ import annotations

import os
import stat
from datetime import date
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ekiben.control.recording.files import EventFiles
from ekiben.control.recording.merging import Merging
from ekiben.control.recording.ranges import EntryId, EventFile
from ekiben.control.recording.retention import Retention
from ekiben.control.recording.schemas import SCHEMAS
from ekiben.process.environ import BadSetting
from ekiben.state.lease import LeaseLost
from tests.control.recording.events import DAY, NOON, Lease, outcome, put_file, read, read_path


def test_what_is_published_can_be_read(any_files: EventFiles) -> None:
    put_file(any_files, "outcome", 1, 5, [(1, outcome("a")), (5, outcome("b"))])
    assert read(any_files, "outcome") == ["a", "b"]
    assert any_files.list("exposure") == []


def test_a_file_inside_another_is_not_read_and_those_that_overlap_are_named(any_files: EventFiles) -> None:
    for first, last in ((1, 5), (6, 9), (1, 9), (9, 12), (20, 21)):
        put_file(any_files, "outcome", first, last, [(first, outcome("x"))])
    readable = any_files.readable("outcome")
    assert [EventFile.parse("outcome", path) for path in readable.clean] == [
        EventFile("outcome", DAY, EntryId(20, 0), EntryId(21, 0))
    ]
    assert sorted(EventFile.parse("outcome", path).first.ms for path in readable.overlapping) == [1, 9]  # type: ignore[union-attr]
    assert len(any_files.list("outcome")) == 5


def test_only_days_from_the_first_on_are_read(any_files: EventFiles) -> None:
    put_file(any_files, "outcome", 1, 1, [(1, outcome("old"))], day=date(2026, 11, 20))
    put_file(any_files, "outcome", 2, 2, [(2, outcome("new"))])
    assert [file.first.ms for file in any_files.list("outcome", DAY)] == [2]
    (path,) = any_files.readable("outcome", DAY).clean
    assert read_path(any_files, path) == ["new"]


def test_files_and_days_can_be_removed(any_files: EventFiles) -> None:
    one = put_file(any_files, "outcome", 1, 1, [(1, outcome("a"))])
    put_file(any_files, "outcome", 2, 2, [(2, outcome("b"))])
    any_files.remove(one)
    assert read(any_files, "outcome") == ["b"]
    any_files.remove_day("outcome", DAY)
    assert any_files.list("outcome") == []


def test_without_the_lease_nothing_becomes_visible(any_files: EventFiles) -> None:
    staged = any_files.stage([], SCHEMAS["outcome"])
    with pytest.raises(LeaseLost):
        any_files.publish(staged, EventFile("outcome", DAY, EntryId(1, 0), EntryId(1, 0)), Lease(mine=False))
    assert any_files.list("outcome") == []
    any_files.discard(staged)
    assert not staged.exists()


def test_files_are_compressed_with_zstd_in_row_groups_that_do_not_follow_the_batches(
    files: EventFiles,
) -> None:

    schema = SCHEMAS["outcome"]
    rows = [pa.RecordBatch.from_pylist([{"event_id": str(number)}], schema=schema) for number in range(50)]
    staged = files.stage(rows, schema)
    found = pq.ParquetFile(staged).metadata
    assert found.num_row_groups == 1
    assert found.num_rows == 50
    assert found.row_group(0).column(0).compression == "ZSTD"
    files.discard(staged)


def test_a_file_that_cannot_be_finished_leaves_nothing_behind(files: EventFiles) -> None:
    def breaks() -> object:
        yield from ()
        raise OSError("the source is gone")

    with pytest.raises(OSError, match="the source is gone"):
        files.stage(breaks(), SCHEMAS["outcome"])  # type: ignore[arg-type]
    assert [path for path in Path(files.root).rglob("*") if path.is_file()] == []


def test_what_a_killed_process_staged_is_removed_and_what_this_one_stages_is_not(
    any_files: EventFiles, s3: dict[str, str]
) -> None:
    url = any_files.root if any_files.local else f"s3://{any_files.root}"
    abandoned, own = (
        EventFiles(url, s3).stage([], SCHEMAS["outcome"]),
        any_files.stage([], SCHEMAS["outcome"]),
    )
    (own.parent / "ekiben-events-a-folder").mkdir(exist_ok=True)
    any_files.remove_abandoned()
    assert not abandoned.exists()
    assert own.exists()
    any_files.discard(own)


STRAYS: Final = (
    b"notes.txt",
    b"day=2026-11-21/part-0.parquet",
    b"day=2026-11-21/.00000000000001.000000-00000000000002.000000.parquet.swp",
    b"day=2026-11-21/00000000000001.000000-00000000000002.000000.parquet.tmp",
    b"day=2026-11-21/1.0-2.0.parquet",
    b"day=2026-11-21/00000000000009.000000-00000000000002.000000.parquet",
    b"day=2026-02-31/00000000000001.000000-00000000000002.000000.parquet",
    b"day=0000-00-00/00000000000001.000000-00000000000002.000000.parquet",
    b"other/00000000000001.000000-00000000000002.000000.parquet",
    b"day=2026-11-21/deeper/day=2026-11-21/00000000000001.000000-00000000000002.000000.parquet",
    "day=2026-11-21/\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0661.000000-00000000000002.000000.parquet".encode(),
)


def test_whatever_else_lies_among_the_files_is_skipped(any_files: EventFiles) -> None:
    put_file(any_files, "outcome", 1, 5, [(1, outcome("a"))])
    for stray in STRAYS:
        path = f"{any_files.root}/kind=outcome/{stray.decode()}"
        any_files.filesystem.create_dir(path.rpartition("/")[0], recursive=True)
        with any_files.filesystem.open_output_stream(path) as sink:
            sink.write(b"stray")
    assert read(any_files, "outcome") == ["a"]


def test_names_that_only_a_disk_can_have_are_skipped_and_each_is_reported_once(
    files: EventFiles, caplog: pytest.LogCaptureFixture
) -> None:
    put_file(files, "outcome", 1, 5, [(1, outcome("a"))])
    kind = Path(files.root) / "kind=outcome"
    os.close(os.open(os.fsencode(kind) + b"/day=2026-11-21/\xff.parquet", os.O_CREAT))
    (kind / "day=2026-11-21" / "up").symlink_to(kind)
    (kind / "day=2026-11-20").symlink_to("/nowhere")
    os.mkfifo(kind / "day=2026-11-21" / "00000000000006.000000-00000000000007.000000.parquet")
    (kind / "day=2026-11-21" / "00000000000008.000000-00000000000009.000000.parquet").mkdir()
    (kind / "two\nlines").touch()
    (Path(files.root) / "kind=shadow").touch()
    for _ in range(2):
        assert read(files, "outcome") == ["a"]
        assert files.list("shadow") == []
    assert sorted(record.getMessage().count("\n") for record in caplog.records) == [0] * 6


def test_names_that_only_a_disk_can_have_beside_the_kinds_stop_neither_housekeeping_nor_a_listing(
    files: EventFiles,
) -> None:
    put_file(files, "outcome", 1, 5, [(1, outcome("a"))])
    root = os.fsencode(files.root)
    os.mkdir(root + b"/\xff")
    os.mkdir(root + b"/kind=\xff")
    os.mkdir(root + b"/kind=two\nlines")
    os.close(os.open(root + b"/kind=exposure", os.O_CREAT))
    os.close(os.open(root + b"/\xfe.parquet", os.O_CREAT))
    os.symlink(b"kind=circle", root + b"/kind=circle")
    assert files.kinds() == ("outcome",)
    Merging(files, Lease()).merge_all(NOON)
    Retention(files, 1).remove_expired(NOON, Lease(), None)


def test_a_bucket_that_is_not_there_is_an_error_and_no_empty_list(s3: dict[str, str]) -> None:
    absent = EventFiles("s3://absent/events", s3)
    staged = absent.stage([], SCHEMAS["outcome"])
    with pytest.raises(OSError, match="NO_SUCH_BUCKET"):
        absent.publish(staged, EventFile("outcome", DAY, EntryId(1, 0), EntryId(1, 0)), Lease())
    absent.discard(staged)


@pytest.mark.parametrize("url", ["gs://bucket/events", "s3://", "s3:///events", "redis://here"])
def test_an_address_that_is_neither_a_directory_nor_s3_is_refused(url: str) -> None:
    with pytest.raises(BadSetting, match="EKIBEN_EVENTS_URL"):
        EventFiles(url, {})


@pytest.mark.parametrize(("root", "folder", "file"), [(None, 0o700, 0o600), (0o2750, 0o2750, 0o640)])
def test_events_are_for_this_user_and_for_a_group_that_may_read_their_folder(
    tmp_path: Path, root: int | None, folder: int, file: int
) -> None:
    files = EventFiles(str(tmp_path / "events"))
    if root is not None:
        Path(files.root).mkdir()
        Path(files.root).chmod(root)
    published = Path(files.path(put_file(files, "outcome", 1, 5, [(1, outcome("a"))])))
    assert stat.S_IMODE(published.stat().st_mode) == file
    assert {stat.S_IMODE(path.stat().st_mode) for path in published.parents[:3]} == {folder}
