"""Reading the experiments document: from the file, and as it is in force."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from ekiben.experiments.changes.allowed import check_change
from ekiben.experiments.changes.three_way import apply_text
from ekiben.experiments.document import Document
from ekiben.experiments.lifecycle import Status
from ekiben.experiments.problems import DocumentError
from ekiben.process.printable import without_password
from ekiben.process.private import write_private
from ekiben.state.connecting import StateUnavailable
from ekiben.state.documents.applying import last_text
from ekiben.state.documents.document import Stored, dump_document, open_store, read_record
from ekiben.state.documents.experiments_file import BadExperimentsFile, ExperimentsFile, read_experiments_file
from ekiben.state.documents.record import Record
from ekiben.state.documents.yaml_data import BadYaml, read_yaml
from ekiben.terminal.errors import EkibenError, UsageError

_WHERE: Final = "; run this where the experiments file is, or name it with EKIBEN_EXPERIMENTS_FILE"


def read_document(path: Path, advice: str = _WHERE) -> ExperimentsFile:
    """Read and validate an experiments file. Raises EkibenError, a line for each problem; UsageError, which
    ends with `advice`, where there is no such file.
    """
    try:
        return read_experiments_file(path)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}{advice}") from None
    except BadExperimentsFile as error:
        if _names_nothing(path):
            raise EkibenError(
                f"{path} names no model yet: begin one with `ekiben new MODEL v1 --features …`"
            ) from None
        raise EkibenError("\n".join(f"{path}: {line}" for line in str(error).splitlines())) from None


def read_routed(path: Path) -> ExperimentsFile | None:
    """As `read_document`; None for a file that names no model yet, as `ekiben init` writes it."""
    return None if _names_nothing(path) else read_document(path)


def _names_nothing(path: Path) -> bool:
    try:
        data = read_yaml(path.read_bytes()).data
    except (OSError, BadYaml):
        return False
    return data is None or (isinstance(data, dict) and not any(data.values()))


async def load_stored(state_url: str) -> Stored | None:
    """Return what the state Redis holds, None when it is empty. Raises EkibenError without an answer."""
    store = open_store(state_url)
    try:
        return await store.load()
    except StateUnavailable as error:
        shown = without_password(state_url)
        raise EkibenError(f"the state Redis at {shown} does not answer: {error}") from None
    finally:
        await store.close()


def read_copy(data_dir: Path) -> Stored | None:
    """Return the router's copy on disk, None when there is no good one."""
    try:
        return read_record(Record.from_json((data_dir / "snapshot.json").read_bytes()))
    except (OSError, ValueError, StateUnavailable):
        return None


async def document_in_force(path: Path, state_url: str, data_dir: Path) -> Document:
    """Return what will be routed by once the file has been looked at, as the applier decides it.

    Raises EkibenError when the file is invalid, or may not follow what is held.
    """
    file = read_document(path)
    stored = await load_stored(state_url) or read_copy(data_dir)
    if stored is None:
        return file.document
    record = stored.as_record()
    if file.digest == stored.applied or file.digest in record.earlier:
        return stored.document
    last = await last_text(stored)
    if last is None:
        return stored.document  # the controller tells why it does not apply the file
    try:
        merged = apply_text(last, file.document, stored.document)
        check_change(stored.document, merged)
    except DocumentError as error:
        raise EkibenError("\n".join(f"{path}: {problem}" for problem in error.problems)) from None
    return merged


def bench_document(document: Document) -> Document:
    """Return the document to measure with: no shadow, running experiments in equal parts over everyone."""
    experiments = {}
    for key, experiment in document.experiments.items():
        if experiment.status is Status.RUNNING:
            count = len(experiment.variants)
            weights = [round(100 / count, 2)] * (count - 1)
            weights.append(100 - sum(weights))
            variants = {
                name: variant.model_copy(update={"weight": weight})
                for (name, variant), weight in zip(experiment.variants.items(), weights, strict=True)
            }
            experiment = experiment.model_copy(update={"variants": variants, "coverage": 100.0})
        experiments[key] = experiment
    models = {name: model.model_copy(update={"shadow": {}}) for name, model in document.models.items()}
    return document.model_copy(update={"models": models, "experiments": experiments})


def document_yaml(data: Mapping[str, Any]) -> str:
    """A document's plain values as YAML that reads back the same."""
    return yaml.safe_dump(dict(data), sort_keys=False, allow_unicode=True)


def write_document(document: Document, path: Path, comment: str) -> None:
    """Write a document as a YAML file that begins with `comment`, for this user only: it may name users."""
    write_private(path, f"# {comment}\n{document_yaml(dump_document(document))}")
