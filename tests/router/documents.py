"""Experiments documents for the router's tests."""

from __future__ import annotations

from typing import Any

from ekiben.experiments.document import Document
from ekiben.experiments.parsing import parse_document

V1, V2, V3 = "http://v1:1", "http://v2:1", "http://v3:1"

EXPERIMENT = "credit-boosting"


def credit(
    endpoints: dict[str, list[str]] | None = None, experiment: dict[str, Any] | None = None, **model: Any
) -> dict[str, Any]:
    """One model `credit`, live v1, and a running experiment of v1 against v2, half of everyone each.

    `endpoints` replaces those of a version; `model` and `experiment` replace fields. Time-outs are so long
    that no test depends on them unless it names its own.
    """
    served = {"v1": [V1], "v2": [V2], "v3": [V3]} | (endpoints or {})
    return {
        "models": {
            "credit": {
                "live": "v1",
                "timeout_ms": 20_000,
                "versions": {name: {"endpoints": urls} for name, urls in served.items()},
            }
            | model
        },
        "experiments": {
            EXPERIMENT: {
                "model": "credit",
                "status": "running",
                "variants": {
                    "control": {"version": "v1", "weight": 50},
                    "treatment": {"version": "v2", "weight": 50},
                },
                "overrides": {"u-control": "control", "u-treatment": "treatment"},
            }
            | (experiment or {})
        },
    }


def credit_document(
    endpoints: dict[str, list[str]] | None = None, experiment: dict[str, Any] | None = None, **model: Any
) -> Document:
    """`credit`, parsed."""
    return parse_document(credit(endpoints, experiment, **model))
