"""The loan applications: loading them, and the split that every version is trained and measured on."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from ekiben.serving.features import kinds
from services.credit.schema import Applicant

FOLDER: Final = Path(__file__).parents[1] / "data"
CREDIT_CSV: Final = FOLDER / "credit_data.csv"
HELD_OUT_JSONL: Final = FOLDER / "held_out.jsonl"

TARGET: Final = "status"
POSITIVE: Final = "bad"
SPLIT_SEED: Final = 2026
HELD_OUT_ROWS: Final = 1337  # 30 % of 4,454

CATEGORIES: Final = tuple(name for name, kind in kinds(Applicant).items() if kind == "category")
NUMBERS: Final = tuple(name for name, kind in kinds(Applicant).items() if kind == "number")


@dataclass(frozen=True, slots=True)
class Split:
    """The same applications cut in two, stratified by the target.

    In the frames a missing number is NaN and a missing category the empty string; the targets are 1 for
    `bad`, in an array of the frame's length. The rows are the same applications as JSON has them.
    """

    train: pd.DataFrame
    train_bad: NDArray[np.int64]
    train_rows: list[dict[str, Any]]
    held_out: pd.DataFrame
    held_out_bad: NDArray[np.int64]
    held_out_rows: list[dict[str, Any]]


def read_rows() -> list[dict[str, Any]]:
    """Every application, `status` included, JSON-ready: whole numbers, strings, None for missing."""
    with CREDIT_CSV.open(newline="", encoding="utf-8") as file:
        return [{name: _value(name, text) for name, text in row.items()} for row in csv.DictReader(file)]


def _value(name: str, text: str) -> int | str | None:
    if text == "":
        return None
    return text if name in CATEGORIES or name == TARGET else int(text)


def frame_of(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """The rows as models are trained on them, one column a feature in the order of `Applicant`."""
    return pd.DataFrame(
        {
            name: np.array([row[name] or "" for row in rows], dtype=object)
            if name in CATEGORIES
            else np.array([row[name] for row in rows], dtype=np.float64)
            for name in Applicant.model_fields
        }
    )


def split() -> Split:
    """The seeded, stratified split: 3,117 applications to train on, 1,337 held out."""
    rows = read_rows()
    bad = np.array([row.pop(TARGET) == POSITIVE for row in rows], dtype=np.int64)
    train, held_out = train_test_split(
        np.arange(len(rows)), test_size=HELD_OUT_ROWS, stratify=bad, random_state=SPLIT_SEED
    )
    train_rows, held_out_rows = [rows[i] for i in train], [rows[i] for i in held_out]
    return Split(
        frame_of(train_rows), bad[train], train_rows, frame_of(held_out_rows), bad[held_out], held_out_rows
    )


def held_out_lines() -> list[str]:
    """The lines of `held_out.jsonl`, for who may not import this: `{"features": {…}, "status": "good"}`."""
    cut = split()
    return [
        json.dumps({"features": row, "status": POSITIVE if bad else "good"})
        for row, bad in zip(cut.held_out_rows, cut.held_out_bad.tolist(), strict=True)
    ]


if __name__ == "__main__":
    HELD_OUT_JSONL.write_text("\n".join(held_out_lines()) + "\n", encoding="utf-8")
