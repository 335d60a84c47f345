"""What is stored of a published version beside its files. `ekiben.publishing` writes it, services read it."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, ConfigDict

ALL_COLUMNS: Final = -1

# What `/model/info` says besides, where it is not empty.
_SAID: Final = ("kind", "classes", "names", "threshold", "owner", "intended_use", "limits")
_ALWAYS_SAID: Final = (
    *("name", "version", "framework", "served_as", "target", "metrics"),
    *("created_at", "data_digest", "git_revision", "digest", "files"),
)


class StoredCard(BaseModel):
    """The metadata of a version. What has a default here was not stored by every release.

    `inputs` are the features that the model looks at. `score_column` is the column of what it computes that
    is the score, and -1 when all are. `classes` or `names` say what each column is then, in order. `output`
    names the output of `model.onnx` with the scores. `metrics` were measured on held-out rows, and the data
    with the digest `data_digest` is what it was trained on. `files` are the SHA-256 of each file, `digest`
    covers what serves.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    version: str
    framework: str
    served_as: str
    target: str
    inputs: list[str]
    metrics: dict[str, float]
    data_digest: str
    features: dict[str, Any]
    digest: str
    git_revision: str
    created_at: str
    files: dict[str, str]
    score_column: int = ALL_COLUMNS
    output: str | None = None
    kind: str = ""
    classes: list[str] = []
    names: list[str] = []
    threshold: float | None = None
    owner: str = ""
    intended_use: str = ""
    limits: str = ""

    @property
    def column(self) -> int | None:
        """Which column of what the model computes is the score; None when all of them are."""
        return None if self.score_column < 0 else self.score_column

    def as_metadata(self) -> dict[str, Any]:
        """As BentoML's store takes it, which has no nulls."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def said(self) -> dict[str, Any]:
        """The part of it that `/model/info` answers."""
        given = self.model_dump(mode="json")
        return {key: given[key] for key in (*_ALWAYS_SAID, *(key for key in _SAID if given[key]))}
