"""BentoML's model store: the version that a service serves, found and checked before it is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bentoml.exceptions import BentoMLException
from bentoml.models import BentoModel

from ekiben.serving.stored import ModelRefused, Stored, check_files


class ServiceRefused(ModelRefused, BentoMLException):  # type: ignore[misc]  # BentoML is untyped here
    """`ModelRefused` as an error of BentoML's own, which it prints as one line."""


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
        raise ServiceRefused(
            f"{reference.tag} is not in the model store: run `ekiben train` first (or your own training)"
        )
    return model


def check(reference: BentoModel) -> Stored:
    """Find the model and check its files. Raises `ModelRefused` if it is missing or was tampered with."""
    model = _find(reference)
    try:
        return check_files(str(model.tag), Path(model.path), model.info.metadata)
    except ModelRefused as refused:
        raise ServiceRefused(str(refused)) from None
