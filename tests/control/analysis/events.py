"""Events and documents for the analysis' tests, written as files of the recorder's schema.

Times are seconds after `START`; a user's hash is the user's own name.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ekiben.control.analysis.analysing import analyse
from ekiben.control.analysis.tables import DuckDBTables
from ekiben.control.recording.files import EventFiles
from ekiben.control.recording.schemas import SCHEMAS
from ekiben.experiments.parsing import parse_document
from ekiben.experiments.reports.metric import MetricReport, VariantMetric
from ekiben.experiments.reports.outcomes import LeftOut
from ekiben.experiments.reports.report import Report
from ekiben.state.documents.document import Stored

START = 1_800_000_000.0
HOUR = 3600.0
DAY = 24 * HOUR
KEY = "credit-boosting"


def metric(name: str = "profit", kind: str = "mean", **fields: Any) -> dict[str, Any]:
    """A metric of the outcome that is called as it is, with a window of one day."""
    return {"name": name, "outcome": name, "kind": kind, "window_hours": 24} | fields


def stored(*metrics: Mapping[str, Any], shadow: Mapping[str, float] | None = None, **fields: Any) -> Stored:
    """A document with one experiment, v1 against v2, and these metrics."""
    document = {
        "models": {
            "credit": {
                "live": "v1",
                "versions": {name: {"endpoints": [f"http://{name}:1"]} for name in ("v1", "v2", "v3")},
                "shadow": dict(shadow or {}),
            }
        },
        "experiments": {
            KEY: {
                "model": "credit",
                "status": "running",
                "variants": {
                    "control": {"version": "v1", "weight": 50},
                    "treatment": {"version": "v2", "weight": 50},
                },
                "metrics": list(metrics),
            }
            | fields
        },
    }
    return Stored("here", 3, "", parse_document(document))


class Log:
    """Gathers events and writes them; `report` analyses what is written."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._held: dict[str, list[dict[str, Any]]] = {}
        self._made: dict[str, int] = {}
        self._users: set[str] = set()
        self._ids = itertools.count()
        self._files = itertools.count(1)

    def exposure(
        self,
        user: str,
        variant: str | None = "control",
        at: float = 0.0,
        kind: str = "exposure",
        **columns: Any,
    ) -> str:
        """What was served to a user, or a captured prediction; returns its id."""
        prediction = f"p{next(self._ids)}"
        self._users.add(user)
        version = {None: "v1", "control": "v1", "treatment": "v2"}.get(variant, "v3")
        row = {
            "event_id": prediction,
            "at": START + at,
            "prediction_id": prediction,
            "user_hash": user,
            "model": "credit",
            "version": version,
            "model_version": f"credit_{version}:1",
            "experiment": KEY,
            "variant": variant,
            "phase": 1,
            "revision": 3,
            "result": "served",
            "assigned_by": "hash",
            "cached": False,
            "score": 0.5,
            "decision": "yes",
            "latency_ms": 10.0,
            "status": 200,
        }
        self._add(kind, row | columns)
        return str((row | columns)["prediction_id"])

    def outcome(
        self,
        value: float,
        at: float = 1.0,
        *,
        user: str | None = None,
        prediction: str | None = None,
        name: str = "profit",
        **columns: Any,
    ) -> None:
        """What happened to a user or after a prediction."""
        row = {
            "event_id": f"o{next(self._ids)}",
            "at": START + at,
            "prediction_id": prediction,
            "user_hash": user,
            "name": name,
            "value": float(value),
        }
        self._add("outcome", row | columns)

    def shadow(self, prediction: str, score: float | None, served: float | None, **columns: Any) -> None:
        """A copy to v3 beside v1's answer."""
        row = {
            "event_id": f"{prediction}.v3",
            "at": START,
            "prediction_id": prediction,
            "model": "credit",
            "version": "v3",
            "model_version": "credit_v3:1",
            "cached": False,
            "score": score,
            "latency_ms": 20.0,
            "agreed": True,
            "against": "v1",
            "against_score": served,
            "against_latency_ms": 10.0,
        }
        self._add("shadow", row | columns)

    def write(self, first: int | None = None, last: int | None = None) -> None:
        """Write what is held, a file a kind, as stream entries `first` to `last`."""
        number = next(self._files)
        files = EventFiles(self.url)
        for kind, rows in self._held.items():
            path = f"{files.root}/kind={kind}/day=2027-01-15"
            Path(path).mkdir(parents=True, exist_ok=True)
            begin, end = (f"{n:014d}.000000" for n in (first or 1000 * number, last or 1000 * number + 1))
            pq.write_table(as_table(kind, rows), f"{path}/2-{begin}-{end}.parquet", compression="zstd")
        self._held = {}

    def held(self, kind: str) -> int:
        """How many events of a kind have been made."""
        return self._made.get(kind, 0)

    def users(self) -> list[str]:
        """Everybody who was exposed."""
        return sorted(self._users)

    def tables(self) -> DuckDBTables:
        """The tables of what is written."""
        self.write()
        return DuckDBTables(EventFiles(self.url))

    def report(self, held: Stored, now: float = 30 * DAY) -> Report:
        """The report at a time, on what is written."""
        with self.tables() as tables:
            return analyse(tables, KEY, held, START + now)

    def _add(self, kind: str, row: dict[str, Any]) -> None:
        received = {"received_at": START + 10 * DAY + next(self._ids) * 1e-3}
        self._held.setdefault(kind, []).append(received | row)
        self._made[kind] = self._made.get(kind, 0) + 1


def as_table(kind: str, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Rows in the recorder's schema; a column that a row lacks is null."""
    schema = SCHEMAS[kind]
    return pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema)


def metric_of(report: Report, name: str = "profit") -> MetricReport:
    """One metric of a report."""
    return next(each for each in report.metrics if each.name == name)


def in_variant(report: Report, name: str = "profit", variant: str = "control") -> VariantMetric:
    """One metric in one variant."""
    return next(each for each in metric_of(report, name).variants if each.variant == variant)


def left_out(report: Report, what: str = "users") -> dict[str, int]:
    """Why and how many were left out: users in words, outcomes by the reason's code."""
    assert all(type(each) is LeftOut for each in report.left_out)
    chosen = [each for each in report.left_out if each.what == what]
    return {each.code if what == "outcomes" else each.reason: each.count for each in chosen}
