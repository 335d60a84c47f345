"""Putting a trained model into the BentoML model store, without pickle and in the form it serves from.

A scikit-learn model is stored twice: as skops, the original, and compiled to ONNX, which serves; the two must
agree on the held-out rows or nothing is published. A torch module is stored as safetensors and JSON. The tag
is `{name}_{version}:{digest}`: the digest covers what serves and the data it came from, so that training the
same again keeps the tag that is there.
"""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from zipfile import ZIP_DEFLATED

import bentoml
import numpy as np
import onnxruntime
import orjson
import pandas as pd
import sklearn
import skops.io
import torch
from bentoml.models import BentoModel
from numpy.typing import NDArray
from safetensors.torch import save

from ekiben.publishing import metrics
from ekiben.publishing.checks import Task, check_model, check_names, check_targets, scores_of
from ekiben.publishing.compiling import TOLERANCE, compile_alike
from ekiben.publishing.errors import PublishingError as PublishingError
from ekiben.serving.features import Features, json_schema
from ekiben.serving.onnx_model import FILE as ONNX_FILE
from ekiben.serving.stored import find_fault
from ekiben.serving.torch_files import SHAPE_FILE, WEIGHTS_FILE

SKOPS_FILE: Final = "model.skops"

# Beyond what skops trusts by itself, and harmless: the nodes of a fitted tree, the type of an array.
TRUSTED: Final = frozenset({"numpy.dtype", "sklearn.tree._tree.Tree"})


