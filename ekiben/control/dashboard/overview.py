"""What the overview shows: every model's experiments on one axis, the traffic, the health of the parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from ekiben.control.dashboard.charts import distributions, forest
from ekiben.control.desk import Desk
from ekiben.control.traffic import VersionTraffic
from ekiben.experiments.document import Document, Experiment, Model
from ekiben.experiments.lifecycle import Status
from ekiben.experiments.reports.effect import Effect, Interval
from ekiben.experiments.reports.metric import MetricReport, State
from ekiben.experiments.reports.report import Report
from ekiben.state.beats import Beat, EndpointBeat

_ORDER: Final = (Status.RUNNING, Status.PAUSED, Status.DRAFT, Status.PROMOTED, Status.ROLLED_BACK)


@dataclass(frozen=True, slots=True)
class EffectRow:
    """One treatment of an experiment, drawn on the shared axis."""

    variant: str
    version: str
    effect: Effect | None
    state: State
    chart: Markup | None


@dataclass(frozen=True, slots=True)
class ExperimentRow:
    """An experiment in the overview."""

    key: str
    experiment: Experiment
    report: Report | None
    metric: MetricReport | None
    effects: tuple[EffectRow, ...]

    @property
    def users(self) -> int:
        """Users of all variants."""
        return sum(variant.users for variant in self.report.variants) if self.report else 0


@dataclass(frozen=True, slots=True)
class ModelBox:
    """A model with its experiments, and the versions that it has."""

    name: str
    model: Model
    experiments: tuple[ExperimentRow, ...]
    traffic: Mapping[str, VersionTraffic]


@dataclass(frozen=True, slots=True)
class EndpointRow:
    """One endpoint as the worker that sees it worst sees it."""

    version: str
    url: str
    breaker: str
    healthy: int
    workers: int
    calls_in_flight: int


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything of the overview but its notices."""

    axis: Markup
    compressed: bool
    models: tuple[ModelBox, ...]
    spark: Markup | None
    endpoints: tuple[EndpointRow, ...]


def overview(desk: Desk) -> Overview:
    """The overview of what the desk knows now."""
    document = desk.stored.document if desk.stored else None
    axis = forest.shared_axis(
        (effect.relative, effect.relative_interval)
        for report in desk.reports.values()
        if report.deciding and (document is None or report.experiment in document.experiments)
        for effect in report.deciding.effects.values()
        if effect.is_relative
    )
    models = _models(document, desk, axis) if document else ()
    spark = desk.traffic.per_s
    return Overview(
        axis=forest.scale_of(axis),
        compressed=axis.compressed,
        models=models,
        spark=distributions.spark(distributions.series(spark[-100:])) if len(spark) > 1 else None,
        endpoints=endpoints(desk.beats),
    )


def _models(document: Document, desk: Desk, axis: forest.Axis) -> tuple[ModelBox, ...]:
    by_model: dict[str, list[ExperimentRow]] = {name: [] for name in document.models}
    for key, experiment in document.experiments.items():
        by_model[experiment.model].append(_row(key, experiment, desk.reports.get(key), axis))
    for rows in by_model.values():
        rows.sort(key=lambda row: _ORDER.index(row.experiment.status))
    return tuple(
        ModelBox(
            name=name,
            model=model,
            experiments=tuple(by_model[name]),
            traffic={each.version: each for each in desk.traffic.versions if each.model == name},
        )
        for name, model in document.models.items()
    )


def _row(key: str, experiment: Experiment, report: Report | None, axis: forest.Axis) -> ExperimentRow:
    metric = report.deciding if report else None
    rows = []
    for variant in list(experiment.variants)[1:]:
        effect = metric.effects.get(variant) if metric else None
        state = metric.states.get(variant, State.NO_DATA) if metric else State.NO_DATA
        chart = None
        if effect is not None and effect.is_relative:
            chart = forest.row(_kept(effect.relative), _ends(effect.relative_interval), state, axis)
        rows.append(EffectRow(variant, experiment.variants[variant].version, effect, state, chart))
    return ExperimentRow(key, experiment, report, metric, tuple(rows))


def endpoints(beats: tuple[Beat, ...]) -> tuple[EndpointRow, ...]:
    """The endpoints of all versions, each with the worst that any worker says of its breaker."""
    seen: dict[tuple[str, str], list[EndpointBeat]] = {}
    for beat in beats:
        for version, held in beat.versions.items():
            for endpoint in held.endpoints:
                seen.setdefault((version, endpoint.url), []).append(endpoint)
    worst = ("closed", "returning", "trial", "open")
    return tuple(
        EndpointRow(
            version=version,
            url=url,
            breaker=max((each.breaker for each in held), key=worst.index),
            healthy=sum(each.healthy for each in held),
            workers=len(held),
            calls_in_flight=sum(each.calls_in_flight for each in held),
        )
        for (version, url), held in sorted(seen.items())
    )


def _kept(value: float | None) -> float | None:
    """Four digits: what is drawn is remembered, and no eye sees more."""
    return None if value is None else float(f"{value:.4g}")


def _ends(interval: Interval) -> Interval:
    return Interval(_kept(interval.low), _kept(interval.high))
