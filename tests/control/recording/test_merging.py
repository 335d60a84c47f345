"""Merging keeps every event once, whatever overlaps and wherever it is broken off."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ekiben.control.recording.files import EventFiles
from ekiben.control.recording.merging import Merging, closed_groups, merge
from ekiben.control.recording.ranges import EntryId, EventFile, without_contained
from ekiben.control.recording.schemas import SCHEMAS
from ekiben.state.lease import LeaseLost
from ekiben.state.streams.events import Outcome
from tests.control.recording.events import DAY, NOON, Lease, outcome, put_file, read

LATER = NOON + 3 * 86_400
MS = int(NOON * 1000)


def names(first: int, last: int) -> list[tuple[int, Outcome]]:
    return [(ms, outcome(f"o-{ms}")) for ms in range(first, last + 1)]


def add_files(files: EventFiles, *ranges: tuple[int, int]) -> None:
    for first, last in ranges:
        put_file(files, "outcome", MS + first, MS + last, names(MS + first, MS + last))


def test_the_files_of_a_closed_day_become_one_with_the_same_events(any_files: EventFiles) -> None:
    add_files(any_files, (0, 4), (5, 9), (70_000, 70_001), (4_000_000, 4_000_003))
    before = read(any_files, "outcome")
    merging = Merging(any_files, Lease())
    merging.merge_all(LATER)
    assert len(any_files.readable("outcome").clean) == 1
    assert read(any_files, "outcome") == before
    merging.merge_all(LATER + 30)
    assert len(any_files.list("outcome")) == 5
    merging.merge_all(LATER + 61)
    merging.merge_all(LATER + 125)
    (left,) = any_files.list("outcome")
    assert (left.first.ms, left.last.ms) == (MS, MS + 4_000_003)
    assert read(any_files, "outcome") == before


def test_closed_minutes_become_one_file_each_and_closed_hours_one_file_each() -> None:
    def file(second: int, day: date = DAY) -> EventFile:
        at = EntryId(MS + second * 1000, 0)
        return EventFile("outcome", day, at, at)

    files = [file(second) for second in (0, 30, 59, 60, 90, 3600, 3610, 3660, 3670)]
    groups = closed_groups(files, NOON + 3725)
    assert groups == [files[:5], files[5:7]]
    assert closed_groups(files, NOON + 3630) == [[*files[:3]], [*files[3:5]]]
    assert closed_groups(files, NOON + 86_400) == [files]
    assert closed_groups(files[:1], NOON + 86_400) == []
    tomorrow = file(43_300, DAY + timedelta(days=1))
    assert closed_groups([*files, tomorrow], NOON + 2 * 86_400) == [files]


def test_a_day_is_left_open_for_what_was_begun_before_midnight() -> None:
    at = [EntryId(MS + second * 1000, 0) for second in (43_100, 43_190)]
    files = [EventFile("outcome", DAY, one, one) for one in at]
    midnight = NOON + 43_200
    assert closed_groups(files, midnight + 59) == []
    assert closed_groups(files, midnight + 601) == [files]


ranges = st.tuples(st.integers(0, 40), st.integers(0, 40)).map(lambda pair: (min(pair), max(pair)))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ranges, min_size=1, max_size=6, unique=True))
def test_events_in_overlapping_files_are_in_the_merged_one_once(
    tmp_path_factory: pytest.TempPathFactory, given_ranges: list[tuple[int, int]]
) -> None:
    files = EventFiles(str(tmp_path_factory.mktemp("events")))
    add_files(files, *given_ranges)
    held = sorted({ms for first, last in given_ranges for ms in range(first, last + 1)})
    Merging(files, Lease()).merge_all(LATER)
    assert not files.readable("outcome").overlapping
    assert read(files, "outcome") == [f"o-{MS + ms}" for ms in held]


def test_a_merge_that_was_broken_off_after_the_merged_file_appeared_changes_nothing(
    files: EventFiles,
) -> None:
    add_files(files, (0, 4), (5, 9))
    before = read(files, "outcome")
    merge(files, without_contained(files.list("outcome")), Lease())
    assert len(files.list("outcome")) == 3
    assert read(files, "outcome") == before
    restarted = Merging(files, Lease())
    restarted.merge_all(LATER)
    restarted.merge_all(LATER + 61)
    assert len(files.list("outcome")) == 1
    assert read(files, "outcome") == before


def test_without_the_lease_nothing_is_merged_and_nothing_is_left_behind(files: EventFiles) -> None:
    add_files(files, (0, 4), (5, 9))
    with pytest.raises(LeaseLost):
        Merging(files, Lease(mine=False)).merge_all(LATER)
    assert len(files.list("outcome")) == 2
    assert list((Path(files.root) / ".staging").iterdir()) == []


def test_a_file_with_fewer_columns_than_today_is_merged_with_nulls(files: EventFiles) -> None:
    add_files(files, (0, 0))
    older = [field for field in SCHEMAS["outcome"] if field.name != "id_hint"]
    table = pa.Table.from_pylist([{"event_id": "old"}], schema=pa.schema(older))
    file = EventFile("outcome", DAY, EntryId(MS + 1, 0), EntryId(MS + 1, 0))
    pq.write_table(table, files.path(file))
    Merging(files, Lease()).merge_all(LATER)
    assert len(files.readable("outcome").clean) == 1
    assert read(files, "outcome") == [f"o-{MS}", "old"]
    assert read(files, "outcome", "id_hint") == [None, None]
