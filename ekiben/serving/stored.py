"""A published version as it lies in a folder: its files, checked, and its metadata. Knows no BentoML."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from ekiben.serving.card import StoredCard

METADATA_FILE: Final = "model.yaml"  # BentoML's name for it


class ModelRefused(Exception):
    """The service must not start with this model. The message is one line and says what to do."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A checked version: its exact tag, the folder of its files, what is known of it."""

    tag: str
    path: Path
    card: StoredCard


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def find_fault(path: Path, files: Mapping[str, str]) -> str | None:
    """What is wrong with the folder `path`, whose files should have these SHA-256 digests; or None."""
    for name, expected in files.items():
        file = path / name
        if not file.is_file():
            return f"{file} is missing"
        if sha256_of(file) != expected:
            return f"{file} is not the file that was published (its SHA-256 differs from the metadata's)"
    return None


def read_card(tag: str, metadata: Mapping[str, Any]) -> StoredCard:
    """The card in a version's metadata. Raises `ModelRefused` for metadata that is not of ours."""
    try:
        return StoredCard.model_validate(dict(metadata))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ModelRefused(
            f"{tag} was not published by Ekiben ({where}: {first['msg']}): publish it (`ekiben train`, or "
            "ekiben.publishing)"
        ) from None


def check_files(tag: str, path: Path, metadata: Mapping[str, Any]) -> Stored:
    """The version in `path`, every file of it checked. Raises `ModelRefused`."""
    card = read_card(tag, metadata)
    fault = find_fault(path, card.files)
    if fault is not None:
        name = tag.partition(":")[0]
        raise ModelRefused(f"{name} does not start: {fault}; `ekiben train` publishes it again")
    return Stored(tag, path, card)


def read_folder(path: Path) -> Stored:
    """The version in the folder `path`, a copy of one in BentoML's store. Raises `ModelRefused`."""
    try:
        written = yaml.safe_load((path / METADATA_FILE).read_text(encoding="utf-8"))
        tag, metadata = f"{written['name']}:{written['version']}", written["metadata"]
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        raise ModelRefused(
            f"{path} holds no published model: give a folder with {METADATA_FILE}, as in "
            "$BENTOML_HOME/models/NAME/VERSION"
        ) from None
    return check_files(tag, path, metadata)
