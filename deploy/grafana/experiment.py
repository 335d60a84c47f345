"""The dashboard of one experiment."""

from __future__ import annotations

from typing import Final

from deploy.grafana.panels import Board, panel
from deploy.grafana.promql import OR_ZERO

_E: Final = '{experiment="$experiment"}'
_USERS: Final = f"max by (variant) (ekiben_experiment_users{_E})"

EXPERIMENT: Final = Board(
    "ekiben-experiment",
    "Ekiben: experiment",
    "One experiment's health. Its effects, with their intervals, are on the controller's own dashboard.",
    {
        "Where it stands": [
            panel(
                "Status", (f"max by (status) (ekiben_experiment_status{_E}) == 1", "{{status}}"), kind="stat"
            ),
            panel(
                "Verdict",
                (f"max by (decision) (ekiben_experiment_verdict{_E}) == 1", "{{decision}}"),
                kind="stat",
            ),
            panel(
                "Coverage",
                (f"max(ekiben_experiment_coverage_ratio{_E})", "share of all users"),
                unit="percentunit",
            ),
        ],
        "Users": [
            panel("Users", (_USERS, "{{variant}}")),
            panel("Share of users", (f"{_USERS} / scalar(sum({_USERS}))", "{{variant}}"), unit="percentunit"),
            panel(
                "Split is not what was asked",
                (f"max(ekiben_experiment_srm{_E}){OR_ZERO}", "mismatch"),
                kind="stat",
                about="1: no verdict is given.",
            ),
        ],
        "Guardrails and labels": [
            panel(
                "Guardrails",
                (
                    f"max by (variant, metric, state) (ekiben_guardrail_state{_E}) == 1",
                    "{{metric}} of {{variant}}: {{state}}",
                ),
                kind="stat",
                width=12,
            ),
            panel(
                "Age of the report",
                (f"time() - max(ekiben_experiment_report_timestamp_seconds{_E})", "age"),
                unit="s",
                width=12,
            ),
            panel(
                "Accuracy on labels",
                (f"max by (version) (ml_model_accuracy{_E})", "{{version}}"),
                unit="percentunit",
                about="A score of 0.5 and above counts as positive. Of classes the most probable counts.",
            ),
            panel("ROC AUC on labels", (f"max by (version) (ml_model_roc_auc{_E})", "{{version}}")),
            panel("Labels", (f"max by (version) (ml_model_labels{_E})", "{{version}}")),
        ],
    },
    {"experiment": "label_values(ekiben_experiment_status, experiment)"},
)
