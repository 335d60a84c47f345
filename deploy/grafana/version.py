"""The dashboard of one version."""

from __future__ import annotations

from typing import Final

from deploy.grafana.panels import Board, panel
from deploy.grafana.promql import OR_ZERO, RATE, mean, quantile, rate, share

_V: Final = '{model="$model",version="$version"}'
# A service's own counters know only the model version: this keeps those of this version's services.
_SERVED: Final = f" and on (model_version) ml_model_info{_V}"
_COMPARED: Final = "ekiben_shadow_comparisons_total"


def _quantiles(metric: str) -> list[tuple[str, str]]:
    return [(quantile(q, metric, _V), f"p{q * 100:.0f}") for q in (0.5, 0.95, 0.99)]


VERSION: Final = Board(
    "ekiben-version",
    "Ekiben: version",
    "One version of a model: its traffic, where its time goes, its endpoints, its cache, how good it is.",
    {
        "In the router": [
            panel(
                "Requests by what became of them",
                (rate(f"ekiben_requests_total{_V}", "result"), "{{result}}"),
                unit="reqps",
            ),
            panel("Time to the answer", *_quantiles("ekiben_request_seconds"), unit="s"),
            panel("Time in the queue", *_quantiles("ekiben_queue_seconds"), unit="s"),
            panel("Time of a bulk call", *_quantiles("ekiben_call_seconds"), unit="s"),
            panel("Rows of a bulk call", (mean("ekiben_batch_rows", _V), "mean")),
            panel(
                "In flight",
                (f"sum(ekiben_requests_in_flight{_V})", "requests"),
                (f"sum(ekiben_calls_in_flight{_V})", "bulk calls"),
            ),
            panel(
                "Endpoints by breaker",
                (f"sum by (breaker) (ekiben_endpoints{_V})", "{{breaker}}"),
                (f"sum(ekiben_endpoints_ready{_V})", "ready"),
                about="Counted by each router worker.",
            ),
            panel(
                "Look-ups of answers",
                (rate(f"ekiben_cache_look_ups_total{_V}", "tier, result"), "{{result}} {{tier}}"),
                unit="cps",
            ),
            panel("Live", (f"max(ekiben_version_live{_V})", "live"), kind="stat"),
        ],
        "As a shadow": [
            panel(
                "Answers that differ",
                (
                    share(_COMPARED + _V.replace("}", ',agree="false"}'), _COMPARED + _V, "against")
                    + OR_ZERO,
                    "from {{against}}",
                ),
                unit="percentunit",
            ),
            panel(
                "Mean difference of the scores",
                (mean("ekiben_shadow_score_difference", _V, "against") + OR_ZERO, "from {{against}}"),
            ),
            panel(
                "Copies without a comparison",
                (rate(f"ekiben_shadow_dropped_total{_V}") + OR_ZERO, "no room"),
                (rate(f"ekiben_shadow_failed_total{_V}") + OR_ZERO, "no answer"),
                unit="cps",
            ),
        ],
        "In the service": [
            panel(
                "Predictions by decision",
                (f"sum by (prediction) (rate(ml_predictions_total[{RATE}]){_SERVED})", "{{prediction}}"),
                unit="cps",
            ),
            panel(
                "Time of a model call",
                (quantile(0.99, "ml_prediction_latency_seconds", only=_SERVED), "p99"),
                unit="s",
            ),
            panel(
                "What runs",
                (f"count by (model_version) (ml_model_info{_V})", "{{model_version}}"),
                kind="stat",
            ),
            panel(
                "Accuracy",
                (f"max by (experiment, model_version) (ml_model_accuracy{_V})", "{{experiment}}"),
                (f"max(ml_model_training_accuracy{_V})", "on held-out data"),
                unit="percentunit",
                about="A score of 0.5 and above counts as positive. Of classes the most probable counts.",
                width=12,
            ),
            panel(
                "ROC AUC",
                (f"max by (experiment, model_version) (ml_model_roc_auc{_V})", "{{experiment}}"),
                (f"max(ml_model_training_roc_auc{_V})", "on held-out data"),
                width=12,
            ),
        ],
    },
    {
        "model": "label_values(ekiben_requests_total, model)",
        "version": 'label_values(ekiben_requests_total{model="$model"}, version)',
    },
)
