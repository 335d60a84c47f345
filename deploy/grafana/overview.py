"""The dashboard of everything."""

from __future__ import annotations

from typing import Final

from deploy.grafana.panels import Board, panel
from deploy.grafana.promql import OR_ZERO, quantile, rate, share

_REQUESTS: Final = "ekiben_requests_total"
_VERSION: Final = "{{model}} {{version}}"

OVERVIEW: Final = Board(
    "ekiben-overview",
    "Ekiben: overview",
    "Traffic, errors, what the parts depend on, and the way of events to files.",
    {
        "Requests": [
            panel("Requests by what became of them", (rate(_REQUESTS, "result"), "{{result}}"), unit="reqps"),
            panel(
                "99 of 100 answered within",
                (quantile(0.99, "ekiben_request_seconds", by="model, version"), _VERSION),
                unit="s",
                about="By the version that the request was assigned. 500 ms is allowed.",
            ),
            panel(
                "Errors and fallbacks",
                (share(_REQUESTS + '{result="error"}', _REQUESTS, "model"), "errors, {{model}}"),
                (share(_REQUESTS + '{result="fallback"}', _REQUESTS, "model"), "fallbacks, {{model}}"),
                unit="percentunit",
                about="Share of all requests. 1 % is allowed of each.",
            ),
            panel("Requests by version", (rate(_REQUESTS, "model, version"), _VERSION), unit="reqps"),
            panel(
                "Requests in flight",
                ("sum by (model, version) (ekiben_requests_in_flight)", _VERSION),
                about="Those that wait for their version.",
            ),
            panel(
                "Problems by status",
                (rate("ekiben_problems_total", "status") + OR_ZERO, "{{status}}"),
                unit="reqps",
            ),
        ],
        "Cache": [
            panel(
                "Requests answered from the cache",
                (
                    rate('ekiben_cache_look_ups_total{result="hit"}', "tier")
                    + f" / scalar({rate(_REQUESTS)})",
                    "{{tier}}",
                ),
                unit="percentunit",
                about="By tier: the worker's own memory, or Redis.",
                width=12,
            ),
            panel(
                "What went wrong with the cache",
                (rate("ekiben_cache_failures_total", "what") + OR_ZERO, "{{what}}"),
                unit="cps",
                about="Answers were right all the same.",
                width=12,
            ),
        ],
        "Processes": [
            panel(
                "Alerts",
                ('count by (alertname) (ALERTS{alertstate="firing"})' + OR_ZERO, "{{alertname}}"),
                kind="stat",
            ),
            panel("Reached by Prometheus", ("sum by (job) (up)", "{{job}}"), kind="stat"),
            panel(
                "Redis reached by routers and controllers",
                ("min by (redis) (ekiben_redis_up)", "routers, {{redis}}"),
                ("min(ekiben_controller_state_up)", "controllers, state"),
                kind="stat",
            ),
            panel(
                "Controllers that lead, router workers",
                ("sum(ekiben_controller_leading)", "lead"),
                ("max(ekiben_router_workers)", "workers"),
                kind="stat",
            ),
            panel(
                "Age of the snapshots",
                ("time() - ekiben_snapshot_confirmed_timestamp_seconds", "{{instance}} {{pid}}"),
                unit="s",
                about="Since a worker last heard that its experiments are current.",
            ),
            panel(
                "Revision",
                ("max by (instance) (ekiben_snapshot_revision)", "newest of {{instance}}"),
                ("min by (instance) (ekiben_snapshot_revision)", "oldest of {{instance}}"),
                ("max(ekiben_controller_revision)", "controllers"),
            ),
        ],
        "Events": [
            panel(
                "Sent by routers, recorded by the controller",
                (rate("ekiben_events_sent_total"), "exposures and shadow events sent"),
                (rate("ekiben_events_recorded_total", "kind"), "{{kind}} recorded"),
                unit="cps",
            ),
            panel(
                "Lost",
                (rate("ekiben_events_dropped_total"), "events dropped"),
                (rate("ekiben_event_blocks_trimmed_total"), "blocks trimmed"),
                unit="cps",
            ),
            panel(
                "Waiting",
                ("sum(ekiben_events_waiting)", "events for Redis"),
                ("sum(ekiben_outcomes_waiting)", "outcomes for Redis's disk"),
            ),
            panel(
                "Recorder's lag",
                ("max(ekiben_recorder_lag_seconds)", "lag"),
                unit="s",
                about="Everything older than this is in a file.",
            ),
            panel(
                "Outcomes",
                (rate("ekiben_outcomes_accepted_total"), "accepted"),
                (rate("ekiben_outcome_refusals_total", "reason") + OR_ZERO, "requests refused {{reason}}"),
                unit="cps",
            ),
            panel(
                "99 of 100 requests' outcomes on disk within",
                (quantile(0.99, "ekiben_outcome_seconds"), "p99"),
                unit="s",
            ),
        ],
    },
    {},
)
