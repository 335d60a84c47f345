from __future__ import annotations

import datetime
from typing import Any

import pytest
import yaml

from ekiben.experiments.parsing import parse_document
from tests.experiments.documents import credit, problems, variants

NET = "experiments.credit-net"


def model(**fields: Any) -> dict[str, Any]:
    data = credit()
    del data["experiments"]
    data["models"]["credit"].update(fields)
    return data


def endpoints(*urls: object) -> dict[str, Any]:
    return model(live="v1", shadow={}, versions={"v1": {"endpoints": list(urls)}})


def weighed(weight: object) -> dict[str, Any]:
    data = credit()
    data["experiments"]["credit-net"]["variants"]["treatment"]["weight"] = weight
    return data


def two(second: dict[str, Any], **first: Any) -> dict[str, Any]:
    data = credit(**first)
    data["experiments"]["credit-torch"] = {
        "model": "credit",
        "status": "running",
        "variants": variants(control=50, treatment=50),
        **second,
    }
    return data


def test_the_defaults_are_the_designs() -> None:
    document = parse_document(credit())
    assert (document.models["credit"].timeout_ms, document.models["credit"].cache_ttl_s) == (300, 300)
    experiment = document.experiments["credit-net"]
    assert (experiment.coverage, experiment.phase, experiment.seed) == (100, 1, None)
    assert list(experiment.variants) == ["control", "treatment"]


@pytest.mark.parametrize(
    "data",
    [
        credit(),
        model(),
        credit(namespace={"name": "Any Name 🍱", "from": 0, "to": 50}, seed="s", phase=2, coverage=12.5),
        credit(status="draft", overrides={"客户": "control"}),
        endpoints("https://model.example:8443", "http://[::1]:3001", "http://credit_v1"),
    ],
)
def test_a_dumped_document_reads_back_as_the_same_document(data: dict[str, Any]) -> None:
    document = parse_document(data)
    dumped = document.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    assert parse_document(dumped) == document
    assert parse_document(yaml.safe_load(yaml.safe_dump(dumped, sort_keys=False))) == document


def test_an_empty_experiments_section_is_none() -> None:
    data = model()
    data["experiments"] = None
    assert parse_document(data).experiments == {}


