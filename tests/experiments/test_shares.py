"""What buckets hold, and which shares they cannot express."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiben.experiments.assignment import BUCKETS, bucket_ranges, choose_variation, in_namespace
from ekiben.experiments.changes.allowed import check_change
from ekiben.experiments.problems import DocumentError
from ekiben.experiments.shares import PLACES, buckets_held, share_problems
from tests.experiments.documents import credit_document, variants


def experiment(**fields: Any) -> Any:
    return credit_document(overrides={}, **fields).experiments["credit-net"]


@given(st.integers(1, 9999), st.floats(0, 100))
def test_the_buckets_of_a_variant_are_those_that_the_assignment_gives_it(cut: int, coverage: float) -> None:
    one = experiment(variants=variants(control=cut / 100, treatment=100 - cut / 100))
    weights = [variant.weight / 100 for variant in one.variants.values()]
    ranges = bucket_ranges(2, coverage / 100, weights)
    chosen = [choose_variation(n / BUCKETS, ranges) for n in range(BUCKETS)]
    assert buckets_held(one, coverage) == (chosen.count(0), chosen.count(1))


def test_weights_of_95_and_5_are_10_buckets_and_1_at_a_thousandth() -> None:
    assert buckets_held(experiment(variants=variants(control=95, treatment=5)), 0.1) == (10, 1)


@pytest.mark.parametrize(
    ("fields", "path", "words"),
    [
        (
            {"variants": variants(control=99.9, treatment=0.1), "coverage": 5},
            ("coverage",),
            (
                "at 5 % variant treatment has none of the 10,000 buckets, so no user gets it: the least "
                "coverage at which every variant has one is"
            ),
        ),
        (
            {"variants": variants(control=100, treatment=0)},
            ("variants", "treatment", "weight"),
            "a weight of 0 gets no users: give it at least 0.01, or leave the variant out",
        ),
        (
            {"coverage": 0.004, "variants": variants(control=33.335, treatment=66.665)},
            ("coverage",),
            "at 0.004 % variant treatment has none",
        ),
        (
            {"ramp": {"steps": [0.01, 50]}, "coverage": 0, "variants": variants(control=99.9, treatment=0.1)},
            ("ramp", "steps", 0),
            "the least coverage at which every variant has one is",
        ),
        (
            {"namespace": {"name": "n", "from": 0.01, "to": 0.05}},
            ("namespace",),
            (
                "0.01 to 0.05 % holds none of the 1,000 places of a namespace, so no user takes part: the "
                "nearest range with users is 0 to 0.1"
            ),
        ),
    ],
)
def test_a_share_that_gets_nobody_is_told_with_the_nearest_that_does(
    fields: dict[str, Any], path: Any, words: str
) -> None:
    found = dict(share_problems(experiment(**fields)))
    assert set(found) == {path}
    assert words in found[path]


def test_the_nearest_coverage_is_enough_and_a_bucket_less_is_not() -> None:
    (words,) = dict(
        share_problems(experiment(variants=variants(control=99.9, treatment=0.1), coverage=5))
    ).values()
    least = float(words.split()[-2])
    one = experiment(variants=variants(control=99.9, treatment=0.1))
    assert all(buckets_held(one, least))
    assert not all(buckets_held(one, least - 0.01))


@given(st.integers(0, 99_999), st.integers(1, 200))
def test_a_namespace_that_is_refused_has_nobody(start: int, width: int) -> None:
    low, high = start / 1000, min((start + width) / 1000, 100)
    shares = {"name": "n", "from": low, "to": high}
    refused = bool(list(share_problems(experiment(namespace=shares))))
    assert refused is not any(low / 100 <= place / PLACES < high / 100 for place in range(PLACES))
    assert in_namespace("u", ("n", 0.0, 1.0))


def test_only_a_change_to_such_a_share_is_refused_and_a_stored_one_stays() -> None:
    bad = credit_document(variants=variants(control=100, treatment=0))
    check_change(bad, bad)
    check_change(bad, credit_document(variants=variants(control=100, treatment=0), status="paused"))
    for before in (None, credit_document(variants=variants(control=100, treatment=0), status="draft")):
        with pytest.raises(DocumentError, match="gets no users"):
            check_change(before, bad)
    with pytest.raises(DocumentError, match="least coverage"):
        check_change(
            credit_document(variants=variants(control=99.9, treatment=0.1)),
            credit_document(variants=variants(control=99.9, treatment=0.1), coverage=5),
        )
