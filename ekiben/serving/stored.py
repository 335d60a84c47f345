"""A version as it lies in the BentoML model store: found, and every file checked before it is loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bentoml.exceptions import BentoMLException
from bentoml.models import BentoModel


class ModelRefused(BentoMLException):  # type: ignore[misc]  # BentoML is untyped here; as its own error it is printed as one line
    """The service must not start with what is in the store. The message is one line and says what to do."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A checked version: its exact tag, the folder of its files, its metadata."""

    tag: str
    path: Path
    metadata: Mapping[str, Any]


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


class LatestModel(BentoModel):  # type: ignore[misc]
    """The latest of a model in this machine's store. BentoML's own asks its cloud for a missing one."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name}:latest")

    def to_info(self, alias: str | None = None) -> Any:
        """What `bentoml build` packs."""
        _find(self)
        return super().to_info(alias)

    def resolve(self, base_path: Any = None) -> Any:
        """What BentoML looks for before it starts a service."""
        _find(self)
        return super().resolve(base_path)


def _find(reference: BentoModel) -> Any:
    model = reference.stored
    if model is None:
        raise ModelRefused(
            f"{reference.tag} is not in the model store: run `ekiben train` first (or your own training)"
        )
    return model


def check(reference: BentoModel) -> Stored:
    """Find the model and check its files. Raises `ModelRefused` if it is missing or was tampered with."""
    name = reference.tag.name
    model = _find(reference)
    metadata = model.info.metadata
    files = metadata.get("files")
    if not isinstance(files, dict) or not files:
        raise ModelRefused(f"{model.tag} was not published by Ekiben (no digests): run `ekiben train`")
    path = Path(model.path)
    fault = find_fault(path, files)
    if fault is not None:
        raise ModelRefused(f"{name} does not start: {fault}; `ekiben train` publishes it again")
    return Stored(str(model.tag), path, metadata)