@pytest.mark.parametrize(
    ("weight", "why"),
    [
        ("50", 'must be a number, not "50": take the quotes away'),
        ("many", 'must be a number, not "many"'),
        (True, "must be a number, not true"),
        (None, "must be a number, not nothing"),
        ([1], "must be a number, not a list"),
        (-1, "must be at least 0 and at most 100, not -1"),
        (120, "must be at least 0 and at most 100, not 120"),
        (float("nan"), "must be a finite number, not nan"),
        (float("inf"), "must be a finite number, not inf"),
        (10**100, "is a number too large to be meant"),
        (datetime.date(2026, 1, 1), "is a date: write text (in quotes), a number, a list or a mapping"),
        ({1}, "is a set: write text (in quotes), a number, a list or a mapping"),
        (b"50", "is binary data: write text (in quotes), a number, a list or a mapping"),
    ],
)
def test_a_bad_weight_is_named_by_its_path(weight: object, why: str) -> None:
    assert problems(weighed(weight)) == (f"{NET}.variants.treatment.weight: {why}",)


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (
            model(live="v9"),
            'models.credit.live: there is no version "v9" (known: v1, v2, v3)',
        ),
        (model(live=1), "models.credit.live: must be text, not 1: write it in quotes"),
        (model(timeout_ms=0), "models.credit.timeout_ms: must be at least 1 and at most 60000, not 0"),
        (
            model(timeout_ms=60_001),
            "models.credit.timeout_ms: must be at least 1 and at most 60000, not 60001",
        ),
        (model(timeout_ms=2.5), "models.credit.timeout_ms: must be a whole number, not 2.5"),
        (model(timeout_ms=True), "models.credit.timeout_ms: must be a whole number, not true"),
        (model(shadow={"v2": 101}), "models.credit.shadow.v2: must be at most 100, not 101"),
        (
            model(shadow={"w": 5}),
            'models.credit.shadow.w: there is no version "w" (known: v1, v2, v3)',
        ),
        (
            model(timeout=5),
            (
                'models.credit.timeout: there is no key "timeout"; did you mean timeout_ms? '
                "(known: live, timeout_ms, cache_ttl_s, versions, shadow, capture)"
            ),
        ),
        (
            credit(variants=variants(control=50, treatment=49)),
            f"{NET}.variants: the weights add up to 99, and must make 100",
        ),
        (
            credit(status="runing"),
            f'{NET}.status: must be one of draft, running, paused, promoted, rolled_back, not "runing"',
        ),
        (credit(coverage=101), f"{NET}.coverage: must be at least 0 and at most 100, not 101"),
        (credit(coverage="5"), f'{NET}.coverage: must be a number, not "5": take the quotes away'),
        (credit(seed=""), f"{NET}.seed: must not be empty"),
        (credit(seed=7), f"{NET}.seed: must be text, not 7: write it in quotes"),
        (credit(phase=0), f"{NET}.phase: must be at least 1 and at most 1000000, not 0"),
        (credit(alpha=0.0), f"{NET}.alpha: must be more than 0 and less than 0.5, not 0.0"),
        (credit(alpha=0.5), f"{NET}.alpha: must be more than 0 and less than 0.5, not 0.5"),
        (credit(ramp={"steps": [-2, 5]}), f"{NET}.ramp.steps.0: must be more than 0, not -2"),
        (
            credit(model="credo"),
            f'{NET}.model: there is no model "credo"; did you mean credit? (known: credit)',
        ),
        (
            credit(overrides={"u-1": "treatmnt"}),
            (
                f'{NET}.overrides.u-1: there is no variant "treatmnt"; did you mean treatment? '
                "(known: control, treatment)"
            ),
        ),
        (
            credit(overrides={17: "treatment"}),
            f'{NET}.overrides.17: the key must be text: write it in quotes: "17"',
        ),
        (
            credit(overrides={"a.b\n": "x"}),
            f'{NET}.overrides."a.b\\n": there is no variant "x" (known: control, treatment)',
        ),
        (
            credit(overrides={"u": "\ud800"}),
            f"{NET}.overrides.u: is text that is not valid Unicode",
        ),
        (
            credit(
                variants={"control": {"version": "v2", "weight": 50}, "b": {"version": "v1", "weight": 50}},
                overrides={},
            ),
            (
                f'{NET}.variants.control.version: is "v2", but the first variant is the control, '
                "and serves the live version (v1) while the experiment is running"
            ),
        ),
        (
            credit(variants=variants(control=100), overrides={}),
            f"{NET}.variants: an experiment compares at least two variants: a control and a treatment",
        ),
        (
            credit(namespace={"name": "n", "from": 50, "to": 50}),
            f"{NET}.namespace: from (50) must be less than to (50)",
        ),
        (
            credit(namespace={"name": "n", "from": 0}),
            f"{NET}.namespace.to: is missing: percent where the share ends",
        ),
        (
            credit(metrics=[{"name": "x", "kind": "mean"}]),
            f"{NET}.metrics.0.outcome: is missing: the name of the outcomes it is made of",
        ),
        (
            credit(namespace={"name": "n", "from_": 0, "from": 0, "to": 1}),
            f'{NET}.namespace.from_: there is no key "from_"; did you mean from? (known: name, from, to)',
        ),
        (
            two({}),
            (
                "experiments.credit-torch.namespace: credit-net is running on the same model: give both one "
                "namespace, and each its own share of it (from, to)"
            ),
        ),
        (
            two(
                {"namespace": {"name": "n", "from": 40, "to": 90}},
                namespace={"name": "n", "from": 0, "to": 50},
            ),
            (
                "experiments.credit-torch.namespace: 40 to 90 overlaps the 0 to 50 "
                "of credit-net on the same model"
            ),
        ),
        (
            two(
                {"namespace": {"name": "n", "from": 50, "to": 90}, "overrides": {"u-qa-1": "control"}},
                namespace={"name": "n", "from": 0, "to": 50},
                status="paused",
            ),
            "experiments.credit-torch.overrides: credit-net already overrides u-qa-1 on the same model",
        ),
    ],
)
def test_each_mistake_is_one_line_with_its_path(data: dict[str, Any], line: str) -> None:
    assert problems(data) == (line,)


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:3001",
        "ftp://127.0.0.1",
        "http://",
        "http://127.0.0.1:3001/",
        "http://127.0.0.1:3001/bulk",
        "http://127.0.0.1:3001?x=1",
        "http://127.0.0.1:3001#x",
        "http://user:secret@127.0.0.1:3001",
        "http://a b",
        "http://a\n",
        "http://[::1",
        "http://a:٣",
        "",
    ],
)
def test_what_is_no_endpoint_is_refused_with_what_to_write(url: str) -> None:
    (line,) = problems(endpoints(url))
    assert line.startswith("models.credit.versions.v1.endpoints.0: ")
    assert line.endswith("is not an endpoint: write http://host:port, with nothing after it")


