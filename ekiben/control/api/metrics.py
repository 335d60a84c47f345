"""The controller's Prometheus metrics, read off the desk when they are asked for. `docs/metrics.md` describes
them. Labels are bounded: models, versions, experiments, variants, metrics and fixed words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ekiben.control.analysis.reasons import WORDS
from ekiben.control.api.views import joined_view
from ekiben.control.desk import Desk
from ekiben.experiments.lifecycle import Status
from ekiben.experiments.report import Decision, MetricReport, Report, State
from ekiben.process.http.protocol import BoundedProtocol

_STATES: Final = tuple(State)
_DECISIONS: Final = tuple(Decision)
_VERSION: Final = ("model", "version")


class RecorderFigures(Protocol):
    """What the recorder tells."""

    recorded: dict[str, int]
    bad_blocks: int

    @property
    def failing(self) -> str | None: ...

    @property
    def lag_s(self) -> float | None: ...


class AnalystFigures(Protocol):
    """What the analyst tells."""

    seconds: float
    failed: Mapping[str, str]


class _FromDesk(Collector):
    def __init__(self, desk: Desk, recorder: RecorderFigures, analyst: AnalystFigures) -> None:
        self._desk = desk
        self._recorder = recorder
        self._analyst = analyst

    def collect(self) -> Iterable[Metric]:
        desk = self._desk
        yield _gauge("ekiben_controller_leading", "1 where this controller holds the lease", desk.leading())
        yield _gauge("ekiben_controller_state_up", "1 while the state Redis answers", not desk.state_away)
        if (durable := desk.durability.durable) is not None:
            yield _gauge(
                "ekiben_controller_state_durable", "1 while the state Redis keeps what it confirms", durable
            )
        failing = desk.failing()
        yield _gauge(
            "ekiben_controller_clock_off",
            "1 while this controller's clock disagrees with the state Redis's",
            "clock" in failing,
        )
        yield _gauge(
            "ekiben_retention_refused",
            "1 while days of events that are too old are kept for want of a clock",
            "retention" in failing,
        )
        yield _gauge(
            "ekiben_controller_revision",
            "Revision of the experiments that the controller knows",
            desk.stored.revision if desk.stored else 0,
        )
        file, joined = desk.file(), joined_view(desk.stored)
        for state in ("refused", "late"):
            yield _gauge(
                f"ekiben_experiments_file_{state}",
                f"1 while the experiments file is {state}: it is not applied",
                file is not None and file.state == state,
            )
        yield _gauge(
            "ekiben_experiments_not_run",
            "Experiments that this release does not run: everyone gets live",
            len(desk.stored.kept.not_run) if desk.stored else 0,
        )
        yield _gauge(
            "ekiben_experiments_joined_timestamp_seconds",
            "When two histories of the experiments were last joined, 0 if never",
            joined["at"] if joined else 0,
        )
        yield _gauge("ekiben_router_workers", "Router workers whose beat is fresh", len(desk.beats))
        ended = CounterMetricFamily(
            "ekiben_controller_connections_ended",
            "Connections that the server ended, by reason",
            labels=("reason",),
        )
        for reason, count in sorted(BoundedProtocol.ended.items()):
            ended.add_metric([reason], count)
        yield ended
        yield from self._documented()
        yield from self._recorded()
        yield from self._analysed()
        reports = _Reports(desk.reports.values())
        yield from reports.families()
        yield from reports.outcomes()

    def _documented(self) -> Iterable[Metric]:
        status = GaugeMetricFamily(
            "ekiben_experiment_status",
            "1 for the status that an experiment is in",
            labels=("experiment", "status"),
        )
        coverage = GaugeMetricFamily(
            "ekiben_experiment_coverage_ratio", "Share of all users who take part", labels=("experiment",)
        )
        live = GaugeMetricFamily(
            "ekiben_version_live", "1 for the version that serves outside experiments", labels=_VERSION
        )
        document = self._desk.stored.document if self._desk.stored else None
        for key, experiment in document.experiments.items() if document else ():
            coverage.add_metric([key], experiment.coverage / 100)
            for one in Status:
                status.add_metric([key, one], experiment.status is one)
        for name, model in document.models.items() if document else ():
            for version in model.versions:
                live.add_metric([name, version], version == model.live)
        return status, coverage, live

    def _recorded(self) -> Iterable[Metric]:
        recorder = self._recorder
        events = CounterMetricFamily("ekiben_events_recorded", "Events written to files", labels=("kind",))
        for kind, count in sorted(recorder.recorded.items()):
            events.add_metric([kind], count)
        yield events
        bad = CounterMetricFamily("ekiben_bad_blocks", "Stream entries that were no event block")
        bad.add_metric([], recorder.bad_blocks)
        yield bad
        yield _gauge(
            "ekiben_recorder_failing", "1 while events cannot be written", recorder.failing is not None
        )
        if (lag_s := recorder.lag_s) is not None:
            yield _gauge(
                "ekiben_recorder_lag_seconds", "Age of the oldest event that is not in a file yet", lag_s
            )

    def _analysed(self) -> Iterable[Metric]:
        yield _gauge(
            "ekiben_analysis_seconds", "Duration of the last round of analysis", self._analyst.seconds
        )
        yield _gauge(
            "ekiben_analysis_failing", "Experiments that could not be analysed", len(self._analyst.failed)
        )


class _Reports:
    """The families that every experiment's report adds its samples to."""

    def __init__(self, reports: Iterable[Report]) -> None:
        self._reports = reports

    def families(self) -> Iterable[Metric]:
        variant = ("experiment", "variant")
        users = GaugeMetricFamily(
            "ekiben_experiment_users", "Users of a variant in the experiment's phase", labels=variant
        )
        srm = GaugeMetricFamily(
            "ekiben_experiment_srm", "1 where the split is not what was asked", labels=("experiment",)
        )
        verdict = GaugeMetricFamily(
            "ekiben_experiment_verdict", "1 for the verdict that stands", labels=("experiment", "decision")
        )
        at = GaugeMetricFamily(
            "ekiben_experiment_report_timestamp_seconds", "When the report was made", labels=("experiment",)
        )
        guardrail = GaugeMetricFamily(
            "ekiben_guardrail_state",
            "1 for the state that a guardrail is in",
            labels=(*variant, "metric", "state"),
        )
        accuracy = GaugeMetricFamily(
            "ml_model_accuracy", "Share of labels that the scores got right", labels=_LABELS
        )
        roc_auc = GaugeMetricFamily("ml_model_roc_auc", "ROC AUC from labels", labels=_LABELS)
        labels = GaugeMetricFamily("ml_model_labels", "Labels that these were computed from", labels=_LABELS)
        for report in self._reports:
            key = report.experiment
            at.add_metric([key], report.at)
            for each in report.variants:
                users.add_metric([key, each.variant], each.users)
            if report.srm is not None:
                srm.add_metric([key], report.srm.mismatch)
            for decision in _DECISIONS:
                verdict.add_metric([key, decision], report.verdict.decision is decision)
            for metric in report.guardrails:
                for treatment, state in metric.states.items():
                    for one in _STATES:
                        guardrail.add_metric([key, treatment, metric.name, one], state is one)
            if (label := _label_metric(report)) is not None:
                _add_labels(report, label, accuracy, roc_auc, labels)
        return users, srm, verdict, at, guardrail, accuracy, roc_auc, labels

    def outcomes(self) -> Iterable[Metric]:
        """What became of outcomes."""
        counted = GaugeMetricFamily(
            "ekiben_outcomes_counted", "Outcomes that a report counts", labels=("experiment",)
        )
        left_out = GaugeMetricFamily(
            "ekiben_outcomes_left_out",
            "Outcomes accepted since the phase began that do not count",
            labels=("experiment", "reason"),
        )
        for report in self._reports:
            if report.outcomes is None:
                continue
            counted.add_metric([report.experiment], report.outcomes.counted)
            found = report.left_out_outcomes
            for reason in WORDS:
                left_out.add_metric([report.experiment, reason], found.get(reason, 0))
        return counted, left_out


_LABELS: Final = ("model", "version", "model_version", "experiment")


def _label_metric(report: Report) -> MetricReport | None:
    return next((metric for metric in report.metrics if metric.labels), None)


def _add_labels(
    report: Report,
    metric: MetricReport,
    accuracy: GaugeMetricFamily,
    roc_auc: GaugeMetricFamily,
    labels: GaugeMetricFamily,
) -> None:
    versions = {each.variant: each.version for each in report.variants}
    for quality in metric.labels:
        of = [
            report.model,
            versions.get(quality.variant, ""),
            quality.model_versions[-1] if quality.model_versions else "",
            report.experiment,
        ]
        labels.add_metric(of, quality.labels)
        if quality.accuracy is not None:
            accuracy.add_metric(of, quality.accuracy)
        if quality.roc_auc is not None:
            roc_auc.add_metric(of, quality.roc_auc)


def _gauge(name: str, what: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, what, value=float(value))


def metrics_page(desk: Desk, recorder: RecorderFigures, analyst: AnalystFigures) -> Callable[[], bytes]:
    """What renders the exposition text."""
    registry = CollectorRegistry()
    registry.register(_FromDesk(desk, recorder, analyst))
    return lambda: generate_latest(registry)
