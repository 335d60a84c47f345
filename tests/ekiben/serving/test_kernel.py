"""A version without a server: importable, and answering, where nothing that serves is installed."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ekiben.serving.features import Features, number, text
from ekiben.serving.kernel import Kernel, open_kernel
from ekiben.serving.models.model import Model, Row
from ekiben.serving.output import Output, classes_output, value_output, values_output
from ekiben.serving.stored import ModelRefused
from services.credit.schema import OUTPUT, Applicant
from tests.ekiben.serving.conftest import ROOT, environment


class Person(Features):
    age: float = number(18, 120, "years", "")
    about: str | None = text("", missing=True)


class Ages:
    """A model of several columns: the age, and multiples of it. Raises on somebody of 66."""

    inputs = ("age",)
    runtime = "tests"

    def __init__(self, width: int = 0) -> None:
        self._width = width

    def scores(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        if any(row["age"] == 66 for row in rows):
            raise ZeroDivisionError
        ages = np.array([math.nan if row["age"] == 99 else row["age"] for row in rows])
        return np.outer(ages, np.arange(1, self._width + 1)) if self._width else ages


class Counted:
    """A `Measure` that remembers."""

    def __init__(self) -> None:
        self.labels: Counter[Any] = Counter()
        self.failures = 0

    def record(self, labels: Counter[Any], seconds: float) -> None:
        assert seconds >= 0
        self.labels += labels

    def failed(self, rows: int) -> None:
        self.failures += rows


def folder_of(home: Path) -> Path:
    (path,) = (each for each in (home / "models" / "credit_v1").iterdir() if each.is_dir())
    return path


_PROGRAM = """
import json, sys
from importlib.abc import MetaPathFinder

class NotInstalled(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"bentoml", "_bentoml_sdk", "starlette", "prometheus_client", "aiohttp"}:
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, NotInstalled())
from pathlib import Path
from ekiben.serving.kernel import open_kernel
from services.credit.schema import OUTPUT, Applicant
print(json.dumps(open_kernel(Path(sys.argv[1]), Applicant, OUTPUT).answer(json.loads(sys.argv[2]))))
"""


def test_it_answers_as_the_service_does_where_no_bentoml_is_installed(
    home: Path, v1: str, applicants: list[dict[str, Any]]
) -> None:
    import httpx

    rows = [*applicants[:5], {"age": "?"}]
    command = [sys.executable, "-c", _PROGRAM, str(folder_of(home)), json.dumps(rows)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(home), capture_output=True, text=True, check=True
    )
    served = httpx.post(f"{v1}/bulk", json=rows).json()
    assert json.loads(done.stdout) == served
    assert [list(each) for each in served] == [["ok"]] * 5 + [["error"]]


def test_what_becomes_of_each_row_is_counted_by_the_measure_that_is_given() -> None:
    measure = Counted()
    kernel = Kernel(Ages(), Person, value_output(), measure)
    ages: list[Any] = [20, 66, "?", 99, 30]
    answers = kernel.answer([{"age": age} for age in ages])
    assert [each.get("error", {}).get("status") for each in answers] == [None, 500, 422, 500, None]
    assert measure.labels == {"value": 3 - 1}
    assert measure.failures == 2


def test_checked_rows_are_answered_with_predictions_and_none_where_there_is_none() -> None:
    kernel = Kernel(Ages(), Person, value_output())
    found = kernel.predict([Person(age=20), Person(age=66)])
    assert [None if each is None else each.model_dump() for each in found] == [{"value": 20.0}, None]


def test_one_number_of_a_matrix_that_is_not_finite_costs_its_row_alone() -> None:
    kernel = Kernel(Ages(2), Person, values_output(["once", "twice"]))
    first, bad, last = kernel.answer([{"age": age} for age in (20, 99, 30)])
    assert first == {"ok": {"values": {"once": 20.0, "twice": 40.0}}}
    assert last == {"ok": {"values": {"once": 30.0, "twice": 60.0}}}
    assert bad == {"error": {"status": 500}}


@pytest.mark.parametrize(
    ("model", "output", "words"),
    [
        (Ages(2), classes_output(["a", "b", "c"]), r"scores of shape \(1, 2\), the output takes \(1, 3\)"),
        (Ages(), classes_output(["a", "b"]), r"scores of shape \(1,\), the output takes \(1, 2\)"),
        (Ages(3), value_output(), r"scores of shape \(1, 3\), the output takes \(1,\)"),
        (Ages(), OUTPUT, r"looks at age, which Nobody does not have"),
    ],
)
def test_a_model_that_does_not_fit_the_schema_is_refused_at_once(
    model: Model, output: Output, words: str
) -> None:
    class Nobody(Features):
        name: str = text("")

    with pytest.raises(ModelRefused, match=words):
        Kernel(model, Nobody if "Nobody" in words else Person, output)


def test_one_column_is_taken_for_one_score() -> None:
    (answer,) = Kernel(Ages(1), Person, value_output()).answer([{"age": 40}])
    assert answer == {"ok": {"value": 40.0}}


class OnlyAdults(Ages):
    def scores(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        if any(not row["about"] for row in rows):
            raise ValueError("nothing is said of somebody")
        return super().scores(rows)


def test_a_model_that_cannot_take_a_row_that_says_nothing_is_told_of_and_serves(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kernel = Kernel(OnlyAdults(), Person, value_output())
    assert "a first call of the model, with a row that says nothing, failed: ValueError at" in caplog.text
    assert kernel.answer([{"age": 20, "about": "tall"}]) == [{"ok": {"value": 20.0}}]


def test_a_folder_without_a_published_model_is_refused_in_one_line(home: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match=r"holds no published model: give a folder with model\.yaml"):
        open_kernel(tmp_path, Applicant, OUTPUT)
    for name in ("model.yaml", "model.onnx"):
        (tmp_path / name).write_bytes((folder_of(home) / name).read_bytes())
    with pytest.raises(ModelRefused, match=r"model\.skops is missing"):
        open_kernel(tmp_path, Applicant, OUTPUT)
