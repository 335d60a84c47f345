"""What follows from the names of event files."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ekiben.control.recording.ranges import EntryId, EventFile, overlapping, unwritten_runs, without_contained
from tests.control.recording.events import DAY


def file(first: int, last: int) -> EventFile:
    return EventFile("outcome", DAY, EntryId(first, 0), EntryId(last, 0))


ranges = st.tuples(st.integers(0, 30), st.integers(0, 30)).map(lambda pair: file(min(pair), max(pair)))
some_files = st.lists(ranges, max_size=12, unique=True)


@given(st.integers(0, 10**13), st.integers(0, 10**5), st.integers(0, 10**13), st.integers(0, 10**5))
def test_a_path_says_again_what_it_was_made_from(a: int, b: int, c: int, d: int) -> None:
    first, last = sorted((EntryId(a, b), EntryId(c, d)))
    made = EventFile("shadow", DAY, first, last)
    assert EventFile.parse("shadow", f"s3-bucket/prefix/{made.path}") == made


@given(some_files)
def test_names_sort_as_the_stream_does(files: list[EventFile]) -> None:
    assert [f.path for f in sorted(files, key=lambda f: (f.first, f.last))] == sorted(f.path for f in files)


def test_other_files_in_the_folders_are_none_of_ours() -> None:
    for path in ("kind=outcome/day=2026-11-21/part-0.parquet", "kind=outcome/day=2026-11-21", "a", ""):
        assert EventFile.parse("outcome", path) is None


@given(some_files)
def test_without_the_contained_ones_files_cover_the_same_entries_and_none_lies_in_another(
    files: list[EventFile],
) -> None:
    kept = without_contained(files)
    assert covered(kept) == covered(files)
    for one in kept:
        assert not any(other.first <= one.first and one.last <= other.last for other in kept if other != one)


@given(some_files)
def test_files_that_are_not_overlapping_share_no_entry_with_any_other(files: list[EventFile]) -> None:
    kept = without_contained(files)
    shared = overlapping(kept)
    for one in kept:
        others = covered([other for other in kept if other != one])
        assert (one in shared) == bool(covered([one]) & others)


@given(st.sets(st.integers(0, 30)), some_files)
def test_runs_hold_each_unwritten_entry_once_and_their_ranges_no_written_one(
    entries: set[int], files: list[EventFile]
) -> None:
    runs = unwritten_runs([EntryId(ms, 0) for ms in sorted(entries)], files)
    assert [entry.ms for run in runs for entry in run] == sorted(entries - covered(files))
    for run in runs:
        assert not covered([file(run[0].ms, run[-1].ms)]) & covered(files)


def test_entries_between_which_nothing_is_written_stay_together() -> None:
    entries = [EntryId(ms, 0) for ms in (1, 2, 5, 6, 9)]
    assert len(unwritten_runs(entries, [])) == 1
    assert [len(run) for run in unwritten_runs(entries, [file(3, 4)])] == [2, 3]


def covered(files: list[EventFile]) -> set[int]:
    return {ms for one in files for ms in range(one.first.ms, one.last.ms + 1)}
