"""The controller's Prometheus metrics, read off the desk when they are asked for. `docs/metrics.md` describes
them. Labels are bounded: models, versions, experiments, variants, metrics and fixed words."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ekiben.control.analysis.analyst import Analyst
from ekiben.control.analysis.reasons import WORDS
from ekiben.control.api.views import joined_view
from ekiben.control.desk import Desk
from ekiben.control.recording.recorder import Recorder
from ekiben.experiments.lifecycle import Status
from ekiben.experiments.reports.labels import LabelQuality
from ekiben.experiments.reports.metric import State
from ekiben.experiments.reports.report import Decision, Report
from ekiben.process.http.protocol import BoundedProtocol

_Samples = Iterable[tuple[*tuple[str, ...], float]]
"""For each sample its labels' values, then its own."""


def metrics_page(desk: Desk, recorder: Recorder, analyst: Analyst) -> Callable[[], bytes]:
    """What renders the exposition text."""

    class FromDesk(Collector):
        def collect(self) -> Iterable[Metric]:
            yield from _of_controller(desk)
            yield from _of_document(desk)
            yield from _of_recorder(recorder)
            yield _gauge("ekiben_analysis_seconds", "Duration of the last round of analysis", analyst.seconds)
            failed = len(analyst.failed)
            yield _gauge("ekiben_analysis_failing", "Experiments that could not be analysed", failed)
            yield from _of_reports(desk.reports.values())

    registry = CollectorRegistry()
    registry.register(FromDesk())
    return lambda: generate_latest(registry)


def _of_controller(desk: Desk) -> Iterator[Metric]:
    yield _gauge("ekiben_controller_leading", "1 where this controller holds the lease", desk.leading())
    yield _gauge("ekiben_controller_state_up", "1 while the state Redis answers", not desk.state_away)
    if (durable := desk.durability.durable) is not None:
        what = "1 while the state Redis keeps what it confirms"
        yield _gauge("ekiben_controller_state_durable", what, durable)
    failing = desk.failing()
    what = "1 while this controller's clock disagrees with the state Redis's"
    yield _gauge("ekiben_controller_clock_off", what, "clock" in failing)
    what = "1 while days of events that are too old are kept because the clock is in doubt"
    yield _gauge("ekiben_retention_refused", what, "retention" in failing)
    file = desk.file()
    for state in ("refused", "late"):
        what = f"1 while the experiments file is {state}: it is not applied"
        yield _gauge(f"ekiben_experiments_file_{state}", what, file is not None and file.state == state)
    yield _gauge("ekiben_router_workers", "Router workers whose beat is fresh", len(desk.beats))
    what = "Connections that the server ended, by reason"
    ended = CounterMetricFamily("ekiben_controller_connections_ended", what, labels=["reason"])
    yield _filled(ended, sorted(BoundedProtocol.ended.items()))


def _of_document(desk: Desk) -> Iterator[Metric]:
    stored, joined = desk.stored, joined_view(desk.stored)
    what = "Revision of the experiments that the controller knows"
    yield _gauge("ekiben_controller_revision", what, stored.revision if stored else 0)
    what = "Experiments that this release does not run: everyone gets live"
    yield _gauge("ekiben_experiments_not_run", what, len(stored.kept.not_run) if stored else 0)
    what = "When two histories of the experiments were last joined, 0 if never"
    yield _gauge("ekiben_experiments_joined_timestamp_seconds", what, joined["at"] if joined else 0)
    experiments = stored.document.experiments.items() if stored else ()
    yield _gauges(
        "ekiben_experiment_status",
        "1 for the status that an experiment is in",
        ["experiment", "status"],
        ((key, one, experiment.status is one) for key, experiment in experiments for one in Status),
    )
    yield _gauges(
        "ekiben_experiment_coverage_ratio",
        "Share of all users who take part",
        ["experiment"],
        ((key, experiment.coverage / 100) for key, experiment in experiments),
    )
    models = stored.document.models.items() if stored else ()
    yield _gauges(
        "ekiben_version_live",
        "1 for the version that serves outside experiments",
        ["model", "version"],
        ((name, version, version == model.live) for name, model in models for version in model.versions),
    )


