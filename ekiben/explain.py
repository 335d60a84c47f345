"""`ekiben explain`: what an experiment does with a user, and why."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from ekiben.document import load_stored, read_copy, read_document
from ekiben.errors import EkibenError
from ekiben.settings import Settings
from experiments.assignment import hash_v1
from experiments.snapshot import Assignment, Snapshot
from state.embedded import EmbeddedRedisError, addresses

BUCKETS = 10_000


@dataclass(frozen=True, slots=True)
class Source:
    """Experiments and where they were read."""

    snapshot: Snapshot
    where: str


async def find_source(settings: Settings) -> Source:
    """Return the experiments from the state Redis, else the router's copy on disk, else the file.

    Raises EkibenError when there is none of them, or the file is invalid.
    """
    try:
        state_url = addresses(os.environ, settings.data_dir).state_url
        stored, where = await load_stored(state_url), f"the state Redis ({state_url})"
    except (EkibenError, EmbeddedRedisError):
        stored = None
    if stored is None:
        stored = read_copy(settings.data_dir)
        where = f"the router's copy ({settings.data_dir / 'snapshot.json'}); the state Redis does not answer"
    if stored is not None:
        return Source(Snapshot(stored.lineage, stored.revision, stored.document), where)
    document = read_document(settings.experiments_file).document
    return Source(Snapshot("", 0, document), f"{settings.experiments_file}; no router has applied it yet")


def show_explanation(console: Console, source: Source, experiment_key: str, user_id: str) -> None:
    """Print bucket, ranges, what decided and the revision. Raises EkibenError for an unknown experiment."""
    snapshot = source.snapshot
    try:
        assignment = snapshot.explain(experiment_key, user_id)
    except KeyError:
        known = ", ".join(snapshot.document.experiments) or "none"
        raise EkibenError(
            f"there is no experiment {experiment_key!r} in {source.where} (known: {known})"
        ) from None
    experiment = snapshot.document.experiments[experiment_key]
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(
        "experiment",
        f"{experiment_key}: {experiment.status}, phase {experiment.phase}, "
        f"coverage {experiment.coverage:g} %, seed {experiment.seed or experiment_key}",
    )
    table.add_row("user", user_id)
    table.add_row(
        "bucket",
        f"{assignment.bucket:,} of 0 to {BUCKETS - 1:,}" if assignment.bucket is not None else "none",
    )
    for number, (variant, start, end) in enumerate(snapshot.ranges(experiment_key)):
        one = experiment.variants[variant]
        table.add_row("ranges" if number == 0 else "", f"{variant} ({one.version}): {_range(start, end)}")
    if experiment.namespace is not None:
        namespace = experiment.namespace
        place = hash_v1("__" + namespace.name, user_id) * 100
        table.add_row(
            "namespace",
            f"{namespace.name}: {namespace.from_:g} to {namespace.to:g} %, the user is at {place:.1f} %",
        )
    table.add_row("decided by", _decision(assignment, experiment.status))
    served = f"variant {assignment.variant}" if assignment.in_experiment else "not in the experiment"
    table.add_row("result", f"{served}, version {assignment.version}")
    revision = f"{snapshot.revision}" if snapshot.lineage else "none"
    table.add_row("revision", f"{revision}, from {source.where}")
    console.print(table, soft_wrap=False)


def _range(start: float, end: float) -> str:
    # A bucket belongs to a range when start <= bucket / 10,000 < end; shares such as 0.8 are not exact.
    first, after = (math.ceil(round(share * BUCKETS, 6)) for share in (start, end))
    return f"{first:,} to {after - 1:,}" if after > first else "nobody"


def _decision(assignment: Assignment, status: str) -> str:
    return {
        "status": f"status: a {status} experiment assigns nobody, everyone gets live",
        "override": "override: the experiment names this user",
        "namespace": "namespace: the user is outside this experiment's share of it",
        "range": "range: the bucket lies in the variant's range"
        if assignment.in_experiment
        else "range: the bucket lies in no variant's range, the user gets live",
    }.get(assignment.reason, assignment.reason)
