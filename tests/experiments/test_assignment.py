from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ekiben.experiments.assignment import (
    BUCKETS,
    bucket_ranges,
    choose_variation,
    fnv32a,
    hash_v1,
    hash_v2,
    in_namespace,
)
from tests.experiments import vectors

# Chi-squared with k degrees of freedom has mean k and standard deviation sqrt(2 k); the populations are
# fixed, so a bound of four deviations either holds for ever or never did.
FOUR_DEVIATIONS = 4.0

any_text = st.text(st.characters(codec=None), max_size=30)  # lone surrogates too
shares = st.floats(0, 1)
weightings = st.lists(st.integers(1, 1000), min_size=1, max_size=6).map(
    lambda parts: [part / sum(parts) for part in parts]
)
places = st.integers(0, BUCKETS - 1).map(lambda bucket: bucket / BUCKETS)


def chi_squared(counts: list[int]) -> float:
    expected = sum(counts) / len(counts)
    return sum((count - expected) ** 2 for count in counts) / expected


def deviations(chi2: float, freedom: int) -> float:
    return float((chi2 - freedom) / (2 * freedom) ** 0.5)


@pytest.mark.parametrize(("seed", "value", "n"), vectors.HASH_V1)
def test_hash_v1_gives_growthbooks_numbers(seed: str, value: str, n: float) -> None:
    assert hash_v1(seed, value) == n


@pytest.mark.parametrize(("seed", "value", "n"), vectors.HASH_V2)
def test_hash_v2_gives_growthbooks_numbers(seed: str, value: str, n: float) -> None:
    assert hash_v2(seed, value) == n


@pytest.mark.parametrize(("name", "count", "coverage", "weights", "ranges"), vectors.BUCKET_RANGES)
def test_bucket_ranges_are_growthbooks(
    name: str,
    count: int,
    coverage: float,
    weights: list[float] | None,
    ranges: list[tuple[float, float]],
) -> None:
    result = bucket_ranges(count, coverage, weights)
    assert len(result) == len(ranges)
    assert all(ours == pytest.approx(theirs) for ours, theirs in zip(result, ranges, strict=True))


@pytest.mark.parametrize(("name", "n", "ranges", "index"), vectors.CHOOSE_VARIATION)
def test_choose_variation_chooses_as_growthbook(
    name: str, n: float, ranges: list[tuple[float, float]], index: int
) -> None:
    assert choose_variation(n, ranges) == index


@pytest.mark.parametrize(("name", "user", "namespace", "expected"), vectors.IN_NAMESPACE)
def test_in_namespace_agrees_with_growthbook(
    name: str, user: str, namespace: tuple[str, float, float], expected: bool
) -> None:
    assert in_namespace(user, namespace) is expected


def test_there_are_no_ranges_for_no_variants() -> None:
    assert bucket_ranges(0, 1.0) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0x811C9DC5),
        ("a", 0xE40C292C),  # this and the next: the reference vectors of the FNV site
        ("foobar", 0xBF9CF968),
    ],
)
def test_fnv32a_of_ascii_is_the_published_one(text: str, expected: int) -> None:
    assert fnv32a(text) == expected


@given(any_text)
def test_fnv32a_hashes_code_units_as_javascript_counts_them(text: str) -> None:
    expected = 0x811C9DC5
    encoded = text.encode("utf-16-be", "surrogatepass")
    for high, low in zip(encoded[::2], encoded[1::2], strict=True):
        expected = ((expected ^ (high << 8 | low)) * 0x01000193) % 2**32
    assert fnv32a(text) == expected


def test_an_emoji_counts_as_two_code_units() -> None:
    # What JavaScript's charCodeAt gives for U+1F371, the bento box.
    assert fnv32a("🍱") == fnv32a("\ud83c\udf71")
    assert fnv32a("🍱") != fnv32a("\uf371")


@given(any_text, any_text)
def test_a_hash_can_be_continued_from_its_state(first: str, second: str) -> None:
    assert fnv32a(second, fnv32a(first)) == fnv32a(first + second)


