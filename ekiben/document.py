"""Reading the experiments document: from the file, and as it is in force."""

from __future__ import annotations

from pathlib import Path

import yaml

from ekiben.errors import EkibenError, UsageError
from experiments.changes import check_change
from experiments.document import Document
from experiments.lifecycle import Status
from experiments.problems import DocumentError
from process.printable import without_password
from process.private import private_folder, private_opener
from state.document import StateUnavailable, Stored, dump_document, open_store
from state.experiments_file import BadExperimentsFile, ExperimentsFile, read_experiments_file


def read_document(path: Path) -> ExperimentsFile:
    """Read and validate an experiments file. Raises EkibenError, a line for each problem; UsageError where
    there is no such file.
    """
    try:
        return read_experiments_file(path)
    except OSError as error:
        raise UsageError(
            f"cannot read {path}: {error.strerror}; run this where the experiments file is, "
            "or name it with EKIBEN_EXPERIMENTS_FILE"
        ) from None
    except BadExperimentsFile as error:
        raise EkibenError("\n".join(f"{path}: {line}" for line in str(error).splitlines())) from None


async def load_stored(state_url: str) -> Stored | None:
    """Return what the state Redis holds, None when it is empty. Raises EkibenError without an answer."""
    shown = without_password(state_url)
    try:
        store = open_store(state_url)
    except ValueError as error:
        raise EkibenError(f"{shown} is no address of a Redis: {error}") from None
    try:
        return await store.load()
    except StateUnavailable as error:
        raise EkibenError(f"the state Redis at {shown} does not answer: {error}") from None
    finally:
        await store.close()


def read_copy(data_dir: Path) -> Stored | None:
    """Return the router's copy on disk, None when there is no good one."""
    try:
        return Stored.from_json((data_dir / "snapshot.json").read_bytes())
    except (OSError, ValueError):
        return None


async def document_in_force(path: Path, state_url: str, data_dir: Path) -> Document:
    """Return what a router that starts now will route by: the file's document, or Redis's when that is ahead.

    As the router does, it applies a file that is not what was applied last, keeps what Redis holds otherwise,
    and takes its own copy for an empty Redis. Raises EkibenError when the file is invalid, or may not follow
    what is held.
    """
    file = read_document(path)
    stored = await load_stored(state_url) or read_copy(data_dir)
    if stored is None:
        return file.document
    if stored.applied == file.digest:
        return stored.document
    try:
        check_change(stored.document, file.document)
    except DocumentError as error:
        raise EkibenError("\n".join(f"{path}: {problem}" for problem in error.problems)) from None
    return file.document


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


def write_document(document: Document, path: Path, comment: str) -> None:
    """Write a document as a YAML file that begins with `comment`, for this user only: it may name users."""
    private_folder(path.parent)
    body = yaml.safe_dump(dump_document(document), sort_keys=False, allow_unicode=True)
    with open(path, "w", encoding="utf-8", opener=private_opener) as file:
        file.write(f"# {comment}\n{body}")
