"""Rows that are made up are rows that the model takes."""

from __future__ import annotations

from random import Random

import pytest

from ekiben.clients.made_up import NoFeatures, features_of, made_up
from ekiben.serving.features import Features, category, json_schema, number
from services.credit.schema import Applicant


class Wide(Features):
    """Ranges that nobody has described, and one that has a single value."""

    anything: float = number(-1e9, 1e9, "unit", "what it is")
    far: float = number(5e8, 1e9, "unit", "far from zero")
    fixed: float = number(3, 3, "unit", "always the same")
    word: str | None = category("one of a few", missing=True)


@pytest.mark.parametrize("features", [Applicant, Wide])
def test_every_row_is_valid_and_rows_differ(features: type[Features]) -> None:
    schema, chance = json_schema(features), Random(1)
    rows = [made_up(schema, chance) for _ in range(300)]
    for row in rows:
        features.model_validate(row)
    assert len({str(row) for row in rows}) > 250
    optional = [name for name, field in features.model_fields.items() if not field.is_required()]
    assert all(any(row[name] is None for row in rows) for name in optional)
    assert rows == [made_up(schema, again) for again in [Random(1)] for _ in range(300)]


def test_the_features_are_those_of_a_version_that_tells_them() -> None:
    told = {"versions": {"v1": {"info": None}, "v2": {"info": {"features": json_schema(Wide)}}}}
    assert features_of(told) == json_schema(Wide)
    with pytest.raises(NoFeatures, match="no version of it says what its features are"):
        features_of({"versions": {"v1": {}}})
