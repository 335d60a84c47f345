"""Texts, lists and tensors: what they may be, what is said of one that may not, and what that costs."""

from __future__ import annotations

import math
from typing import Any

import pytest

from ekiben.process.environ import BadSetting
from ekiben.serving.features import (
    Features,
    blank_row,
    category,
    json_schema,
    kinds,
    number,
    numbers,
    tensor,
    text,
)
from ekiben.serving.rows import RowChecker


class Everything(Features):
    words: str = text("what was written", max_bytes=10)
    note: str | None = text("", missing=True)
    visits: list[float] = numbers(0, 100, "visits", "visits a day")
    week: list[float] = numbers(-1, 1, "share", "", length=7)
    photo: list[list[float]] = tensor((2, 3), 0, 1, "share of white", "row by row")


GOOD: dict[str, Any] = {
    "words": "good",
    "visits": [1, 2.5],
    "week": [0, 0.5, -1, 1, 0, 0, 0],
    "photo": [[0, 0.5, 1], [1, 1, 1]],
}


def errors_of(row: Any, features: type[Features] = Everything) -> list[dict[str, Any]]:
    [checked] = RowChecker(features).check_each([row])
    return checked if isinstance(checked, list) else []


def test_what_is_declared_is_taken_as_it_is() -> None:
    [row] = RowChecker(Everything).check_each([GOOD])
    assert isinstance(row, Everything)
    assert row.model_dump() == {**GOOD, "note": None}


@pytest.mark.parametrize(
    ("name", "value", "loc", "words"),
    [
        ("words", "12345678901", [], "at most 10 characters"),
        ("words", "ääääää", [], "at most 10 bytes in UTF-8"),
        ("words", None, [], "valid string"),
        ("words", ["good"], [], "valid string"),
        ("note", "x" * 65_537, [], "at most 65536 characters"),
        ("note", "ä" * 33_000, [], "at most 65536 bytes"),
        ("visits", [], [], "at least 1 item"),
        ("visits", "1", [], "valid list"),
        ("visits", None, [], "valid list"),
        ("visits", [1, "2"], [1], "valid number"),
        ("visits", [1, True], [1], "valid number"),
        ("visits", [1, None], [1], "valid number"),
        ("visits", [1, math.nan], [1], "finite number"),
        ("visits", [math.inf], [0], "finite number"),
        ("visits", [101], [0], "less than or equal to 100"),
        ("week", [0] * 6, [], "at least 7 items"),
        ("week", [0] * 8, [], "at most 7 items"),
        ("week", [0] * 6 + [-2], [6], "greater than or equal to -1"),
        ("photo", [[0, 0, 0]], [], "at least 2 items"),
        ("photo", [[0, 0, 0], [0, 0]], [1], "at least 3 items"),
        ("photo", [[0, 0, 0], [0, 0, [0]]], [1, 2], "valid number"),
        ("photo", [0, 0], [0], "valid list"),
        ("photo", [[0, 0, 0], [0, 0, math.nan]], [1, 2], "finite number"),
    ],
)
def test_what_is_not_is_refused_with_its_place(name: str, value: Any, loc: list[Any], words: str) -> None:
    [error] = errors_of({**GOOD, name: value})
    assert error["loc"] == [name, *loc]
    assert words in error["msg"]


def test_the_schema_says_kind_shape_and_limits() -> None:
    fields = json_schema(Everything)["properties"]
    assert {name: field["kind"] for name, field in fields.items()} == dict(kinds(Everything))
    assert fields["words"]["max_bytes"] == fields["words"]["maxLength"] == 10
    assert fields["week"]["minItems"] == fields["week"]["maxItems"] == 7
    assert (fields["visits"]["minItems"], fields["visits"]["maxItems"]) == (1, 65_536)
    photo = fields["photo"]
    assert photo["shape"] == [2, 3]
    assert photo["items"]["maxItems"] == 3
    assert photo["items"]["items"] == {"type": "number", "minimum": 0, "maximum": 1}


def test_a_row_that_says_nothing_is_valid() -> None:
    class Both(Everything):
        age: float = number(18, 120, "years", "")
        job: str = category("")

    row = blank_row(Both)
    assert errors_of(row, Both) == []
    assert row["age"] == 18
    assert row["note"] is None


def test_a_shape_that_cannot_be_served_is_an_error_where_it_is_declared() -> None:
    for wrong in ((), (0,), (1,), (2,) * 9, (1, 1)):
        with pytest.raises(ValueError, match=r"shape has 1 to 8 sizes|is no list"):
            tensor(wrong, 0, 1, "", "")
    with pytest.raises(
        ValueError, match=r"has 65,792 elements, and EKIBEN_MAX_ELEMENTS allows 65,536: raise"
    ):
        tensor((256, 257), 0, 1, "", "")
    with pytest.raises(ValueError, match="max_bytes of a text is from 1 to 65,536"):
        text("", max_bytes=65_537)


def test_the_most_elements_are_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EKIBEN_MAX_ELEMENTS", "100000")
    tensor((256, 257), 0, 1, "", "")
    monkeypatch.setenv("EKIBEN_MAX_ELEMENTS", "100")
    with pytest.raises(ValueError, match="allows 100: "):
        numbers(0, 1, "", "", length=101)
    monkeypatch.setenv("EKIBEN_MAX_ELEMENTS", "many")
    with pytest.raises(BadSetting, match="must be a whole number from 100"):
        numbers(0, 1, "", "")


def test_an_annotation_that_does_not_fit_the_shape_is_a_type_error() -> None:
    with pytest.raises(
        TypeError, match=r"shape \(2, 3\) is annotated as list\[list\[float\]\], not as list\[floa"
    ):

        class Flat(Features):
            photo: list[float] = tensor((2, 3), 0, 1, "", "")


def test_of_65536_wrong_elements_one_is_told_of() -> None:
    class Photo(Features):
        photo: list[list[float]] = tensor((256, 256), 0, 1, "", "")

    assert errors_of({"photo": [[0.5] * 256] * 256}, Photo) == []
    [error] = errors_of({"photo": [["x"] * 256] * 256}, Photo)
    assert error["loc"] == ["photo", 0, 0]
