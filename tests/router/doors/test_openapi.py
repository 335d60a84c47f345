"""The OpenAPI document is valid and whole, and what the router answers is what it promises."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import jsonschema_rs
import pytest

from router.doors.openapi.page import docs_page
from router.doors.table import OPERATIONS, description
from router.errors import StateAway
from router.http.problems import TABLE
from tests.router.client import Response
from tests.router.conftest import Router
from tests.router.services import Service

DOCUMENT = description()


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, methods in DOCUMENT["paths"].items()
        for method, operation in methods.items()
    ]


def conforms(data: Any, schema: dict[str, Any]) -> None:
    """Check against a schema of the document."""
    jsonschema_rs.validator_for({**schema, "components": DOCUMENT["components"]}).validate(data)


def promised(path: str, method: str, response: Response) -> None:
    """Check a response against what the document promises of it."""
    found = DOCUMENT["paths"][path][method]["responses"][str(response.status)]
    if "$ref" in found:
        found = DOCUMENT["components"]["responses"][found["$ref"].rsplit("/", 1)[1]]
    media_type = response.headers["content-type"].split(";")[0]
    content = found["content"][media_type]
    if media_type.endswith("json"):
        conforms(response.json, content["schema"])
    for name in found["headers"]:
        header = DOCUMENT["components"]["headers"][name]
        conforms(response.headers[name.lower()], header["schema"])


def test_every_page_and_no_other_is_described() -> None:
    described = {(method.upper(), path) for path, method, _ in operations()}
    assert described == {(each.method, each.path) for each in OPERATIONS}


def test_every_reference_leads_somewhere() -> None:
    def look(part: Any) -> None:
        if isinstance(part, dict):
            if "$ref" in part:
                found: Any = DOCUMENT
                for step in part["$ref"].removeprefix("#/").split("/"):
                    found = found[step]
            for each in part.values():
                look(each)
        elif isinstance(part, list):
            for each in part:
                look(each)

    look(DOCUMENT)


def test_every_schema_is_a_valid_schema_and_every_example_fits_its_own() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)
    for _, _, operation in operations():
        for response in operation["responses"].values():
            for media in response.get("content", {}).values():
                if "example" in media:
                    conforms(media["example"], media["schema"])
    for response in DOCUMENT["components"]["responses"].values():
        for media in response["content"].values():
            for example in media["examples"].values():
                conforms(example["value"], media["schema"])
    for path in ("/predict/{model}", "/outcomes"):
        (media,) = DOCUMENT["paths"][path]["post"]["requestBody"]["content"].values()
        conforms(media["example"], media["schema"])


def test_operations_have_ids_summaries_and_descriptions_of_their_parameters() -> None:
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert len(ids) == len(set(ids))
    for _, _, operation in operations():
        assert operation["summary"]
        assert all(parameter["description"] for parameter in operation["parameters"])


def test_the_problems_described_are_those_of_the_table_of_problems() -> None:
    described = {
        (example["value"]["status"], name)
        for response in DOCUMENT["components"]["responses"].values()
        for media in response["content"].values()
        for name, example in media["examples"].items()
    }
    # A wrong method has no operation of its own that could describe it.
    assert described == {(row.status, row.name) for row in TABLE if row.status != 405}


async def test_answers_are_what_the_document_promises(router: Router, v1: Service, v2: Service) -> None:
    client, predict = router.client, "/predict/{model}"
    promised(predict, "post", await client.predict("u-control", {"row": 1}))
    promised(predict, "post", await client.predict(None, {"row": 1}))
    promised(predict, "post", await client.predict("u-control", {"refuse": True}))
    promised(predict, "post", await client.predict("u-1", {}, model="nope"))
    promised(predict, "post", await client.post("/predict/credit", b""))
    outcome = b'{"user_id": "u-1", "name": "profit", "value": 1}'
    for body in (outcome, b"{}", b""):
        promised("/outcomes", "post", await client.post("/outcomes", b'{"outcomes": [' + body + b"]}"))
    router.outcomes.failure = StateAway("not now")
    promised("/outcomes", "post", await client.post("/outcomes", b'{"outcomes": [' + outcome + b"]}"))
    promised("/assignment/{experiment}", "get", await client.assignment("u-1"))
    promised("/assignment/{experiment}", "get", await client.assignment("u-1", experiment="nope"))
    promised("/assignment/{experiment}", "get", await client.get("/assignment/credit-boosting"))
    v2.die()
    promised(predict, "post", await client.predict("u-treatment", {"row": 2}))
    v1.die()
    promised(predict, "post", await client.predict("u-treatment", {"row": 3}))
    for path in ("/models", "/livez", "/readyz", "/healthz", "/metrics", "/openapi.json", "/docs"):
        promised(path, "get", await client.get(path))
    promised("/models/{model}", "get", await client.get("/models/credit"))
    promised("/models/{model}", "get", await client.get("/models/nope"))
    router.app.drain()
    for path in ("/readyz", "/healthz"):
        response = await client.get(path)
        assert response.status == 503
        promised(path, "get", response)


async def test_the_page_of_the_document_is_the_document(router: Router) -> None:
    assert (await router.client.get("/openapi.json")).json == DOCUMENT
    assert (await router.client.get("/docs")).body == docs_page(DOCUMENT)


class Page(HTMLParser):
    """Reads a page strictly enough to see that tags nest, and what it would load."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in ("meta", "link", "img", "br", "hr"):
            self.open.append(tag)
        self.ids += [given["id"] or ""] if "id" in given else []
        assert tag not in ("script", "iframe", "img", "link"), tag
        self.loads += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_docs_page_stands_alone_and_shows_every_operation() -> None:
    html = docs_page(DOCUMENT).decode()
    page = Page()
    page.feed(html)
    assert page.open == []
    assert page.loads == ["openapi.json"]
    assert "url(" not in html
    assert "@import" not in html
    assert len(page.ids) == len(set(page.ids))
    for path, method, operation in operations():
        assert path in page.text
        assert method.upper() in page.text
        assert operation["operationId"] in page.ids
    for status in DOCUMENT["components"]["responses"]:
        assert status in page.text


def test_the_docs_page_is_made_for_light_dark_and_phones() -> None:
    html = docs_page(DOCUMENT).decode()
    assert 'name="viewport" content="width=device-width' in html
    assert "color-scheme: light dark" in html
    assert "prefers-color-scheme: dark" in html
    assert "max-width: 34rem" in html


@pytest.mark.parametrize("part", ["summary", "description"])
def test_the_document_speaks_plainly(part: str) -> None:
    for _, _, operation in operations():
        assert "TODO" not in operation.get(part, "")
