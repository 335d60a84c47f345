"""The documentation is a contract: what it shows exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ekiben.experiments.changes.allowed import check_change
from ekiben.experiments.changes.differences import differences
from ekiben.state.documents.experiments_file import parse_experiments
from router.http import problems

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
    shown = re.findall(r"```(?:python|yaml)\n(.*?)\n```", page, re.DOTALL)
    folder = ROOT / "tests" / "ekiben" / "own_model"
    names = ("schema.py", "train.py", "experiments.yaml", "visit.py")
    assert shown == [(folder / name).read_text().rstrip("\n") for name in names]


def test_the_experiment_of_the_readme_is_an_edit_of_ours_that_is_taken() -> None:
    ours = (ROOT / "experiments.yaml").read_text()
    shown = re.search(r"```yaml\n# experiments.yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert shown is not None
    edited = ours.split("\nexperiments:")[0] + "\n" + shown[1]
    before, after = (parse_experiments(text.encode()).document for text in (ours, edited))
    check_change(before, after)
    assert differences(before, after)


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


@pytest.mark.parametrize(
    ("index", "folder"), [("docs/README.md", "docs"), ("docs/decisions/README.md", "docs/decisions")]
)
def test_every_page_is_in_its_index(index: str, folder: str) -> None:
    linked = {((ROOT / index).parent / link).resolve() for link in LINK.findall((ROOT / index).read_text())}
    missing = {page for page in (ROOT / folder).glob("*.md") if page != ROOT / index} - linked
    assert missing == set()


def test_the_architecture_names_every_folder_of_the_tree() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    tree = page[page.index("## The tree") : page.index("## The rules")]
    folders = {path.parent for top in ("ekiben", "router") for path in ROOT.glob(f"{top}/*/__init__.py")}
    tops = {path.parent for path in ROOT.glob("*/__init__.py")}
    assert {folder.name for folder in folders | tops if f"{folder.name}/`" not in tree} == set()


def test_the_architecture_names_every_status_of_a_problem() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    named = {int(status) for status in re.findall(r"^\|[^|]*\| (\d{3})\b", page, re.MULTILINE)}
    assert named == {row.status for row in problems.TABLE}


def test_every_section_that_a_link_names_is_there() -> None:
    missing = []
    for page in PAGES:
        for target, section in re.findall(r"\]\((?!https?:)([^)#\s]*)#([^)\s]+)\)", page.read_text()):
            found = page.parent / target if target else page
            heads = re.findall(r"^#+ (.*)$", found.read_text(), re.MULTILINE) if found.exists() else []
            if section not in {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}:
                missing.append(f"{page.relative_to(ROOT)}: {target}#{section}")
    assert missing == []


def test_no_text_refers_to_a_page_that_is_not_here() -> None:
    found = subprocess.run(
        ["git", "grep", "-nIwiE", "the design('s)?", "--", ".", ":!tests/docs"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout == ""
