"""The data, and the split that everything is measured on."""

from __future__ import annotations

import json

from services.credit.schema import Applicant
from training.credit.data import HELD_OUT_JSONL, held_out_lines, read_rows, split


def test_there_are_4454_applications_of_13_features_and_28_percent_are_bad() -> None:
    rows = read_rows()
    assert len(rows) == 4454
    assert list(rows[0]) == [*Applicant.model_fields, "status"]
    assert round(sum(row["status"] == "bad" for row in rows) / len(rows), 2) == 0.28


def test_the_split_holds_out_30_percent_with_the_same_share_of_bad() -> None:
    cut = split()
    assert (len(cut.train), len(cut.held_out)) == (3117, 1337)
    assert abs(cut.train_bad.mean() - cut.held_out_bad.mean()) < 0.001


def test_no_application_is_lost_or_on_both_sides() -> None:
    cut = split()
    both = [json.dumps(row) for row in cut.train_rows + cut.held_out_rows]
    everything = [
        json.dumps({name: value for name, value in row.items() if name != "status"}) for row in read_rows()
    ]
    assert sorted(both) == sorted(everything)


def test_the_split_is_the_same_every_time() -> None:
    assert split().held_out_rows == split().held_out_rows


def test_held_out_jsonl_is_the_split() -> None:
    assert HELD_OUT_JSONL.read_text(encoding="utf-8").splitlines() == held_out_lines()
