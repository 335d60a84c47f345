"""`python -m deploy.bentos [NAME …]`: builds Bentos from their build files, labelled with what is inside.

A build file cannot compute, so `bentoml build -f bentos/credit_v1.yaml .` builds the same Bento without the
labels `framework`, `data_digest` and `git_revision`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from ekiben.building import bentos
from ekiben.building.errors import CannotBuild

ROOT: Final = Path(__file__).parent.parent
ROUTER_FILE: Final = ROOT / "bentofile.yaml"


@dataclass(frozen=True, slots=True)
class BuildFile:
    """A build file: its path, the Bento's name, the model and version in its labels, if it serves one, and
    the file of what it installs.
    """

    path: Path
    name: str
    labels: dict[str, str]
    requirements: Path

    @property
    def serves_a_model(self) -> bool:
        """Whether it packs a model version; the router and the controller do not."""
        return "model" in self.labels


def build_files() -> dict[str, BuildFile]:
    """All build files, by the Bento's name: those in bentos/, and the router's."""
    found = {}
    for path in [*sorted((ROOT / "bentos").glob("*.yaml")), ROUTER_FILE]:
        content = yaml.safe_load(path.read_text())
        requirements = ROOT / content["python"]["requirements_txt"]
        found[content["name"]] = BuildFile(
            path, content["name"], dict(content.get("labels", {})), requirements
        )
    return found


def build(file: BuildFile, revision: str) -> Any:
    """Build it and return BentoML's Bento. Raises `CannotBuild`."""
    model = bentos.stored_model(file.name) if file.serves_a_model else None
    return bentos.build(file.path, file.name, ROOT, {"git_revision": revision}, model)


def main(names: Sequence[str]) -> int:
    """Build these, all of them by default. Returns the exit code."""
    files = build_files()
    if unknown := set(names) - set(files):
        sys.stderr.write(f"bentos: no {', '.join(sorted(unknown))}; there are {', '.join(files)}\n")
        return 2
    revision = bentos.git_revision(ROOT)
    try:
        for name in names or files:
            bento = build(files[name], revision)
            packed = ", ".join(str(each.tag) for each in bento.info.all_models)
            sys.stdout.write(f"{bento.tag}{f' with {packed}' if packed else ''}\n")
            sys.stdout.flush()
    except CannotBuild as error:
        sys.stderr.write(f"bentos: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
