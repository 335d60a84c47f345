"""The documentation is a contract: what it shows exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for page in ROOT.rglob("*.md")
    if not any(part.startswith(".") or part == "node_modules" for part in page.relative_to(ROOT).parts)
)
LINK = re.compile(r"\[[^\]]*\]\((?!https?://|#)([^)#]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_of_ours_leads_somewhere(page: Path) -> None:
    missing = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert missing == []


def test_the_page_of_ones_own_model_shows_the_files_that_are_tested() -> None:
    page = (ROOT / "docs" / "own-model.md").read_text()
    shown = re.findall(r"```python\n(.*?)\n```", page, re.DOTALL)
    folder = ROOT / "tests" / "ekiben" / "own_model"
    tested = [(folder / name).read_text().rstrip("\n") for name in ("features.txt", "train_diabetes.py")]
    assert shown == tested


def test_every_make_target_of_the_readmes_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = "".join(page.read_text() for page in PAGES)
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= targets


def test_every_verb_of_the_command_line_in_the_documentation_exists() -> None:
    text = "".join(page.read_text() for page in PAGES)
    verbs = set(re.findall(r"`ekiben ([a-z][a-z-]*)", text)) | set(
        re.findall(r"^ekiben ([a-z][a-z-]*)", text, re.MULTILINE)
    )
    program = Path(sys.executable).with_name("ekiben")
    shown = subprocess.run(
        [program, "--help"], capture_output=True, text=True, check=True, env={"COLUMNS": "200"}
    ).stdout
    assert {verb for verb in verbs if not re.search(rf"\b{verb}\b", shown)} == set()
