from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ekiben.experiments.document import Document
from ekiben.experiments.parsing import parse_document
from ekiben.experiments.problems import DocumentError
from tests.experiments.documents import credit, problems


@pytest.mark.parametrize("data", [None, [], "models", 3, True, b"", object()])
def test_what_is_not_a_mapping_is_one_clear_line(data: object) -> None:
    (line,) = problems(data)
    assert "mapping" in line


@pytest.mark.parametrize("data", [{}, {"models": None}, {"models": {}}])
def test_a_document_without_models_says_what_is_missing(data: object) -> None:
    assert problems(data) == ("models: is missing: what clients ask for, by name",)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("1: {}", "1"),
        ("yes: {}", "true"),
        ("~: {}", "nothing"),
        ("2026-01-01: {}", '"a date"'),
        ("1.5: {}", '"1.5"'),
    ],
)
def test_a_key_that_is_not_text_is_named(text: str, path: str) -> None:
    line = problems(yaml.safe_load(text))[0]
    assert line.startswith(f"{path}: the key must be text: write it in quotes")


def test_a_huge_number_is_refused_wherever_it_stands() -> None:
    # Python itself refuses to print one of 5,000 digits.
    huge = 10**5000
    assert problems(huge) == ("is a number too large to be meant",)
    (line, _) = problems({huge: 1})
    assert line.startswith('"a huge number": the key must be text')
    assert problems(credit(phase=huge)) == (
        "experiments.credit-net.phase: is a number too large to be meant",
    )


def test_a_document_that_holds_itself_is_refused() -> None:
    itself: dict[str, Any] = yaml.safe_load("&a {models: *a}")
    assert problems(itself) == ("the document is too large, too deep or refers to itself",)


def test_a_small_file_that_stands_for_endless_data_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    assert problems(yaml.safe_load("\n".join(lines))) == (
        "the document is too large, too deep or refers to itself",
    )


def test_aliases_in_moderation_are_welcome() -> None:
    text = "{models: {a: &m {live: v1, versions: {v1: {endpoints: ['http://a:1']}}}, b: *m}}"
    assert list(parse_document(yaml.safe_load(text)).models) == ["a", "b"]


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None), max_size=8)
    | st.binary(max_size=3)
    | st.dates()
    | st.sampled_from(["credit", "v1", "control", "running", "http://a:1"])
)
keys = st.sampled_from(
    [*Document.model_fields, "credit", "live", "versions", "v1", "endpoints", "model", "variants", "weight"]
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys | scalars, inner, max_size=4),
    max_leaves=20,
)


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path, *(place for key, value in inner for place in places(value, (*path, key)))]


def outcome(data: object) -> Document | tuple[str, ...]:
    try:
        return parse_document(data)
    except DocumentError as error:
        return error.problems


def assert_clear(outcome: Document | tuple[str, ...]) -> None:
    if isinstance(outcome, Document):
        dumped = outcome.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        assert parse_document(dumped) == outcome
    else:
        assert outcome
        assert all(line.isprintable() for line in outcome), "one line each, for a terminal"
        assert not any("cannot be read" in line or "Input should" in line for line in outcome)


@given(anything)
def test_nothing_but_a_document_or_clear_lines_comes_of_any_data(data: object) -> None:
    assert_clear(outcome(data))


@given(st.data())
@settings(max_examples=2 * settings().max_examples)
def test_any_value_anywhere_gives_clear_lines_or_a_document(data: st.DataObject) -> None:
    document: Any = credit(namespace={"name": "n", "from": 0, "to": 50}, seed="s")
    *parents, last = data.draw(st.sampled_from(places(document)[1:]))
    inside = document
    for key in parents:
        inside = inside[key]
    inside[last] = data.draw(anything)
    assert_clear(outcome(document))
