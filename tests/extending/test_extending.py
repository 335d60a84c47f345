"""A verb is one row and a metric kind one object: both are added in a copy of the repository and work."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.ekiben.running import ROOT

HERE = Path(__file__).parent
VERBS = "ekiben/experiments/changes/verbs.py"
KINDS = "ekiben/experiments/kinds"

FIELDS = '''
class Narrowing(Fields):
    """How far the experiment is narrowed."""

    coverage: float = Field(ge=0, le=100, title="Users who still take part", description="Percent of users")


'''
ROW = """
    Verb(
        name="narrow",
        title="Narrow",
        help="Let fewer users take part.\\n\\nNobody who still takes part changes variant.",
        possible=ACTIVE,
        change=lambda case: case.edited(coverage=case.body.coverage),
        consequence="{takes_part} The others get {live}.",
        body=Narrowing,
    ),"""
KIND = '''"""How many outcomes a user has."""

from __future__ import annotations

from typing import Any

from ekiben.experiments.kinds.kind import Kind


class Count(Kind):
    """The number of the user's outcomes, whatever their values."""

    name = "count"
    words = "outcomes of each user"
    fixed_test = "mean"

    def title(self, metric: str) -> str:
        """ "clicks per user"."""
        return f"{metric} per user"

    def of_user(self, outcomes: Any, own: Any) -> Any:
        """A whole number."""
        return outcomes.count(where=own).cast("float64")
'''


def copy_of_the_repository(root: Path) -> None:
    """The files that git knows, as they are now, committed in a repository of their own."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in listed.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / name)
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "before")


def git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout


def put(path: Path, after: str, new: str) -> None:
    """Write `new` into the file, once, behind what matches `after`."""
    text, count = re.subn(after, lambda found: found[0] + new, path.read_text(), count=1)
    assert count == 1, f"{path.name} has no {after}"
    path.write_text(text)


def test_a_verb_and_a_metric_kind_are_added_in_at_most_three_files_and_work(tmp_path: Path) -> None:
    copy_of_the_repository(tmp_path)
    put(tmp_path / VERBS, r"\n_USUAL_STEPS: .*\n", FIELDS)
    put(tmp_path / VERBS, r"\n_ROWS: Final = \(", ROW)
    (tmp_path / KINDS / "count.py").write_text(KIND)
    put(
        tmp_path / KINDS / "table.py",
        r"\nfrom __future__ .*\n",
        "\nfrom ekiben.experiments.kinds.count import Count",
    )
    put(tmp_path / KINDS / "table.py", r"kind\.name: kind for kind in \(", "Count(), ")
    git(tmp_path, "add", "-A")
    changed = git(tmp_path, "diff", "--cached", "--name-only").split()
    assert len(changed) <= 3, changed

    shutil.copy(HERE / "scratch_verb.py", tmp_path / "tests/control/acting/test_scratch.py")
    shutil.copy(HERE / "scratch_kind.py", tmp_path / "tests/control/analysis/test_scratch.py")
    tests = ("tests/control/acting/test_scratch.py", "tests/control/analysis/test_scratch.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *tests],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert re.search(r"\b5 passed", done.stdout), done.stdout + done.stderr
