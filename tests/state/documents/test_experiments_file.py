"""Reading an experiments file: YAML without surprises."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ekiben.state.documents.experiments_file import (
    BadExperimentsFile,
    parse_experiments,
    read_experiments_file,
)
from ekiben.state.documents.yaml_data import read_yaml
from tests.router.documents import credit, credit_document

GOOD = yaml.safe_dump(credit(), sort_keys=False).encode()


def test_a_good_file_gives_its_document_and_the_digest_of_its_bytes() -> None:
    read = parse_experiments(GOOD)
    assert read.document == credit_document()
    assert read.digest == hashlib.sha256(GOOD).hexdigest()


def test_the_file_in_the_repository_is_good() -> None:
    read_experiments_file(Path(__file__).parents[3] / "experiments.yaml")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"models: [", "line 2"),
        (b"a: 1\nb: {", "not YAML"),
        (b"\xff\xfe\xfa", "not YAML"),
        (GOOD + b"\nmodels: {}\n", "twice"),
        (b"models: {a: {live: v1, live: v2}}", "'live' stands here twice"),
        (b"!!python/object/apply:os.system [ls]", "not YAML"),
        (b"", "mapping"),
        (
            b"models: {credit: {live: v1, versions: {v2: {endpoints: ['http://a:1']}}}}",
            "models.credit.live: ",
        ),
        (b"[" * 5000, "not YAML"),
        (b"- " * 3000, "nested more than"),
        (b"coverage: 010", "line 1: 010 is read differently"),
        (b"a: 0x1f", "read differently"),
        (b"a: 1:30", "read differently"),
        (b"\n1: 2", 'line 2: the key must be text: write it in quotes: "1"'),
        (b"? [a]\n: 1", "the key must be text"),
        (b"a: *b", r"the alias \*b stands for nothing"),
        (b"a: &a {<<: *a}", r"the alias \*a stands for nothing"),
        (b"a: {<<: 1}", "<< takes a mapping"),
        (b"a: 1\n---\nb: 2", "line 2: not YAML: a second document"),
        (b"a: !!int x", "not YAML"),
        (b"a: !!bool x", "not YAML"),
        (b"a: !!timestamp x", "not YAML"),
    ],
)
def test_a_bad_file_is_refused_in_words(content: bytes, says: str) -> None:
    with pytest.raises(BadExperimentsFile, match=says):
        parse_experiments(content)


@pytest.mark.parametrize("bomb", ["{{<<: [*a{0}, *a{0}, *a{0}]}}", "[*a{0}, *a{0}, *a{0}]"])
def test_what_aliases_stand_for_is_counted_before_it_is_expanded(bomb: str) -> None:
    lines = [f"a{number}: &a{number} {bomb.format(number - 1)}\n" for number in range(1, 41)]
    with pytest.raises(BadExperimentsFile, match="more than 200,000 values"):
        parse_experiments(("a0: &a0 {k: 1}\n" + "".join(lines)).encode())


def test_aliases_and_merge_keys_are_read() -> None:
    text = GOOD.decode().replace("control:", "control: &c", 1)
    text = text.replace(
        "      treatment:\n        version: v2", "      treatment:\n        <<: *c\n        version: v2"
    )
    assert "<<" in text
    assert parse_experiments(text.encode()).document == credit_document()


def test_a_file_of_unusual_size_is_refused_before_it_is_read() -> None:
    with pytest.raises(BadExperimentsFile, match="at most 4,194,304"):
        parse_experiments(b"#" * (4 * 1024 * 1024 + 1))


def test_a_problem_names_the_line_it_stands_in() -> None:
    text = GOOD.decode().replace("weight: 50", "weight: 60", 1)
    with pytest.raises(BadExperimentsFile, match=r"variants: .* \(line \d+\)"):
        parse_experiments(text.encode())
    number = next(n for n, line in enumerate(text.splitlines(), 1) if "variants:" in line)
    with pytest.raises(BadExperimentsFile, match=rf"\(line {number}\)"):
        parse_experiments(text.encode())


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=20,
    )
)
def test_what_yaml_writes_is_read_back(data: object) -> None:
    try:
        written = yaml.safe_dump(data).encode()
        again = yaml.safe_load(written)
    except (yaml.YAMLError, UnicodeError):
        return
    if again == data:
        assert read_yaml(written).data == data


def test_a_file_may_be_json() -> None:
    assert parse_experiments(json.dumps(credit()).encode()).document == credit_document()


def test_every_problem_is_a_line() -> None:
    with pytest.raises(BadExperimentsFile) as refused:
        parse_experiments(yaml.safe_dump(credit(cache_ttl_s=-1, timeout_ms=0)).encode())
    assert len(str(refused.value).splitlines()) >= 2


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
def test_whatever_the_file_holds_it_is_refused_in_words(content: bytes) -> None:
    with pytest.raises(BadExperimentsFile, match=r".+"):
        parse_experiments(content)
