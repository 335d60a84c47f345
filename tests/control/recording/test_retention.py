"""What is kept, and what is no longer."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from control.event_files import EventFiles
from control.retention import remove_expired
from state.lease import LeaseLost
from tests.control.recording.events import DAY, NOON, Lease, exposure, outcome, put_file


def put_day(files: EventFiles, day: date, number: int) -> None:
    put_file(files, "outcome", number, number, [(number, outcome(f"o-{number}"))], day=day)
    put_file(files, "exposure", number, number, [(number, exposure(f"e-{number}"))], day=day)


def days(files: EventFiles, kind: str) -> list[date]:
    return sorted({file.day for file in files.list(kind)})


def test_days_older_than_they_are_to_be_kept_are_removed_for_every_kind(any_files: EventFiles) -> None:
    kept = [DAY - timedelta(days=age) for age in (2, 1, 0)]
    for number, day in enumerate([DAY - timedelta(days=4), DAY - timedelta(days=3), *kept]):
        put_day(any_files, day, number)
    removed = remove_expired(any_files, 2, NOON, Lease())
    assert len(removed) == 4
    assert days(any_files, "outcome") == kept
    assert days(any_files, "exposure") == kept


def test_with_nothing_too_old_nothing_is_removed(any_files: EventFiles) -> None:
    put_day(any_files, DAY, 1)
    assert remove_expired(any_files, 1, NOON, Lease()) == []
    assert days(any_files, "outcome") == [DAY]


def test_without_the_lease_nothing_is_removed(files: EventFiles) -> None:
    put_day(files, DAY - timedelta(days=30), 1)
    with pytest.raises(LeaseLost):
        remove_expired(files, 1, NOON, Lease(mine=False))
    assert len(files.list("outcome")) == 1
