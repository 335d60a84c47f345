"""`python -m deploy.bentos [NAME …]`: builds Bentos from their build files, labelled with what is inside.

A build file cannot compute, so `bentoml build -f bentos/credit_v1.yaml .` builds the same Bento without the
labels `framework`, `data_digest` and `git_revision`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("BENTOML_DO_NOT_TRACK", "true")

import bentoml
import yaml
from bentoml import bentos
from bentoml.exceptions import BentoMLException, NotFound

ROOT: Final = Path(__file__).parent.parent
ROUTER_FILE: Final = ROOT / "bentofile.yaml"


class CannotBuild(Exception):
    """A Bento or an image that cannot be built; the message is one line that says why."""


@dataclass(frozen=True, slots=True)
class BuildFile:
    """A build file: its path, the Bento's name, and the model and version in its labels, if it serves one."""

    path: Path
    name: str
    labels: dict[str, str]

    @property
    def serves_a_model(self) -> bool:
        """Whether it packs a model version; the router and the controller do not."""
        return "model" in self.labels


def build_files() -> dict[str, BuildFile]:
    """All build files, by the Bento's name: those in bentos/, and the router's."""
    found = {}
    for path in [*sorted((ROOT / "bentos").glob("*.yaml")), ROUTER_FILE]:
        content = yaml.safe_load(path.read_text())
        found[content["name"]] = BuildFile(path, content["name"], dict(content.get("labels", {})))
    return found


def git_revision() -> str:
    """The commit of the working tree, `-dirty` if anything differs; outside a repository `unknown`."""
    command = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def build(file: BuildFile, revision: str) -> Any:
    """Build it and return BentoML's Bento. Raises `CannotBuild`."""
    labels = {"git_revision": revision}
    tag = None
    if file.serves_a_model:
        try:
            model = bentoml.models.get(f"{file.name}:latest")
        except NotFound:
            raise CannotBuild(f"{file.name} is not in the model store: run `ekiben train` first") from None
        tag, its = model.tag, model.info.metadata
        labels |= {"framework": its["framework"], "data_digest": its["data_digest"]}
    try:
        bento = bentos.build_bentofile(str(file.path), build_ctx=str(ROOT), labels=labels)
    except BentoMLException as error:
        raise CannotBuild(f"{file.name}: {error}") from None
    packed = [each.tag for each in bento.info.all_models]
    if packed != ([] if tag is None else [tag]):
        raise CannotBuild(f"{bento.tag} packs {packed} instead of {tag}: was something trained meanwhile?")
    return bento


def main(names: Sequence[str]) -> int:
    """Build these, all of them by default. Returns the exit code."""
    files = build_files()
    if unknown := set(names) - set(files):
        sys.stderr.write(f"bentos: no {', '.join(sorted(unknown))}; there are {', '.join(files)}\n")
        return 2
    revision = git_revision()
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