@dataclass(frozen=True, slots=True)
class Published:
    """A version in the store. `is_new` is false when the store had this very version already."""

    version: str
    tag: str
    digest: str
    metrics: Mapping[str, float]
    is_new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What is stored of a version beside its files.

    `metrics` are those of held-out rows, `features` the JSON Schema of what it is asked. `data_digest` stands
    for the data that it was trained on.
    """

    name: str
    version: str
    framework: str
    served_as: str
    target: str
    inputs: Sequence[str]
    score_column: int
    metrics: Mapping[str, float]
    data_digest: str
    features: Mapping[str, Any]


def publish_sklearn(
    *,
    name: str,
    version: str,
    model: Any,
    features: type[Features],
    target: str,
    held_out: tuple[pd.DataFrame, NDArray[Any]],
    task: Task,
    data_digest: str,
    threshold: float = 0.5,
    more_metrics: Mapping[str, float] | None = None,
) -> Published:
    """Publish a fitted scikit-learn model, for `ekiben.serving.onnx_model` to serve.

    `model` takes a DataFrame whose columns are fields of `features` (all, or some). `held_out` are rows that
    it was not trained on and their targets; the targets of a classification are 0 and 1, the score is the
    probability of 1, and `threshold` and above counts as 1 in the metrics. Raises `PublishingError` for what
    cannot be published as it is, and when the compiled model differs from `model` on these rows: by more than
    1e-6, for a regression by more than 1e-6 of the largest value.
    """
    label = check_names(name, version)
    rows = held_out[0]
    inputs = check_model(label, model, rows, task)
    actual = check_targets(label, held_out[1], len(rows), task)
    expected = scores_of(label, model, rows[inputs], task)
    column = 1 if task == "classification" else 0
    content, got = compile_alike(label, model, features, rows, expected, column)
    original = skops.io.dumps(model, compression=ZIP_DEFLATED)
    untrusted = set(skops.io.get_untrusted_types(data=original)) - TRUSTED
    if untrusted:
        raise PublishingError(
            f"{label}: skops does not trust {', '.join(sorted(untrusted))}: use what scikit-learn brings"
        )
    card = ModelCard(
        name=name,
        version=version,
        framework=f"scikit-learn {sklearn.__version__}",
        served_as=f"onnx (onnxruntime {onnxruntime.__version__})",
        target=target,
        inputs=inputs,
        score_column=column,
        metrics={**_measure(task, actual, got, threshold), **(more_metrics or {})},
        data_digest=data_digest,
        features=json_schema(features),
    )
    return publish(card, serving={ONNX_FILE: content}, beside={SKOPS_FILE: original})


def publish_torch(
    *,
    name: str,
    version: str,
    module: torch.nn.Module,
    shape: Any,
    inputs: Sequence[str],
    features: type[Features],
    target: str,
    held_out: tuple[NDArray[np.float64], NDArray[Any]],
    rescore: Callable[[Path], NDArray[np.float64]],
    task: Task,
    data_digest: str,
    threshold: float = 0.5,
    more_metrics: Mapping[str, float] | None = None,
) -> Published:
    """Publish a trained torch module: its weights as safetensors, and `shape`, what rebuilds it, as JSON.

    `held_out` are the scores it gives held-out rows, and their targets. `rescore` loads the model from a
    folder as its service will and scores the same rows: where they differ by more than 1e-6,
    `PublishingError`.
    """
    label = check_names(name, version)
    scores = held_out[0]
    actual = check_targets(label, held_out[1], len(scores), task)
    serving = {
        WEIGHTS_FILE: save({key: value.contiguous() for key, value in module.state_dict().items()}),
        SHAPE_FILE: orjson.dumps(shape, option=orjson.OPT_INDENT_2),
    }
    with tempfile.TemporaryDirectory() as folder:
        for file, content in serving.items():
            (Path(folder) / file).write_bytes(content)
        difference = float(np.max(np.abs(rescore(Path(folder)) - scores)))
    if not difference <= TOLERANCE:
        raise PublishingError(
            f"{label}: loaded again it differs by {difference:.2g} on the held-out rows, "
            f"more than {TOLERANCE:.2g}: not published"
        )
    card = ModelCard(
        name=name,
        version=version,
        framework=f"torch {torch.__version__}",
        served_as="torch",
        target=target,
        inputs=list(inputs),
        score_column=0,
        metrics={**_measure(task, actual, scores, threshold), **(more_metrics or {})},
        data_digest=data_digest,
        features=json_schema(features),
    )
    return publish(card, serving=serving, beside={})


def publish(card: ModelCard, *, serving: Mapping[str, bytes], beside: Mapping[str, bytes]) -> Published:
    """Store the files in `serving`, which the digest covers, and those `beside`, with their metadata."""
    facts = asdict(card)
    identity = {
        **{key: facts[key] for key in ("inputs", "score_column", "features", "data_digest", "framework")},
        "serving": {file: _sha256(content) for file, content in serving.items()},
    }
    digest = _sha256(orjson.dumps(identity, option=orjson.OPT_SORT_KEYS))
    stored_name = f"{card.name}_{card.version}"
    present = BentoModel(f"{stored_name}:latest").stored
    if present is not None and present.info.metadata.get("digest") == digest:
        whole = find_fault(Path(present.path), present.info.metadata["files"]) is None
        # An older release published fewer metrics, and services tell what the store has.
        complete = set(card.metrics) <= set(present.info.metadata["metrics"])
        if whole and complete:
            return Published(card.version, str(present.tag), digest, card.metrics, is_new=False)
    tag = f"{stored_name}:{digest[:16]}"
    if BentoModel(tag).stored is not None:  # damaged, incomplete, or older and to be the latest again
        bentoml.models.delete(tag)
    files = {**serving, **beside}
    metadata = {
        **facts,
        "digest": digest,
        "git_revision": git_revision(),
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": {file: _sha256(content) for file, content in files.items()},
    }
    labels = {"model": card.name, "version": card.version, "framework": card.framework.split()[0]}
    with bentoml.models.create(tag, labels=labels, metadata=metadata) as model:
        for file, content in files.items():
            Path(model.path_of(file)).write_bytes(content)
    # BentoML makes the folder for its owner alone; in an image the service runs as somebody else.
    published = Path(bentoml.models.get(tag).path)
    published.chmod(0o755)
    for path in published.iterdir():
        path.chmod(0o644)
    return Published(card.version, tag, digest, card.metrics, is_new=True)


def frame_digest(data: pd.DataFrame) -> str:
    """A `data_digest` for data that is no file of its own: the SHA-256 of the frame as CSV."""
    return _sha256(data.to_csv(index=False, lineterminator="\n").encode())


def git_revision() -> str:
    """The commit of the working tree, `-dirty` if anything differs; outside a repository `unknown`."""
    command = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    try:
        done = subprocess.run(  # noqa: S603  # a constant command
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()


def _measure(
    task: Task, actual: NDArray[Any], scores: NDArray[np.float64], threshold: float
) -> dict[str, float]:
    if task == "classification":
        return metrics.classification(actual, scores, threshold)
    return metrics.regression(actual, scores)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
