"""What is written from the document's types is what the types say now."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from ekiben.experiments.schema import experiments_schema
from ekiben.state.documents.experiments_file import parse_experiments
from tests.docs.experiments_file import PAGE, written
from tests.docs.prose import ROOT
from tests.ekiben.running import ekiben


@pytest.mark.parametrize(("path", "text"), written().items(), ids=lambda each: getattr(each, "name", ""))
def test_a_written_page_is_up_to_date(path: Path, text: str) -> None:
    assert path.read_text() == text, "run `make docs`"


def test_the_example_of_the_page_is_a_valid_file() -> None:
    example = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)[0]
    assert parse_experiments(example.encode()).document.experiments


def test_the_command_prints_the_schema_that_the_repository_has() -> None:
    done = ekiben(["schema"], {})
    assert (
        json.loads(done.stdout)
        == experiments_schema()
        == json.loads((ROOT / "docs" / "experiments.schema.json").read_text())
    )


def test_a_file_that_names_a_schema_names_one_that_is_there() -> None:
    for path in [ROOT / "experiments.yaml", *ROOT.glob("deploy/**/experiments.yaml")]:
        for named in re.findall(r"^# yaml-language-server: \$schema=(\S+)$", path.read_text(), re.MULTILINE):
            assert (path.parent / named).is_file()
        assert yaml.safe_load(path.read_text())
