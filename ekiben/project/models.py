"""`models.yaml`, the one list of models: each version's module, its port here, and what it runs on.

    models:
      churn:
        kind: classification
        versions:
          v1: {port: 3001, requirements: [onnx]}

What is served to whom stands in the experiments file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, ValidationError

from ekiben.experiments.part import Part
from ekiben.experiments.problems import DocumentError, from_validation, show
from ekiben.project.names import NAME, Kind, class_name, module_name
from ekiben.state.documents.yaml_data import BadYaml, read_yaml
from ekiben.terminal.errors import EkibenError

FILE: Final = "models.yaml"


class ListedVersion(Part):
    """A version of a model, whether or not it is published or served."""

    port: int = Field(ge=1, le=65535)
    """The port that `ekiben new` gives it on this machine. The experiments file says which one is asked."""
    module: str | None = Field(default=None, pattern=r"^[A-Za-z_][\w.]*(:[A-Za-z_]\w*)?$")
    """The Python module and, after a colon, the BentoML service in it. By default services.MODEL.VERSION."""
    requirements: Annotated[tuple[str, ...], Field(strict=False)] = ("onnx",)
    """What it runs on beside the library: groups (onnx, skops, torch) and names of packages."""
    most_mib: int | None = Field(default=None, ge=1)
    """The size that its image must not pass."""
    bento: bool = True
    """Whether a Bento is built of it."""


class ListedModel(Part):
    """A model of the project."""

    kind: Annotated[Kind, Field(strict=False)]
    """What it predicts."""
    versions: dict[str, ListedVersion] = Field(min_length=1)
    """Its versions."""


Listed = Mapping[str, ListedModel]


def read_models(root: Path) -> Listed:
    """The models of the project in `root`, none where it has no list. Raises EkibenError, a line a
    problem.
    """
    file = root / FILE
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise EkibenError(f"cannot read {file}: {error.strerror or error}") from None
    try:
        return parse_models(content)
    except ValueError as error:
        raise EkibenError("\n".join(f"{file}: {line}" for line in str(error).splitlines())) from None


def parse_models(content: bytes) -> Listed:
    """The models that the bytes of a list name. Raises ValueError with a line for each problem."""
    try:
        read = read_yaml(content)
    except BadYaml as error:
        raise ValueError(f"line {error.line}: {error}" if error.line is not None else str(error)) from None
    data = read.data if read.data is not None else {}
    if not isinstance(data, dict) or set(data) - {"models"} or not isinstance(data.get("models") or {}, dict):
        raise ValueError("it must be a mapping with the one key models, and each model below it")
    found: list[tuple[tuple[str | int, ...], str]] = []
    models = {}
    for name, entry in (data.get("models") or {}).items():
        place = ("models", name)
        try:
            model = ListedModel.model_validate(entry)
        except ValidationError as error:
            found += from_validation(ListedModel, place, error)
            continue
        places = {name: place} | {version: (*place, "versions", version) for version in model.versions}
        for each, at in places.items():
            if NAME.fullmatch(each) is None:
                found.append((at, f"{show(each)} cannot be a module: use a-z, 0-9, _ and -, a letter first"))
        models[name] = model
    if found:
        problems = DocumentError.at(found)
        lines = zip(problems.problems, map(read.line, problems.places), strict=True)
        raise ValueError("\n".join(f"{text} (line {line})" if line else text for text, line in lines))
    return models


def service_of(model: str, version: str, listed: ListedVersion) -> tuple[str, str]:
    """The module of a version, and its BentoML service in there: services.credit.v1, CreditV1."""
    module, _, service = (listed.module or module_name(model, version)).partition(":")
    return module, service or class_name(model, version)


def module_file(root: Path, module: str) -> Path:
    """The file of a module below `root`."""
    return root.joinpath(*module.split(".")).with_suffix(".py")
