"""`ekiben train`: runs the training of models, and compares what is in the store afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from ekiben.terminal.errors import EkibenError, UsageError
from ekiben.terminal.tables import plain_table

TRAINING: Final = "training"
_SCRIPT: Final = "train.py"

# Metrics that have another title than their name, and come first in this order.
TITLES: Final[Mapping[str, str]] = {
    "auc": "ROC\nAUC",
    "brier": "Brier",
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "profit_per_applicant": "profit per\napplicant",
}
# What reports compare with, and no reader of the table.
_NOT_SHOWN: Final = frozenset({"accuracy_at_half"})


def train_and_compare(
    console: Console, root: Path, model: str | None, versions: Sequence[str] | None
) -> None:
    """Run `training/MODEL/train.py` below `root`, of every model that has one unless one is named, and print
    a table of each model's published versions. A script is given the wanted versions as its arguments.

    Raises UsageError for what is not there, EkibenError with the last line of a script that failed.
    """
    there_are = sorted(file.parent.name for file in (root / TRAINING).glob(f"*/{_SCRIPT}"))
    if model is not None and model not in there_are:
        known = ", ".join(there_are) or "none"
        raise UsageError(f"there is no {TRAINING}/{model}/{_SCRIPT} in {root} (models with one: {known})")
    if not there_are:
        raise UsageError(f"there is no {TRAINING}/MODEL/{_SCRIPT} in {root}: run this in a project's folder")
    if model is None and versions and len(there_are) > 1:
        raise UsageError("--version: name the model whose version it is, too")
    for name in there_are if model is None else [model]:
        before = published(name)
        _run(root, name, versions or ())
        after = published(name)
        rows = {version: after[version] for version in versions or after if version in after}
        console.print(comparison_table(name, rows, before))


def published(model: str) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """The latest of each version of a model in BentoML's store: version → tag and metadata, by version."""
    # Imported here: BentoML takes most of a second, and few commands need it.
    import bentoml

    found: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for each in sorted(bentoml.models.list(), key=lambda stored: stored.info.creation_time):
        metadata = each.info.metadata
        if metadata.get("name") == model and "version" in metadata:
            found[str(metadata["version"])] = str(each.tag), metadata
    return dict(sorted(found.items()))


def comparison_table(
    model: str,
    rows: Mapping[str, tuple[str, Mapping[str, Any]]],
    before: Mapping[str, tuple[str, Mapping[str, Any]]],
) -> Table:
    """A row for each version: what serves it, its tag, its metrics on the held-out rows."""
    table = plain_table(f"model {model} on its held-out rows")
    table.add_column("version")
    table.add_column("served as", overflow="fold")
    table.add_column("model tag", overflow="fold")
    measured = {name for _, metadata in rows.values() for name in metadata.get("metrics", {})} - _NOT_SHOWN
    shown = [name for name in TITLES if name in measured] + sorted(measured - TITLES.keys())
    for title in (TITLES.get(name, name) for name in shown):
        table.add_column(title, justify="right")
    for version, (tag, metadata) in rows.items():
        metrics = metadata.get("metrics", {})
        values = [f"{metrics[name]:.3f}" if name in metrics else "-" for name in shown]
        told = f"{tag} (as before)" if before.get(version, ("",))[0] == tag else tag
        table.add_row(version, str(metadata.get("served_as", "-")).split(" ")[0], told, *values)
    return table


def _run(root: Path, model: str, versions: Sequence[str]) -> None:
    command = [sys.executable, "-P", str(root / TRAINING / model / _SCRIPT), *versions]
    # `services` is the project's, wherever the script lies.
    path = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
    environ = {**os.environ, "PYTHONPATH": path, "BENTOML_DO_NOT_TRACK": "true"}
    last = ""
    with subprocess.Popen(  # noqa: S603 - this interpreter, a module of the user's
        command, cwd=root, env=environ, stderr=subprocess.PIPE, encoding="utf-8", errors="replace"
    ) as script:
        assert script.stderr is not None
        # Of one that fails, the last line is the reason. What comes before is shown as it comes.
        for line in script.stderr:
            sys.stderr.write(last)
            last = line
    if script.returncode == 0:
        sys.stderr.write(last)
        return
    why = last.strip() or f"it ended with exit code {script.returncode}"
    if script.returncode == 2:
        raise UsageError(why)
    raise EkibenError(f"{TRAINING}/{model}/{_SCRIPT}: {why}")