@given(any_text, any_text)
def test_every_text_has_a_place_in_the_unit_interval(seed: str, value: str) -> None:
    assert hash_v2(seed, value) in (bucket / BUCKETS for bucket in range(BUCKETS))
    assert 0 <= hash_v1(seed, value) < 1


@pytest.mark.parametrize("form", ["u-{}", "{}", "user{}@example.org", "客户-{}", "🍱{}"])
def test_users_fall_uniformly_into_the_ten_thousand_buckets(form: str) -> None:
    counts = [0] * BUCKETS
    for user in range(100_000):
        counts[round(hash_v2("credit-net", form.format(user)) * BUCKETS)] += 1
    assert abs(deviations(chi_squared(counts), BUCKETS - 1)) < FOUR_DEVIATIONS


@pytest.mark.parametrize(
    ("first", "second"), [("credit-net", "credit-net-2"), ("a", "b"), ("seed1", "seed2"), ("x", "é🍱")]
)
def test_seeds_assign_independently_of_each_other(first: str, second: str) -> None:
    cells = [[0] * 10 for _ in range(10)]
    for user in range(20_000):
        value = f"u-{user}"
        cells[int(hash_v2(first, value) * 10)][int(hash_v2(second, value) * 10)] += 1
    total = sum(map(sum, cells))
    rows = [sum(row) for row in cells]
    columns = [sum(column) for column in zip(*cells, strict=True)]
    chi2 = sum(
        (cells[i][j] - rows[i] * columns[j] / total) ** 2 / (rows[i] * columns[j] / total)
        for i in range(10)
        for j in range(10)
    )
    assert deviations(chi2, 81) < FOUR_DEVIATIONS


def test_every_process_computes_the_same_places() -> None:
    users = [f"u-{number}" for number in range(50)] + ["é", "🍱", "客户-1", "a b\nc"]
    program = (
        "import json, sys; from ekiben.experiments.assignment import hash_v1, hash_v2; "
        "print(json.dumps([[hash_v1('s', u), hash_v2('s', u)] for u in json.loads(sys.argv[1])]))"
    )
    here = [[hash_v1("s", user), hash_v2("s", user)] for user in users]
    for hash_seed in ("0", "1", "4242"):
        environ = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        answer = subprocess.run(
            [sys.executable, "-c", program, json.dumps(users)],
            env=environ,
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(answer.stdout) == here


@given(weightings, shares)
def test_ranges_begin_where_full_coverage_begins_and_never_overlap(
    weights: list[float], share: float
) -> None:
    full = bucket_ranges(len(weights), 1.0, weights)
    some = bucket_ranges(len(weights), share, weights)
    assert [start for start, _ in some] == [start for start, _ in full]
    assert all(start <= end for start, end in some)
    assert all(end <= start for (_, end), (start, _) in pairwise(some))


@given(weightings, shares, shares, places)
def test_raising_coverage_only_adds_people_and_moves_nobody(
    weights: list[float], one: float, other: float, place: float
) -> None:
    before = choose_variation(place, bucket_ranges(len(weights), min(one, other), weights))
    after = choose_variation(place, bucket_ranges(len(weights), max(one, other), weights))
    assert before in (after, -1)


@given(weightings)
@settings(max_examples=20)
def test_full_coverage_leaves_nobody_out(weights: list[float]) -> None:
    ranges = bucket_ranges(len(weights), 1.0, weights)
    assert all(choose_variation(bucket / BUCKETS, ranges) >= 0 for bucket in range(BUCKETS))


@given(any_text, any_text, st.lists(st.integers(0, 100), min_size=1, max_size=5))
def test_shares_of_a_namespace_that_do_not_overlap_have_no_user_in_common(
    user: str, name: str, cuts: list[int]
) -> None:
    edges = sorted({0, 100, *cuts})
    holding = [in_namespace(user, (name, start / 100, end / 100)) for start, end in pairwise(edges)]
    assert sum(holding) == 1
