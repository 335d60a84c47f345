"""What the API refuses is told in our own words, whatever was sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from ekiben.control.api.admin import OPERATIONS
from ekiben.experiments.changes.verbs import VERBS
from ekiben.experiments.document import Document
from ekiben.experiments.problems import from_validation
from tests.control.conftest import Scene, document
from tests.router.documents import EXPERIMENT

BODIES = {each.body for each in OPERATIONS if each.body is not None}
QUERIES = {each.query for each in OPERATIONS if each.query is not None}
WRONG = [
    None, True, 3, -1, 10**400, 2**70, 1.5, 1e308, float("nan"), "", "x", "5", "1e999", "9" * 5000, " 5 ",
    "maybe", [], [[]], [1], ["a"], [None], {}, {"x": 1}, {"x": None},
]  # fmt: skip
WRONG_IN_PYTHON = [
    *WRONG,
    "\ud800",
    ["\ud800"],
    ["9" * 5000],
    {1: 2},
    {"a": {}},
    {None: 1},
    b"x",
    object(),
    {1},
]


def parts(kind: Any) -> Iterator[type[BaseModel]]:
    """The model, and the models in it."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
        for field in kind.model_fields.values():
            yield from parts(field.annotation)
    for each in get_args(kind):
        yield from parts(each)


def in_json(kind: type[BaseModel]) -> Callable[[object], object]:
    return lambda value: kind.model_validate_json(json.dumps(value), strict=True)


def names(kind: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in kind.model_fields.items()]


def told(kind: type[BaseModel], read: Callable[[object], object], value: object) -> list[tuple[Any, str]]:
    try:
        read(value)
    except ValidationError as error:
        return from_validation(kind, (), error)
    return []


@pytest.mark.parametrize(
    ("kind", "read", "wrong"),
    [
        *((each, in_json(each), WRONG) for each in sorted(BODIES, key=str)),
        *((each, each.model_validate, WRONG_IN_PYTHON) for each in sorted(QUERIES, key=str)),
        *((each.body, each.body.model_validate, WRONG_IN_PYTHON) for each in VERBS.values()),
        *((each, each.model_validate, WRONG_IN_PYTHON) for each in dict.fromkeys(parts(Document))),
    ],
)
def test_no_value_of_any_field_is_refused_in_the_words_of_a_library(
    kind: type[BaseModel], read: Callable[[object], object], wrong: list[object]
) -> None:
    whole = [value for value in wrong if value is not None]
    lines = [
        *(line for value in whole for _, line in told(kind, read, value)),
        *(line for name in names(kind) for value in wrong for _, line in told(kind, read, {name: value})),
    ]
    assert lines
    for line in lines:
        assert not any(each in line for each in ("cannot be read", "Input should", "pattern", "_")) or (
            "there is no key" in line or "is missing" in line or "must be one of" in line
        ), line


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("/history?before=x", 'before: must be the id of an entry, not "x"'),
        ("/history?documents=maybe", 'documents: must be true or false, not "maybe"'),
        ("/history?limit=0", 'limit: must be at least 1 and at most 500, not "0"'),
        ("/history?limit=501", 'limit: must be at least 1 and at most 500, not "501"'),
        (
            "/history?limt=5",
            'limt: there is no key "limt"; did you mean limit? (known: limit, before, documents)',
        ),
    ],
)
async def test_a_wrong_query_is_told_in_one_clause(scene: Scene, path: str, detail: str) -> None:
    answer = await scene.ask("GET", path)
    assert (answer.status, answer.body["detail"]) == (400, detail)


@pytest.mark.parametrize(
    ("path", "body", "detail"),
    [
        ("/apply", {"document": 3}, "document: must be the file's text, or the document as a mapping, not 3"),
        (
            "/apply",
            {"document": None},
            "document: must be the file's text, or the document as a mapping, not nothing",
        ),
        ("pause", {"dry_run": 1}, "dry_run: must be true or false, not 1"),
        ("ramp", {"off": "x"}, 'off: must be true or false, not "x"'),
        ("pause", {"revision": -1}, "revision: must be at least 0 and at most 9007199254740992, not -1"),
    ],
)
async def test_a_wrong_body_is_told_in_one_clause(
    scene: Scene, path: str, body: dict[str, Any], detail: str
) -> None:
    before = await scene.put(document())
    url = path if path.startswith("/") else f"/experiments/{EXPERIMENT}/{path}"
    answer = await scene.ask("POST", url, {"why": "x", **body})
    assert (answer.status, answer.body["detail"]) == (400, f"the body is not what is expected: {detail}")
    assert await scene.desk.store.load() == before