@pytest.mark.parametrize("port", ["0", "65536", "99999"])
def test_a_port_out_of_range_is_refused(port: str) -> None:
    assert problems(endpoints(f"http://a:{port}")) == (
        f'models.credit.versions.v1.endpoints.0: "http://a:{port}" has the port {port}: a port is 1 to 65535',
    )


def test_endpoints_must_be_a_list_of_text() -> None:
    path = "models.credit.versions.v1.endpoints"
    assert problems(endpoints()) == (f"{path}: must not be empty",)
    assert problems(endpoints(3001)) == (f"{path}.0: must be text, not 3001: write it in quotes",)
    data = endpoints()
    data["models"]["credit"]["versions"]["v1"]["endpoints"] = "http://a:1"
    assert problems(data) == (f'{path}: must be a list, not "http://a:1"',)


def test_an_endpoint_serves_one_version_and_is_listed_once() -> None:
    data = model(shadow={}, versions={"v1": {"endpoints": ["http://a:1", "http://a:1"]}})
    assert problems(data) == ("models.credit.versions.v1.endpoints.1: http://a:1 is listed twice",)
    data["models"]["credit"]["versions"] = {name: {"endpoints": ["http://a:1"]} for name in ("v1", "v2")}
    assert problems(data) == (
        (
            "models.credit.versions.v2.endpoints.0: http://a:1 already serves version v1: "
            "each version has its own service"
        ),
    )


@pytest.mark.parametrize("name", ["Credit", "-credit", "", "cre dit", "crédit", "a/b", "a.b", "a" * 101])
def test_names_are_plain(name: str) -> None:
    (line,) = problems({"models": {name: model()["models"]["credit"]}})
    assert "is 1 to 100 of a-z, 0-9, - and _" in line


def test_an_odd_name_is_quoted_wherever_it_is_told() -> None:
    line = problems(credit(overrides={"u": "x"}, variants=variants(control=50, **{"a\nb": 50})))[-1]
    assert line == f'{NET}.overrides.u: there is no variant "x" (known: control, "a\\nb")'


def test_weights_that_reach_every_bucket_make_a_hundred() -> None:
    third = 33.333
    parse_document(credit(variants=variants(a=third, b=third, c=third), overrides={}))
    data = credit(variants=variants(a=33.33, b=33.33, c=33.33), overrides={})
    assert problems(data) == (f"{NET}.variants: the weights add up to 99.99, and must make 100",)


def test_all_mistakes_are_told_at_once() -> None:
    data = two({"variants": variants(control=50, treatment=40), "model": "nothing"}, coverage="x")
    data["models"]["credit"]["timeout_ms"] = 0
    data["models"]["other"] = {"live": "v1", "versions": {"v1": {"endpoints": ["nowhere"]}}}
    data["extra"] = 1
    assert [line.split(": ")[0] for line in problems(data)] == [
        "extra",
        "models.credit.timeout_ms",
        f"{NET}.coverage",
        "models.other.versions.v1.endpoints.0",
        "experiments.credit-torch.model",
        "experiments.credit-torch.variants",
    ]


def test_an_experiment_of_a_model_with_mistakes_is_not_said_to_have_no_model() -> None:
    data = credit()
    data["models"]["credit"]["timeout_ms"] = 0
    assert problems(data) == ("models.credit.timeout_ms: must be at least 1 and at most 60000, not 0",)


@pytest.mark.parametrize("status", ["draft", "promoted", "rolled_back"])
def test_only_a_running_or_paused_experiment_needs_live_as_its_control(status: str) -> None:
    data = two({}, status=status)
    data["models"]["credit"]["live"] = "v1"
    data["experiments"]["credit-net"]["variants"]["control"]["version"] = "v3"
    parse_document(data)


def test_experiments_of_different_models_do_not_meet() -> None:
    data = two({"model": "other"})
    data["models"]["other"] = model()["models"]["credit"]
    parse_document(data)
