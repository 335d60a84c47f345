"""The experiments document: what `experiments.yaml` says.

`experiments.parsing.parse_document` is the only door: a `Document` from it has passed every check, those
between its parts included. Percentages are 0 to 100, as in the file.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from experiments.lifecycle import Status

Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1, max_length=100)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Version(_Part):
    """One trained version of a model and the endpoints that serve it."""

    # Not strict, because JSON and YAML have lists where Python has tuples.
    endpoints: Annotated[tuple[str, ...], Field(min_length=1, strict=False)] = Field(
        description="the URLs of the model service, such as [http://127.0.0.1:3001]"
    )
    workers: int = Field(default=1, ge=1, le=1024, description="BentoML workers behind each endpoint")


class Model(_Part):
    """What a client asks for by name, and the versions that can answer."""

    live: Name = Field(description="the version that serves everyone outside experiments")
    timeout_ms: int = Field(default=300, ge=1, le=60_000, description="bounds the whole request")
    cache_ttl_s: int = Field(default=300, ge=0, le=31_536_000, description="how long an answer is kept")
    versions: dict[str, Version] = Field(min_length=1, description="the versions, each with its endpoints")
    shadow: dict[str, Percent] = Field(default={}, description="percent of requests copied to a version")


class Variant(_Part):
    """One option of an experiment: a version, and its share of those who take part."""

    version: Name = Field(description="the version that this variant serves")
    weight: Percent = Field(description="percent of those who take part")


class Namespace(_Part):
    """The share of a namespace's users, in percent, from which an experiment draws: [from, to)."""

    name: str = Field(min_length=1, max_length=256, description="experiments that name it share its users")
    from_: Percent = Field(alias="from", description="percent where the share begins")
    to: Percent = Field(description="percent where the share ends")


class Experiment(_Part):
    """A comparison of variants of one model. The first variant is the control."""

    model: Name = Field(description="the model whose versions are compared")
    status: Annotated[Status, Field(strict=False)] = Field(
        default=Status.DRAFT, description="where it stands"
    )
    coverage: Percent = Field(default=100.0, description="percent of users who take part")
    seed: str | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="salts the hash; the experiment's key unless named",
    )
    phase: int = Field(default=1, ge=1, le=1_000_000, description="a stretch with one seed and fixed weights")
    variants: dict[str, Variant] = Field(description="the control first, then the treatments")
    overrides: dict[str, Name] = Field(default={}, description="user → variant, never analysed")
    namespace: Namespace | None = Field(default=None, description="the share of users to draw from")


class Document(_Part):
    """All models and experiments of an installation.

    `model_dump(mode="json", by_alias=True, exclude_defaults=True)` gives data that `parse_document` takes
    back to an equal document.
    """

    models: dict[str, Model] = Field(min_length=1, description="what clients ask for, by name")
    experiments: dict[str, Experiment] = Field(default={}, description="the comparisons, by key")
