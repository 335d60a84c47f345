"""The JSON Schema of the experiments file agrees with the check that decides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ekiben.experiments.parsing import parse_document
from ekiben.experiments.problems import DocumentError
from ekiben.experiments.schema import experiments_schema
from ekiben.state.documents.experiments_file import parse_experiments
from tests.experiments.documents import credit

ROOT = Path(__file__).parents[2]
VALIDATOR = jsonschema.Draft202012Validator(experiments_schema())
OURS = sorted(
    path.relative_to(ROOT)
    for pattern in (
        "experiments.yaml",
        "deploy/experiments/*.yaml",
        "deploy/kubernetes/base/experiments.yaml",
        "ekiben/demo/scenarios/*.yaml",
    )
    for path in ROOT.glob(pattern)
)
EVERYTHING = {
    "coverage": 10,
    "seed": "s",
    "phase": 2,
    "namespace": {"name": "credit", "from": 0, "to": 50.5},
    "metrics": [
        {"name": "profit", "outcome": "profit", "kind": "mean", "covariate": "earlier", "window_hours": 0.5},
        {"name": "a", "outcome": "a", "kind": "proportion", "guardrail": {"max_worse": 0.05}},
        {"name": "r", "outcome": "a", "kind": "ratio", "denominator": "b", "better": "lower"},
        {"name": "l", "outcome": "bad", "kind": "label", "measure": "brier", "better": "lower"},
        {"name": "c", "outcome": "mood", "kind": "label", "classes": ["sad", "plain", "glad"]},
    ],
    "request_limits": {"latency_ms": 250, "error_rate": 0},
    "alpha": 0.1,
    "min_users": 1,
    "min_days": 0,
    "ramp": {"steps": [10, 100], "every": "30m", "guardrails": ["a", "slow_rate"], "then": "promote"},
    "acknowledged_model_versions": ["credit_v2:1"],
}


def accepted(data: object) -> bool:
    try:
        parse_document(data)
    except DocumentError:
        return False
    return True


def metric(**fields: Any) -> dict[str, Any]:
    return credit(metrics=[{"name": "m", "outcome": "o", "kind": "mean"} | fields])


def model(**fields: Any) -> dict[str, Any]:
    data = credit()
    data["models"]["credit"] |= fields
    return data


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(experiments_schema())


@pytest.mark.parametrize("path", OURS, ids=str)
def test_a_file_of_ours_validates(path: Path) -> None:
    parse_experiments((ROOT / path).read_bytes())
    VALIDATOR.validate(yaml.safe_load((ROOT / path).read_text()))


@pytest.mark.parametrize(
    "data",
    [
        credit(),
        credit(**EVERYTHING),
        {"models": credit()["models"]},
        {"models": credit()["models"], "experiments": None},
        credit(seed=None, namespace=None, ramp=None),
        model(capture={"per_second": 5, "scores_per_second": 500, "without": ["income"]}),
        model(capture=None),
        credit(segments=["country", "plan"]),
        metric(denominator=None, covariate=None, guardrail=None, classes=None),
        model(versions={"v1": {"endpoints": ["https://[::1]:1", "http://a-b.c"], "workers": 4}}, shadow={})
        | {"experiments": {}},
        credit(ramp={"steps": [1], "every": "00600s"}),
    ],
)
def test_what_the_check_takes_validates(data: object) -> None:
    parse_document(data)
    VALIDATOR.validate(data)


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"models": {}},
        {"models": None},
        credit() | {"extra": 1},
        model(live=1),
        model(timeout_ms=0),
        model(timeout_ms="300"),
        model(timeout_ms=True),
        model(cache_ttl_s=None),
        model(versions={}),
        model(versions={"V1": {"endpoints": ["http://a:1"]}}),
        model(versions={"v1": {"endpoints": []}}),
        model(versions={"v1": {"endpoints": "http://a:1"}}),
        model(versions={"v1": {"endpoints": ["a:1"]}}),
        model(versions={"v1": {"endpoints": ["http://a:1/path"]}}),
        model(versions={"v1": {"endpoints": ["http://a:1"], "workers": 0}}),
        model(shadow={"v3": 101}),
        model(shadow=["v3"]),
        model(capture={"per_second": -1}),
        model(capture={"without": "income"}),
        credit(model=None),
        credit(segments="country"),
        credit(segments=["a", "b", "c", "d", "e", "f"]),
        credit(segments=[""]),
        credit(status="started"),
        credit(coverage=-1),
        credit(coverage="10"),
        credit(seed=""),
        credit(phase=0),
        credit(variants={"control": {"version": "v1", "weight": 100}}),
        credit(variants={"c": {"version": "v1", "weight": 50}, "t x": {"version": "v2", "weight": 50}}),
        credit(overrides={"": "treatment"}),
        credit(overrides={"u": 3}),
        credit(namespace={"name": "n", "from": 0}),
        credit(namespace={"name": "n", "from": 0, "to": 101}),
        credit(alpha=0.5),
        credit(min_users=0),
        credit(min_days=-1),
        credit(request_limits={"error_rate": 2}),
        credit(request_limits={"latency": 2}),
        credit(acknowledged_model_versions="credit_v2:1"),
        metric(name="error_rate"),
        metric(name=None),
        metric(kind="median"),
        metric(kind="ratio"),
        metric(kind="ratio", denominator="d", covariate="c"),
        metric(denominator="d"),
        metric(kind="label", covariate="c"),
        metric(kind="label", guardrail={"max_worse": 0.1}),
        metric(kind="label", measure="brier"),
        metric(kind="label", classes=["one"]),
        metric(kind="label", classes=[f"c{number}" for number in range(33)]),
        metric(kind="label", classes=["a", "b", "a"]),
        metric(kind="label", classes=["a", ""]),
        metric(classes=["a", "b"]),
        metric(guardrail={"max_worse": 11}),
        metric(guardrail={}),
        metric(window_hours=0),
        metric(better="up"),
        credit(ramp={"steps": []}),
        credit(ramp={"steps": [0]}),
        credit(ramp={"steps": [10], "every": "1w"}),
        credit(ramp={"steps": [10], "every": "0s"}),
        credit(ramp={"steps": [10], "then": "stop"}),
        credit(ramp={}),
    ],
)
def test_what_a_schema_can_express_is_refused_by_both(data: object) -> None:
    assert not accepted(data)
    assert not VALIDATOR.is_valid(data)


def places(data: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The path of every value in a document."""
    below = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path, *(place for key, value in below for place in places(value, (*path, key)))]


anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 200),
    st.floats(-2, 200),
    st.sampled_from(["", "v1", "v2", "treatment", "mean", "ratio", "label", "lower", "1h", "a"]),
    st.just([]),
    st.just({}),
)


@settings(max_examples=400, deadline=None)
@given(place=st.sampled_from(places(credit(**EVERYTHING))[1:]), value=anything, removed=st.booleans())
def test_whatever_the_check_takes_validates(place: tuple[Any, ...], value: object, removed: bool) -> None:
    data: Any = credit(**json.loads(json.dumps(EVERYTHING)))
    inner = data
    for key in place[:-1]:
        inner = inner[key]
    if removed:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    if accepted(data):
        VALIDATOR.validate(data)
