"""Packing a published version into a Bento, labelled with what is inside."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("BENTOML_DO_NOT_TRACK", "true")

import bentoml
from bentoml import bentos
from bentoml.exceptions import BentoMLException, NotFound

from ekiben.building.errors import CannotBuild


def git_revision(root: Path) -> str:
    """The commit of the working tree, `-dirty` if anything differs; outside a repository `unknown`."""
    command = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError:
        return "unknown"
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def stored_model(name: str) -> Any:
    """The latest model of that name in BentoML's store. Raises `CannotBuild`."""
    try:
        return bentoml.models.get(f"{name}:latest")
    except NotFound:
        raise CannotBuild(f"{name} is not in the model store: run `ekiben train` first") from None


def build(file: Path, name: str, folder: Path, labels: Mapping[str, str], model: Any = None) -> Any:
    """Build from a build file in `folder` and return BentoML's Bento. Raises `CannotBuild`.

    `model`, of the store, is what the Bento must pack; its framework and data are labels too.
    """
    if model is not None:
        its = model.info.metadata
        labels = {**labels, "framework": its["framework"], "data_digest": its["data_digest"]}
    try:
        bento = bentos.build_bentofile(str(file), build_ctx=str(folder), labels=dict(labels))
    except BentoMLException as error:
        raise CannotBuild(f"{name}: {error}") from None
    packed = [each.tag for each in bento.info.all_models]
    if packed != ([] if model is None else [model.tag]):
        wanted = "nothing" if model is None else model.tag
        raise CannotBuild(f"{bento.tag} packs {packed} instead of {wanted}: was something trained meanwhile?")
    return bento
