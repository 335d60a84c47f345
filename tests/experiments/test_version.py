"""A version whose servers are not Ekiben's: what the document takes, and what it says of what it does not."""

from __future__ import annotations

from typing import Any

import pytest

from ekiben.experiments.parsing import parse_document
from ekiben.experiments.problems import DocumentError
from ekiben.experiments.version import Version

ASKED = {"kind": "bentoml", "path": "/predict", "argument": "texts", "feature": "text"}


def version(**fields: Any) -> Version:
    """A version with these fields, from a document that is taken."""
    one = {"endpoints": ["http://a:1"], **fields}
    return (
        parse_document({"models": {"m": {"live": "v1", "versions": {"v1": one}}}}).models["m"].versions["v1"]
    )


def refusal(**fields: Any) -> str:
    """What is said of a version with these fields."""
    with pytest.raises(DocumentError) as refused:
        version(**fields)
    return str(refused.value).removeprefix("models.m.versions.v1.")


def test_all_that_a_version_can_say_is_read_and_written_again() -> None:
    said = {
        "dialect": {**ASKED, "rows": "single", "concurrency": 16},
        "output": {"score": "a.0", "decision": ".", "scores": "p"},
        "model_version": "sentiment:4fd2",
        "headers": {"Authorization": "env:SENTIMENT_TOKEN"},
        "ca": "/etc/ca.pem",
    }
    written = version(**said).model_dump(mode="json", exclude_defaults=True)
    assert written == {"endpoints": ["http://a:1"], **said}


def test_headers_and_certificates_are_for_our_own_services_too() -> None:
    assert version(headers={"X-Tenant": "env:TENANT"}, ca="/etc/ca.pem").dialect is None


@pytest.mark.parametrize("field", ["output", "model_version"])
def test_our_own_services_tell_the_rest_themselves(field: str) -> None:
    given = {"output": {"score": "."}, "model_version": "mine"}[field]
    assert refusal(**{field: given}).startswith(f"{field}: a service of Ekiben's tells this itself")
    assert version(dialect=ASKED, **{field: given})


@pytest.mark.parametrize("path", ["predict", "", "/a b", "/a\r\nX: b", "/a?b", "/ä", "http://b:1/predict"])
def test_a_path_is_a_path(path: str) -> None:
    assert refusal(dialect={**ASKED, "path": path}).startswith("dialect.path:")


def test_one_of_feature_and_features_says_what_is_sent() -> None:
    assert refusal(dialect={**ASKED, "features": ["a", "b"]}).startswith(
        "dialect.features: there is a feature"
    )


@pytest.mark.parametrize("kind", ["grpc", "", None])
def test_a_dialect_that_nobody_speaks_is_refused_with_those_there_are(kind: Any) -> None:
    assert "must be one of bentoml" in refusal(dialect={**ASKED, "kind": kind})


@pytest.mark.parametrize(
    "value",
    ["Bearer abc", "env:", "env:1A", "env:A B", "env:EKIBEN_API_KEYS", "ENV:A", "env:A\n", "$TOKEN", ""],
)
def test_a_secret_does_not_stand_in_the_document_and_is_not_repeated(value: str) -> None:
    said = refusal(headers={"Authorization": value})
    assert said.startswith("headers.Authorization: must be the name of an environment variable")
    assert len(value) < 5 or value not in said


@pytest.mark.parametrize("name", ["Host", "content-length", "Transfer-Encoding", "traceparent", "Connection"])
def test_what_the_router_writes_itself_is_no_header_of_the_document(name: str) -> None:
    assert "itself" in refusal(headers={name: "env:A"})


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\r\nb", "ä"])
def test_a_header_has_a_name_that_http_knows(name: str) -> None:
    assert "no name of a header" in refusal(headers={name: "env:A"})


@pytest.mark.parametrize("tag", ["", "a\nb", "a" * 201])
def test_a_model_version_is_one_printable_line(tag: str) -> None:
    assert refusal(dialect=ASKED, model_version=tag).startswith("model_version:")
