"""Reading an experiments file: YAML without surprises."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from state.experiments_file import BadExperimentsFile, parse_experiments, read_experiments_file
from tests.router.documents import credit, credit_document

GOOD = yaml.safe_dump(credit(), sort_keys=False).encode()


def test_a_good_file_gives_its_document_and_the_digest_of_its_bytes() -> None:
    read = parse_experiments(GOOD)
    assert read.document == credit_document()
    assert read.digest == hashlib.sha256(GOOD).hexdigest()


def test_the_file_in_the_repository_is_good() -> None:
    read_experiments_file(Path(__file__).parents[2] / "experiments.yaml")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"models: [", "line 1"),
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
        (b"a: 2026-13-01", "month"),
        (b"a: !!int x", "not YAML"),
        (b"a: !!bool x", "not YAML"),
        (b"a: !!timestamp x", "not YAML"),
    ],
)
def test_a_bad_file_is_refused_in_words(content: bytes, says: str) -> None:
    with pytest.raises(BadExperimentsFile, match=says):
        parse_experiments(content)


def test_every_problem_is_a_line() -> None:
    with pytest.raises(BadExperimentsFile) as refused:
        parse_experiments(yaml.safe_dump(credit(cache_ttl_s=-1, timeout_ms=0)).encode())
    assert len(str(refused.value).splitlines()) >= 2


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
def test_whatever_the_file_holds_it_is_refused_in_words(content: bytes) -> None:
    with pytest.raises(BadExperimentsFile, match=r".+"):
        parse_experiments(content)
