"""docs/publishing.md: its example prints what is shown, and every field and function is in it."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

import ekiben.publishing
from ekiben.publishing import ModelCard

PAGE = (Path(__file__).parents[3] / "docs" / "publishing.md").read_text()


def test_the_example_prints_what_is_shown(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program, shown = re.findall(r"```(?:python)?\n(.*?)```", PAGE, re.DOTALL)[:2]
    exec(compile(program, "publishing.md", "exec"), {"__name__": "wine"})

    def masked(text: str) -> list[str]:
        return re.sub(r"/\S*/|[0-9a-f]{16}|\d[\d.]*", "…", text).splitlines()

    assert masked(capsys.readouterr().out) == masked(shown)


def test_every_field_of_a_card_and_every_function_is_explained() -> None:
    names = {each.name for each in fields(ModelCard)} | {*ekiben.publishing._IN}
    assert {name for name in names if f"`{name}`" not in PAGE and f"`{name}(" not in PAGE} == set()