def _of_recorder(recorder: Recorder) -> Iterator[Metric]:
    events = CounterMetricFamily("ekiben_events_recorded", "Events written to files", labels=["kind"])
    yield _filled(events, sorted(recorder.recorded.items()))
    what = "Stream entries that were no event block"
    yield CounterMetricFamily("ekiben_bad_blocks", what, recorder.bad_blocks)
    failing = recorder.failing is not None
    yield _gauge("ekiben_recorder_failing", "1 while events cannot be written", failing)
    if (lag_s := recorder.lag_s) is not None:
        yield _gauge(
            "ekiben_recorder_lag_seconds", "Age of the oldest event that is not in a file yet", lag_s
        )


def _of_reports(reports: Collection[Report]) -> Iterator[Metric]:
    yield _gauges(
        "ekiben_experiment_users",
        "Users of a variant in the experiment's phase",
        ["experiment", "variant"],
        ((report.experiment, each.variant, each.users) for report in reports for each in report.variants),
    )
    yield _gauges(
        "ekiben_experiment_srm",
        "1 where the split is not what was asked",
        ["experiment"],
        ((report.experiment, report.srm.mismatch) for report in reports if report.srm is not None),
    )
    yield _gauges(
        "ekiben_experiment_verdict",
        "1 for the verdict that stands",
        ["experiment", "decision"],
        ((each.experiment, one, each.verdict.decision is one) for each in reports for one in Decision),
    )
    yield _gauges(
        "ekiben_experiment_report_timestamp_seconds",
        "When the report was made",
        ["experiment"],
        ((report.experiment, report.at) for report in reports),
    )
    yield _gauges(
        "ekiben_guardrail_state",
        "1 for the state that a guardrail is in",
        ["experiment", "variant", "metric", "state"],
        (
            (report.experiment, treatment, metric.name, one, state is one)
            for report in reports
            for metric in report.guardrails
            for treatment, state in metric.states.items()
            for one in State
        ),
    )
    of = ["model", "version", "model_version", "experiment"]
    fits = [(labels, each) for report in reports for labels, each in _label_qualities(report)]
    what = "Share of labels that the scores got right"
    right = ((*labels, each.accuracy) for labels, each in fits if each.accuracy is not None)
    yield _gauges("ml_model_accuracy", what, of, right)
    areas = ((*labels, each.roc_auc) for labels, each in fits if each.roc_auc is not None)
    yield _gauges("ml_model_roc_auc", "ROC AUC from labels", of, areas)
    what = "Labels that these were computed from"
    yield _gauges("ml_model_labels", what, of, ((*labels, each.labels) for labels, each in fits))
    counts = [(report, report.outcomes.counted) for report in reports if report.outcomes is not None]
    yield _gauges(
        "ekiben_outcomes_counted",
        "Outcomes that a report counts",
        ["experiment"],
        ((report.experiment, counted) for report, counted in counts),
    )
    left_out = [(report.experiment, report.left_out_outcomes) for report, _ in counts]
    yield _gauges(
        "ekiben_outcomes_left_out",
        "Outcomes accepted since the phase began that do not count",
        ["experiment", "reason"],
        ((key, reason, found.get(reason, 0)) for key, found in left_out for reason in WORDS),
    )


def _label_qualities(report: Report) -> Iterator[tuple[tuple[str, str, str, str], LabelQuality]]:
    """How the first label metric's scores fit in each variant, with the labels that its samples have."""
    versions = {each.variant: each.version for each in report.variants}
    for each in next((metric.labels for metric in report.metrics if metric.labels), ()):
        model_version = each.model_versions[-1] if each.model_versions else ""
        yield (report.model, versions.get(each.variant, ""), model_version, report.experiment), each


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(name, what, float(value))


def _gauges(name: str, what: str, labels: list[str], samples: _Samples) -> Metric:
    return _filled(GaugeMetricFamily(name, what, labels=labels), samples)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, samples: _Samples) -> Metric:
    for *labels, value in samples:
        family.add_metric(labels, value)
    return family
