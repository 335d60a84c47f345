"""From parsed YAML or JSON to a document that has passed every check."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ekiben.experiments.checks import document_problems, plain_data
from ekiben.experiments.document import Document, Experiment, Model
from ekiben.experiments.problems import DocumentError, Path, described, from_validation, show, unknown

_P = TypeVar("_P", bound=BaseModel)


def parse_document(data: object) -> Document:
    """Return the document that `data` (parsed YAML or JSON) describes.

    Raises DocumentError with a line for every problem, wherever it lies: a bad model does not hide a bad
    experiment. Types are strict: "50" is no number, and true is not 1.
    """
    found: list[tuple[Path, str]] = []
    clean = plain_data(data, found)
    if not isinstance(clean, dict):
        if not found:
            found.append(((), f"the document must be a mapping with the key models, not {show(clean)}"))
        raise DocumentError.at(found)
    sections = list(Document.model_fields)
    found += [((key,), unknown("key", key, sections)) for key in clean if key not in sections]
    if clean.get("models") in (None, {}) and not any(path == ("models",) for path, _ in found):
        found.append((("models",), f"is missing: {described(Document.model_fields['models'])}"))
    models = _parse_each(Model, "models", clean.get("models"), found)
    experiments = _parse_each(Experiment, "experiments", clean.get("experiments"), found)
    document = Document.model_construct(models=models, experiments=experiments)
    known_models = clean["models"] if isinstance(clean.get("models"), dict) else {}
    found += document_problems(document, known_models)
    if found:
        raise DocumentError.at(found)
    return document


def _parse_each(part: type[_P], section: str, data: Any, found: list[tuple[Path, str]]) -> dict[str, _P]:
    """Return the entries of a section that are well formed; add what is wrong with the others to `found`."""
    if data is None:
        return {}
    if not isinstance(data, dict):
        found.append(((section,), f"must be a mapping, not {show(data)}"))
        return {}
    reported = {path for path, _ in found}
    parsed = {}
    for key, value in data.items():
        try:
            parsed[key] = part.model_validate(value)
        except ValidationError as error:
            # What could not even be copied was reported by plain_data, and is not "missing" besides.
            found += [
                each for each in from_validation(part, (section, key), error) if each[0] not in reported
            ]
    return parsed
