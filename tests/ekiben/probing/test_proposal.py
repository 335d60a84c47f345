"""What is proposed for a server, from what it says of itself."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from ekiben.experiments.parsing import parse_document
from ekiben.probing.proposal import of_bentoml

URL = "http://127.0.0.1:3000"
TEXT = {"type": "string"}
NUMBER = {"type": "number"}
RECORD = {"type": "object", "properties": {"age": NUMBER, "job": TEXT}}
JUDGED = {"type": "object", "properties": {"label": TEXT, "sure": NUMBER, "again": NUMBER}}


def array(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


def docs(asked: Any, answer: Any, **components: Any) -> dict[str, Any]:
    """The `/docs.json` of a service with one API."""
    operation = {
        "requestBody": {"content": {"application/json": {"schema": asked}}},
        "responses": {"200": {"content": {"application/json": {"schema": answer}}}},
    }
    return {
        "paths": {"/livez": {"get": {}}, "/predict": {"post": operation}},
        "components": {"schemas": components},
    }


def argument(**fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields}


SINGLE = {"rows": "single", "concurrency": 16}


@pytest.mark.parametrize(
    ("asked", "answer", "dialect", "output"),
    [
        (
            argument(texts=array(TEXT)),
            array(JUDGED),
            {"argument": "texts", "feature": "text"},
            {"score": "sure", "decision": "label"},
        ),
        (
            argument(text=TEXT),
            {"$ref": "#/components/schemas/Judged"},
            {"argument": "text", "feature": "text", **SINGLE},
            {"score": "sure", "decision": "label"},
        ),
        (argument(rows=array(RECORD)), array(NUMBER), {"argument": "rows"}, {"score": "."}),
        (
            argument(rows=array({"$ref": "#/components/schemas/Record"})),
            array(TEXT),
            {"argument": "rows"},
            {"decision": "."},
        ),
        (
            argument(rows=array(array(NUMBER))),
            array(NUMBER),
            {"argument": "rows", "features": ["FIRST", "SECOND"]},
            {"score": "."},
        ),
        (
            argument(values=array(NUMBER)),
            NUMBER,
            {"argument": "values", "features": ["FIRST", "SECOND"], **SINGLE},
            {"score": "."},
        ),
        (argument(age=NUMBER, job=TEXT), NUMBER, SINGLE, {"score": "."}),
        (RECORD | {"root_input": True}, {"type": "boolean"}, SINGLE, {"decision": "."}),
        (
            argument(person=RECORD) | {"root_input": True},
            {"type": "object"},
            SINGLE,
            None,
        ),
    ],
)
def test_an_api_becomes_a_dialect(asked: Any, answer: Any, dialect: Any, output: Any) -> None:
    (proposal,) = of_bentoml(URL, docs(asked, answer, Record=RECORD, Judged=JUDGED))
    version = yaml.safe_load(proposal.as_yaml())["v1"]
    expected = {"endpoints": [URL], "dialect": {"kind": "bentoml", "path": "/predict", **dialect}}
    assert version == expected | ({"output": output} if output else {})
    parse_document({"models": {"m": {"live": "v1", "versions": {"v1": version}}}})
    assert len(proposal.notes) == (1 if output else 2)
    assert proposal.as_yaml().startswith("# POST /predict: ")


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"paths": []},
        {"paths": {"/a": []}},
        {"paths": {"/a": {"post": {"requestBody": {"content": {"multipart/form-data": {}}}}}}},
        docs({"$ref": "#/components/schemas/Loop"}, {}, Loop={"$ref": "#/components/schemas/Loop"}),
        docs(None, None),
        docs({"properties": {"a": 1}}, []),
    ],
)
def test_nonsense_is_no_reason_to_fail(told: Any) -> None:
    for proposal in of_bentoml(URL, told):
        assert yaml.safe_load(proposal.as_yaml())["v1"]["endpoints"] == [URL]
