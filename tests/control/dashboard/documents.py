"""The experiments that the dashboard is looked at with, and how they came about."""

from __future__ import annotations

from typing import Any

from ekiben.experiments.changes import edits
from ekiben.experiments.changes.verbs import act
from ekiben.experiments.document import Document
from ekiben.experiments.parsing import parse_document
from ekiben.state.documents.document import DocumentStore, Stored

NOTE = "Applicants are drawn again and again from held-out loan applications: these are resampled demo data."


def first_document() -> Document:
    """Everything as a draft."""
    endpoints = [f"http://127.0.0.1:{port}" for port in range(3001, 3011)]
    profit = {"name": "profit", "outcome": "profit", "kind": "mean", "window_hours": 1}
    repaid = {"name": "repaid", "outcome": "bad", "kind": "label", "better": "higher", "window_hours": 1}
    complaints: dict[str, Any] = {
        "name": "complaints",
        "outcome": "complaint",
        "kind": "proportion",
        "better": "lower",
        "guardrail": {"max_worse": 0.25},
    }
    kept = {"name": "kept", "outcome": "kept", "kind": "proportion"}

    caught = {"name": "caught", "outcome": "caught", "kind": "mean"}
    sort = {"name": "sort", "outcome": "sort", "kind": "label", "classes": ["none", "card", "account"]}

    def experiment(model: str, metrics: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        variants = {"control": {"version": "v1", "weight": 50}, "treatment": {"version": "v2", "weight": 50}}
        return {"model": model, "status": "draft", "variants": variants, "metrics": metrics} | more

    return parse_document(
        {
            "models": {
                "credit": {
                    "live": "v1",
                    "versions": {f"v{i}": {"endpoints": [endpoints[i - 1]]} for i in (1, 2, 3)},
                    "shadow": {"v3": 100},
                },
                "churn": {
                    "live": "v1",
                    "versions": {f"v{i}": {"endpoints": [endpoints[i + 2]]} for i in (1, 2, 3)},
                },
                "fraud": {
                    "live": "v1",
                    "versions": {f"v{i}": {"endpoints": [endpoints[i + 5]]} for i in (1, 2)},
                },
                "pricing": {
                    "live": "v1",
                    "versions": {f"v{i}": {"endpoints": [endpoints[i + 7]]} for i in (1, 2)},
                },
            },
            "experiments": {
                "credit-boosting": experiment(
                    "credit",
                    [profit, repaid, complaints],
                    min_days=0.02,
                    ramp={"steps": [2, 10, 50, 100], "every": "5m", "min_users_per_step": 500},
                ),
                "pricing-floor": experiment("pricing", [profit, complaints]),
                "churn-offers": experiment(
                    "churn",
                    [kept, {"name": "left", "outcome": "left", "kind": "label"}],
                    coverage=40,
                    variants={
                        "control": {"version": "v1", "weight": 34},
                        "gentle": {"version": "v2", "weight": 33},
                        "bold": {"version": "v3", "weight": 33},
                    },
                ),
                "fraud-graph": experiment("fraud", [caught, sort]),
            },
        }
    )


async def grow(store: DocumentStore) -> Stored:
    """Change the document step by step, as people and a ramp did."""
    document = first_document()
    stored = await store.change(None, document, who="ekiben", why="applied experiments.yaml")

    async def step(document: Document, who: str, why: str) -> None:
        nonlocal stored
        stored = await store.change(stored, document, who=who, why=why)

    await step(act("start", stored.document, "credit-boosting"), "mara", "the shadow report looks right")
    await step(act("start", stored.document, "churn-offers"), "tom", "agreed with marketing on Monday")
    for coverage, users in ((10.0, 514), (50.0, 2_130), (100.0, 5_871)):
        why = f"every guardrail holds with {users:,} users in the smaller variant"
        await step(edits.set_coverage(stored.document, "credit-boosting", coverage), "ramp", why)
    await step(act("start", stored.document, "fraud-graph"), "mara", "first look at the graph features")
    await step(act("pause", stored.document, "fraud-graph"), "tom", "v2 was redeployed by mistake")
    return stored
