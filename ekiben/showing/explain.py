"""`ekiben explain`: what an experiment does with a user, and why."""

from __future__ import annotations

import os
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from ekiben.clients.document import load_stored, read_copy, read_document
from ekiben.experiments.assignment import BUCKETS, hash_v1
from ekiben.experiments.shares import buckets_of
from ekiben.experiments.snapshot import Snapshot
from ekiben.process.printable import without_password
from ekiben.state.embedded import EmbeddedRedisError, addresses
from ekiben.terminal.errors import EkibenError
from ekiben.terminal.settings import Settings


@dataclass(frozen=True, slots=True)
class Source:
    """Experiments and where they were read."""

    snapshot: Snapshot
    where: str


async def find_source(settings: Settings) -> Source:
    """Return the experiments from the state Redis, else the router's copy on disk, else the file.

    Raises EkibenError when there is none of them, or the file is invalid.
    """
    reason = "the state Redis is empty"
    try:
        state_url = addresses(os.environ, settings.data_dir).state_url
        stored, where = await load_stored(state_url), f"the state Redis ({without_password(state_url)})"
    except (EkibenError, EmbeddedRedisError) as error:
        stored, reason = None, str(error)
    if stored is None:
        stored = read_copy(settings.data_dir)
        where = f"the router's copy ({settings.data_dir / 'snapshot.json'}); {reason}"
    if stored is not None:
        return Source(Snapshot(stored.lineage, stored.revision, stored.document), where)
    document = read_document(settings.experiments_file).document
    return Source(Snapshot("", 0, document), f"{settings.experiments_file}; {reason}")


@dataclass(frozen=True, slots=True)
class Range:
    """The buckets of a variant, `first` to `last`; both are None where it has none."""

    variant: str
    version: str
    first: int | None
    last: int | None


@dataclass(frozen=True, slots=True)
class Namespace:
    """The experiment's share of a namespace and where the user is in it, in percent."""

    name: str
    from_percent: float
    to_percent: float
    user_percent: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """What an experiment does with a user, and why; docs/command-line.md describes the fields."""

    experiment: str
    status: str
    phase: int
    coverage: float
    seed: str
    user: str
    bucket: int | None
    ranges: tuple[Range, ...]
    namespace: Namespace | None
    decided_by: str
    in_experiment: bool
    variant: str | None
    version: str
    revision: int | None
    source: str


def explain(source: Source, experiment_key: str, user_id: str) -> Explanation:
    """Why the user gets what. Raises EkibenError for an unknown experiment."""
    snapshot = source.snapshot
    try:
        assignment = snapshot.explain(experiment_key, user_id)
    except KeyError:
        known = ", ".join(snapshot.document.experiments) or "none"
        raise EkibenError(
            f"there is no experiment {experiment_key!r} in {source.where} (known: {known})"
        ) from None
    experiment = snapshot.document.experiments[experiment_key]
    namespace = experiment.namespace
    buckets = buckets_of(experiment, experiment.coverage)
    return Explanation(
        experiment=experiment_key,
        status=str(experiment.status),
        phase=experiment.phase,
        coverage=experiment.coverage,
        seed=experiment.seed or experiment_key,
        user=user_id,
        bucket=assignment.bucket,
        ranges=tuple(
            Range(name, variant.version, *((held[0], held[-1]) if held else (None, None)))
            for (name, variant), held in zip(experiment.variants.items(), buckets, strict=True)
        ),
        namespace=None
        if namespace is None
        else Namespace(
            namespace.name, namespace.from_, namespace.to, hash_v1("__" + namespace.name, user_id) * 100
        ),
        decided_by=assignment.reason,
        in_experiment=assignment.in_experiment,
        variant=assignment.variant,
        version=assignment.version,
        revision=snapshot.revision if snapshot.lineage else None,
        source=source.where,
    )


def show_explanation(console: Console, shown: Explanation) -> None:
    """Print bucket, ranges, what decided and the revision."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(
        "experiment",
        f"{shown.experiment}: {shown.status}, phase {shown.phase}, "
        f"coverage {shown.coverage:g} %, seed {shown.seed}",
    )
    table.add_row("user", shown.user)
    table.add_row("bucket", "none" if shown.bucket is None else f"{shown.bucket:,} of 0 to {BUCKETS - 1:,}")
    for number, each in enumerate(shown.ranges):
        buckets = "none" if each.first is None else f"{each.first:,} to {each.last:,}"
        table.add_row("ranges" if number == 0 else "", f"{each.variant} ({each.version}): {buckets}")
    if shown.namespace is not None:
        part = shown.namespace
        table.add_row(
            "namespace",
            f"{part.name}: {part.from_percent:g} to {part.to_percent:g} %, "
            f"the user is at {part.user_percent:.1f} %",
        )
    table.add_row("decided by", _decision(shown))
    served = f"variant {shown.variant}" if shown.in_experiment else "not in the experiment"
    table.add_row("result", f"{served}, version {shown.version}")
    table.add_row("revision", f"{'none' if shown.revision is None else shown.revision}, from {shown.source}")
    console.print(table, soft_wrap=False)


def _decision(shown: Explanation) -> str:
    return {
        "status": f"status: a {shown.status} experiment assigns no users, everyone gets live",
        "override": "override: the experiment names this user",
        "namespace": "namespace: the user is outside this experiment's share of it",
        "retired": "retired: the bucket is in the range of a retired variant, the user gets live",
        "range": "range: the bucket is in the variant's range"
        if shown.in_experiment
        else "range: the bucket is in no variant's range, the user gets live",
    }.get(shown.decided_by, shown.decided_by)
