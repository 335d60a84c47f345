"""What an applicant may be, and what is said of one who may not."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import BaseModel

from ekiben.serving.features import Features, category, json_schema, kinds, number
from ekiben.serving.output import Output
from ekiben.serving.rows import RowChecker
from services.credit.schema import Applicant, Prediction, answers

CHECKER = RowChecker(Applicant)
MAY_BE_MISSING = ("home", "marital", "job", "income", "assets", "debt")


def errors_of(row: Any) -> list[dict[str, Any]]:
    [checked] = CHECKER.check_each([row])
    return checked if isinstance(checked, list) else []


def test_every_held_out_applicant_is_valid(applicants: list[dict[str, Any]]) -> None:
    checked = CHECKER.check_each(applicants)
    assert len(checked) == 1337
    assert all(isinstance(row, Applicant) for row in checked)


@pytest.mark.parametrize("value", ["12", True, False, [], {}, [1], math.nan, math.inf, -math.inf, -1, 1e300])
@pytest.mark.parametrize("name", ["income", "age", "amount"])
def test_what_is_no_number_of_the_range_is_refused_with_its_field(
    applicant: dict[str, Any], name: str, value: Any
) -> None:
    [error] = errors_of({**applicant, name: value})
    assert error["loc"] == [name]
    assert error["msg"]


@pytest.mark.parametrize("value", [1, True, [], {}, "x" * 101])
def test_what_is_no_short_string_is_refused_as_a_category(applicant: dict[str, Any], value: Any) -> None:
    [error] = errors_of({**applicant, "job": value})
    assert error["loc"] == ["job"]


@pytest.mark.parametrize("value", [0, 0.0, 12, 12.5, 10**9])
def test_integers_and_floats_of_the_range_are_numbers(applicant: dict[str, Any], value: float) -> None:
    assert errors_of({**applicant, "income": value}) == []


def test_missing_is_allowed_exactly_where_the_data_has_it_missing(applicant: dict[str, Any]) -> None:
    for name in applicant:
        without = {other: value for other, value in applicant.items() if other != name}
        expected = [] if name in MAY_BE_MISSING else [[name]]
        assert [error["loc"] for error in errors_of({**applicant, name: None})] == expected
        assert [error["loc"] for error in errors_of(without)] == expected


def test_an_unknown_field_is_refused_by_its_name(applicant: dict[str, Any]) -> None:
    [error] = errors_of({**applicant, "salary": 1})
    assert error["loc"] == ["salary"]


@pytest.mark.parametrize("row", [None, 1, "row", [], [[]], True])
def test_a_row_that_is_no_object_is_refused(row: Any) -> None:
    assert len(errors_of(row)) == 1


def test_what_a_refusal_repeats_is_bounded(applicant: dict[str, Any]) -> None:
    errors = errors_of({**applicant, **{f"{i}" + "x" * 10_000: 1 for i in range(1000)}})
    assert len(errors) == 20
    assert len(str(errors)) < 5_000


def test_unknown_fields_beyond_the_first_ones_cost_nothing(applicant: dict[str, Any]) -> None:
    many = {**applicant, **{f"{i}": 1 for i in range(140_000)}}
    assert [error["loc"] for error in errors_of(many)] == [[f"{i}"] for i in range(20)]
    assert [error["loc"] for error in CHECKER.first_errors([applicant, many])][:1] == [[1, "0"]]


def test_the_errors_of_many_bad_rows_are_20_together(applicant: dict[str, Any]) -> None:
    errors = CHECKER.first_errors([applicant, *[{}] * 10_000])
    assert len(errors) == 20
    assert {error["loc"][0] for error in errors} <= {1, 2, 3, 4}


def test_a_bad_row_does_not_touch_its_neighbours(applicant: dict[str, Any]) -> None:
    first, bad, last = CHECKER.check_each([applicant, {**applicant, "age": "old"}, applicant])
    assert isinstance(bad, list)
    assert isinstance(first, Applicant)
    assert first == last


def test_the_schema_gives_each_number_a_unit_and_a_range() -> None:
    schema = json_schema(Applicant)["properties"]
    for name, kind in kinds(Applicant).items():
        field = schema[name]
        constraints = {**field, **(field["anyOf"][0] if "anyOf" in field else {})}
        if kind == "number":
            assert {"unit", "minimum", "maximum"} <= constraints.keys()
        else:
            assert constraints["maxLength"] == 100


def test_features_made_without_a_kind_are_a_type_error() -> None:
    class Bare(Features):
        age: float

    class Kept(Features):
        age: float = number(0, 1, "years", "")
        job: str = category("")

    assert dict(kinds(Kept)) == {"age": "number", "job": "category"}
    with pytest.raises(TypeError, match=r"Bare\.age"):
        kinds(Bare)


def test_applicants_are_approved_below_the_break_even_and_declined_from_it() -> None:
    import numpy as np

    decisions = [answer["decision"] for answer in answers(np.array([0.0, 0.199999, 0.2, 1.0]))]
    assert decisions == ["approve", "approve", "decline", "decline"]


def test_the_labels_of_the_metrics_are_the_decisions_there_are() -> None:
    assert Output(Prediction, answers, "probability_bad", "decision").labels() == ("approve", "decline")


def test_a_decision_that_could_be_any_string_is_a_type_error() -> None:
    class Unbounded(BaseModel):
        decision: str

    with pytest.raises(TypeError, match="Literal"):
        Output(Unbounded, answers, "score", "decision").labels()
