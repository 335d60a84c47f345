"""What an experiment's page shows, beside the report itself: its charts, its ramp, what can be done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from markupsafe import Markup

from ekiben.control.acting.ramps import refusal
from ekiben.control.dashboard.breakdowns import BreakdownView, CohortView, breakdown_views, cohort_views
from ekiben.control.dashboard.charts import bands, distributions, forest
from ekiben.control.desk import Desk, RampState
from ekiben.experiments.changes.verbs import VERBS, Verb
from ekiben.experiments.document import Experiment, Model
from ekiben.experiments.judging.comparability import comparability_lines
from ekiben.experiments.judging.wording import doubts
from ekiben.experiments.kinds.table import kind_of
from ekiben.experiments.reports.effect import Effect, Point
from ekiben.experiments.reports.metric import MetricReport, Role, State
from ekiben.experiments.reports.past import Redeployment
from ekiben.experiments.reports.report import Report
from ekiben.experiments.reports.shadow import ShadowReport
from ekiben.state.documents.audit import Entry


@dataclass(frozen=True, slots=True)
class Button:
    """What can be done: its address below the experiment's, its words, whether the verdict asks for it."""

    address: str
    title: str
    asked: bool


@dataclass(frozen=True, slots=True)
class EffectView:
    """One treatment's effect on one metric, with what is drawn of it."""

    variant: str
    effect: Effect
    state: State
    row: Markup | None
    bands: tuple[Markup, ...]
    points: tuple[Point, ...]
    margin: float | None  # in the metric's unit: how far the effect may be on the bad side


@dataclass(frozen=True, slots=True)
class MetricView:
    """One metric with its effects."""

    metric: MetricReport
    effects: tuple[EffectView, ...]
    calibration: Markup | None

    @property
    def of_classes(self) -> tuple[str, ...]:
        """The classes of a label that has several."""
        return tuple(each.name for each in self.metric.labels[0].classes) if self.metric.labels else ()

    @property
    def drawn(self) -> bool:
        """Whether there is a curve of any of its effects."""
        return any(effect.bands for effect in self.effects)


@dataclass(frozen=True, slots=True)
class ExperimentView:
    """Everything of an experiment's page."""

    key: str
    experiment: Experiment
    model: Model
    report: Report | None
    ramp: RampState | None
    refused: str | None  # why ramps do not run here
    deciding: MetricView | None
    guardrails: tuple[MetricView, ...]
    watched: tuple[MetricView, ...]
    shadows: tuple[ShadowReport, ...]
    history: tuple[Entry, ...]
    breakdowns: tuple[BreakdownView, ...] = ()
    cohorts: tuple[CohortView, ...] = ()

    @property
    def treatments(self) -> tuple[str, ...]:
        """All variants but the control."""
        return tuple(self.experiment.variants)[1:]

    @property
    def unacknowledged(self) -> tuple[Redeployment, ...]:
        """Redeployments that block the verdict."""
        known = self.experiment.acknowledged_model_versions
        return self.report.unacknowledged(known) if self.report else ()

    @property
    def doubts(self) -> list[str]:
        """What cannot be compared, and what may be wrong with what the servers answer."""
        return [*comparability_lines(self.report), *doubts(self.report)] if self.report else []

    @property
    def labels(self) -> tuple[MetricView, ...]:
        """The metrics that compare scores with ground truth."""
        every = (self.deciding, *self.guardrails, *self.watched)
        return tuple(view for view in every if view is not None and view.metric.labels)

    @property
    def buttons(self) -> tuple[Button, ...]:
        """What can be done now, but for what has its button beside what it changes."""
        found = [
            button for verb in VERBS.values() if not verb.aside and self.can(verb.name)
            for button in self._buttons(verb)
        ]  # fmt: skip
        return (replace(found[0], asked=True),) if len(found) == 1 else tuple(found)

    def _buttons(self, verb: Verb) -> Iterator[Button]:
        verdict = self.report.verdict if self.report else None
        asked = verdict is not None and verdict.decision in verb.asked_by
        if verb.treatment is None:
            yield Button(verb.name, verb.title, asked)
            return
        possible = verb.treatments(self.experiment)
        for variant in possible:
            title = verb.title if len(possible) == 1 else f"{verb.title} {variant}"
            meant = asked and verdict is not None and verdict.variant in (None, variant)
            yield Button(f"{verb.name}?{verb.treatment}={variant}", title, meant)

    def can(self, verb: str) -> bool:
        """Whether the verb can be used now."""
        return self.experiment.status in VERBS[verb].possible


def experiment_view(desk: Desk, key: str, history: tuple[Entry, ...]) -> ExperimentView | None:
    """The page of the experiment with that key, None when there is none."""
    if desk.stored is None or key not in desk.stored.document.experiments:
        return None
    experiment = desk.stored.document.experiments[key]
    report = desk.reports.get(key)
    views = [metric_view(metric) for metric in report.metrics] if report else []
    versions = {variant.version for variant in experiment.variants.values()}
    return ExperimentView(
        key=key,
        experiment=experiment,
        model=desk.stored.document.models[experiment.model],
        report=report,
        ramp=desk.ramps.get(key),
        refused=refusal(desk.beats),
        deciding=next((view for view in views if view.metric.role is Role.DECIDES), None),
        guardrails=tuple(view for view in views if view.metric.role is Role.GUARDRAIL),
        watched=tuple(view for view in views if view.metric.role is Role.WATCHED),
        shadows=tuple(
            each
            for each in desk.shadow_reports
            if each.model == experiment.model and (each.version in versions or each.against in versions)
        ),
        history=history,
        breakdowns=breakdown_views(report) if report else (),
        cohorts=cohort_views(report) if report else (),
    )


def metric_view(metric: MetricReport) -> MetricView:
    """The metric with its charts: a guardrail's effect as a row with its margin, every other over time."""
    found = []
    for variant, effect in metric.effects.items():
        state = metric.states.get(variant, State.NO_DATA)
        limit = margin(metric)
        points = metric.series.get(variant, ())
        found.append(
            EffectView(
                variant=variant,
                effect=effect,
                state=state,
                row=_row(effect, state, limit) if metric.role is Role.GUARDRAIL else None,
                bands=_bands(metric, points, state, limit),
                points=points,
                margin=limit,
            )
        )
    several = any(each.classes for each in metric.labels)
    quality = tuple((each.variant, each.calibration) for each in metric.labels if each.calibration)
    return MetricView(
        metric=metric,
        effects=tuple(found),
        calibration=distributions.calibration(quality, several) if quality else None,
    )


def margin(metric: MetricReport) -> float | None:
    """How far the effect may be on the bad side, in the metric's unit with its sign, None without one."""
    if metric.margin is None:
        return None
    return -metric.margin if metric.better == "higher" else metric.margin


def _row(effect: Effect, state: State, limit: float | None) -> Markup | None:
    if effect.absolute is None:
        return None
    axis = forest.own_axis(effect.absolute, effect.interval, limit)
    return forest.row(effect.absolute, effect.interval, state, axis, limit, forest.GUARDRAIL_WIDTH)


def _bands(
    metric: MetricReport, points: tuple[Point, ...], state: State, limit: float | None
) -> tuple[Markup, ...]:
    known = tuple(point for point in points if point.absolute is not None)
    if len(known) < 2:
        return ()
    return tuple(
        bands.band(known, state, limit, percent=kind_of(metric.kind).is_share, width=width)
        for width in (bands.WIDE, bands.NARROW)
    )
