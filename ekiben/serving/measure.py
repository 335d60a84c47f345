"""What a service counts beside BentoML's own metrics, in the same `/metrics`."""

from __future__ import annotations

import atexit
import os
import shutil
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from bentoml._internal.configuration.containers import BentoMLContainer

from ekiben.serving.card import StoredCard

_SECONDS: Final = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.25, 1.0)

# What an accuracy computed from labels in production compares with: see `ekiben.publishing.metrics`.
_TRAINING: Final = {
    "accuracy_at_half": ("ml_model_training_accuracy", "Accuracy at 0.5 on held-out data"),
    "auc": ("ml_model_training_roc_auc", "ROC AUC on held-out data"),
}
_INFO: Final = ("ml_model_info", "1 for the model version that is served")


@lru_cache(maxsize=1)
class _Metrics:
    """The metrics of this process."""

    def __init__(self) -> None:
        # Imported when the first service is opened: a BentoML worker names the directory that its processes
        # share only after it has imported the service's module, and prometheus_client looks for it once.
        import prometheus_client as prometheus

        of_version = ["model_version"]
        self.predictions = prometheus.Counter(
            "ml_predictions", "Predictions answered", [*of_version, "prediction"]
        )
        self.latency = prometheus.Histogram(
            "ml_prediction_latency_seconds",
            "Time of one model call, from checked rows to answers; a call serves a whole batch",
            of_version,
            buckets=_SECONDS,
        )
        self.failures = prometheus.Counter(
            "ml_prediction_failures", "Valid rows that the model had no answer for", of_version
        )
        self.gauges = {
            key: prometheus.Gauge(name, what, ["model", "version", *of_version], multiprocess_mode="livemax")
            for key, (name, what) in {"": _INFO, **_TRAINING}.items()
        }


def show_training(model_version: str, card: StoredCard) -> None:
    """Show which version is served and what it reached on held-out data, as far as that was measured."""
    shown = {"": 1.0, **card.metrics}
    for key, gauge in _Metrics().gauges.items():
        if key in shown:
            gauge.labels(card.name, card.version, model_version).set(shown[key])


def use_own_directory(service: str) -> None:
    """Keep the metrics of this process and its workers to themselves; called when the module is imported.

    BentoML has one directory for all services of a BENTOML_HOME, empties it whenever one of them starts, and
    shows in each `/metrics` what all of them wrote there.
    """
    name = f"{service}-{os.getpid()}"
    path = Path(BentoMLContainer.bentoml_home.get()) / "ekiben_metrics" / name
    BentoMLContainer.prometheus_multiproc_dir.set(str(path))
    atexit.register(shutil.rmtree, path, ignore_errors=True)


class PrometheusMeasure:
    """The counters of one model version. `labels` are all values that the label `prediction` takes."""

    def __init__(self, model_version: str, labels: Iterable[str]) -> None:
        metrics = _Metrics()
        self._predictions = {label: metrics.predictions.labels(model_version, label) for label in labels}
        self._latency = metrics.latency.labels(model_version)
        self._failures = metrics.failures.labels(model_version)

    def record(self, labels: Counter[Any], seconds: float) -> None:
        """Count one model call of `seconds` that answered with these labels."""
        for label, count in labels.items():
            self._predictions[label].inc(count)
        self._latency.observe(seconds)

    def failed(self, rows: int) -> None:
        """Count valid rows that the model had no answer for."""
        self._failures.inc(rows)
