"""Putting a version into the BentoML model store, without pickle and in the form it serves from.

The tag is `{name}_{version}:{digest}`. The digest covers what serves and the data it came from, so that
training the same again keeps the tag that is there.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import bentoml
import orjson
from bentoml.models import BentoModel

from ekiben.publishing.answers import Answers
from ekiben.publishing.card import ModelCard
from ekiben.publishing.errors import PublishingError
from ekiben.serving.card import StoredCard
from ekiben.serving.features import json_schema
from ekiben.serving.stored import ModelRefused, find_fault, read_card

if TYPE_CHECKING:
    import pandas as pd

MOST_BYTES: Final = 2 * 1024**3  # of an ONNX file: protobuf's own limit, and of a Bento that anyone wants

# From one publication of the very same version to the next.
_MAY_DIFFER: Final = ("created_at", "git_revision", "files", "served_as", "metrics")


@dataclass(frozen=True, slots=True)
class Published:
    """A version in the store, in the folder `path`. `is_new` is false when the store had it already.

    `notes` are lines about what its author should know of it.
    """

    version: str
    tag: str
    digest: str
    metrics: Mapping[str, float]
    is_new: bool
    served_as: str
    path: Path
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Servable:
    """What serves: its files, what made it, what serves it, its inputs and what it answers.

    The digest covers `files`. Those `beside` are only stored. `output` names the ONNX output of the scores.
    """

    files: Mapping[str, bytes]
    framework: str
    served_as: str
    inputs: Sequence[str]
    answers: Answers
    output: str | None = None
    beside: Mapping[str, bytes] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def noting(self, notes: Sequence[str]) -> Servable:
        """The same with these notes besides."""
        return replace(self, notes=[*self.notes, *notes])


def store(
    card: ModelCard, servable: Servable, metrics: Mapping[str, float], data_digest: str, quiet: bool
) -> Published:
    """Store a version that was checked, and print what it is unless `quiet`. Raises `PublishingError`."""
    check_size(card.label, servable.files)
    servable = servable.noting(doubts(metrics))
    stored = _describe(card, servable, metrics, data_digest)
    published = _present(card, stored, servable.notes) or _write(card, servable, stored)
    if not quiet:
        sys.stdout.write("".join(f"{line}\n" for line in summary(card.label, published)))
    return published


def check_size(label: str, files: Mapping[str, bytes], most: int = MOST_BYTES) -> None:
    """Raise `PublishingError` for files of more than `most` bytes together."""
    if (size := sum(map(len, files.values()))) > most:
        raise PublishingError(
            f"{label}: its files have {size / 1024**2:,.0f} MiB, more than {most / 1024**2:,.0f}: use fewer "
            "or shallower trees, or a smaller network"
        )


def doubts(metrics: Mapping[str, float]) -> list[str]:
    """Notes about metrics that are worse than a guess."""
    why = "are the columns, or the classes, in another order than the model's?"
    worse = {"auc": 0.5, "r2": 0.0}
    return [
        f"{name} is {metrics[name]:.3g}, below the {least:g} of a guess: {why}"
        for name, least in worse.items()
        if metrics.get(name, least) < least
    ]


def summary(label: str, published: Published) -> list[str]:
    """What is printed of a version, in lines."""
    begin = f"{label} published" if published.is_new else f"{label} was in the store already"
    shown = "  ".join(f"{name} {value:.4g}" for name, value in published.metrics.items())
    return [
        f"{begin}: {published.tag}, served as {published.served_as}",
        f"  metrics: {shown or 'none, without held-out rows'}",
        f"  stored in {published.path}",
        *(f"  note: {note}" for note in published.notes),
    ]


def frame_digest(data: pd.DataFrame) -> str:
    """A `data_digest` for data that is no file of its own: the SHA-256 of the frame as CSV."""
    return _sha256(data.to_csv(index=False, lineterminator="\n").encode())


def git_revision() -> str:
    """The commit of the working folder, `-dirty` if anything differs; outside a repository `unknown`."""
    command = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    try:
        done = subprocess.run(  # noqa: S603  # a constant command
            command, capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()


def _describe(
    card: ModelCard, servable: Servable, metrics: Mapping[str, float], data_digest: str
) -> StoredCard:
    answers = servable.answers
    identity: dict[str, Any] = {
        "inputs": list(servable.inputs),
        "score_column": answers.column,
        "features": json_schema(card.features),
        "data_digest": data_digest,
        "framework": servable.framework,
        "serving": {file: _sha256(content) for file, content in servable.files.items()},
    }
    # Left out where there are none, as before there were any: tags stay as they are.
    more = {"classes": answers.classes, "names": answers.names, "output": servable.output}
    identity |= {key: value for key, value in more.items() if value}
    return StoredCard(
        name=card.name,
        version=card.version,
        framework=servable.framework,
        served_as=servable.served_as,
        target=card.target,
        inputs=identity["inputs"],
        metrics=dict(metrics),
        data_digest=data_digest,
        features=identity["features"],
        digest=_sha256(orjson.dumps(identity, option=orjson.OPT_SORT_KEYS)),
        git_revision=git_revision(),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        files={file: _sha256(content) for file, content in {**servable.files, **servable.beside}.items()},
        score_column=answers.column,
        output=servable.output,
        kind=card.kind,
        classes=list(answers.classes),
        names=list(answers.names),
        threshold=card.threshold if card.kind == "classification" else None,
        owner=card.owner,
        intended_use=card.intended_use,
        limits=card.limits,
    )


def _present(card: ModelCard, stored: StoredCard, notes: Sequence[str]) -> Published | None:
    """This very version, if it is the latest in the store, whole, and as much is known of it."""
    present = BentoModel(f"{card.stored_name}:latest").stored
    if present is None:
        return None
    try:
        known = read_card(str(present.tag), present.info.metadata)
    except ModelRefused:
        return None
    path = Path(present.path)
    # An older release published fewer metrics, and services say what the store has.
    as_much = known.model_copy(
        update={
            name: getattr(stored, name)
            for name in ("created_at", "git_revision", "files", "served_as", "metrics")
        }
    )
    if (
        as_much != stored
        or not set(stored.metrics) <= set(known.metrics)
        or find_fault(path, known.files) is not None
    ):
        return None
    return Published(
        card.version, str(present.tag), stored.digest, stored.metrics, False, stored.served_as, path, notes
    )


def _write(card: ModelCard, servable: Servable, stored: StoredCard) -> Published:
    tag = f"{card.stored_name}:{stored.digest[:16]}"
    if BentoModel(tag).stored is not None:  # damaged, incomplete, or older and to be the latest again
        bentoml.models.delete(tag)
    labels = {"model": card.name, "version": card.version, "framework": stored.framework.split()[0]}
    try:
        with bentoml.models.create(tag, labels=labels, metadata=stored.as_metadata()) as model:
            for file, content in {**servable.files, **servable.beside}.items():
                Path(model.path_of(file)).write_bytes(content)
    except OSError as error:
        raise PublishingError(f"{card.label}: cannot write to the model store: {error}") from error
    # BentoML makes the folder for its owner alone; in an image the service runs as somebody else.
    published = Path(bentoml.models.get(tag).path)
    published.chmod(0o755)
    for path in published.iterdir():
        path.chmod(0o644)
    return Published(
        card.version, tag, stored.digest, stored.metrics, True, stored.served_as, published, servable.notes
    )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
