"""The same expressions on another engine: PySpark on this machine gives DuckDB's numbers.

Starting Spark takes half a minute, so that only `make test-all` (EKIBEN_TEST_ALL=1) runs this; there it fails
without pyspark or Java.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ibis
import msgspec
import numpy as np
import pytest

from ekiben.control.analysis.analysing import analyse
from ekiben.control.analysis.shadow import shadow_reports
from ekiben.control.analysis.tables import Table
from tests.control.analysis.events import DAY, HOUR, KEY, START, Log, metric, stored

pytestmark = [
    pytest.mark.skipif(
        not os.environ.get("EKIBEN_TEST_ALL"), reason="starts Spark: make test-all, or EKIBEN_TEST_ALL=1"
    ),
    pytest.mark.filterwarnings("default"),  # what pyspark says of pandas, and Ibis of pyspark
]


class SparkTables:
    """Event files read by Spark."""

    def __init__(self, session: Any, folder: Path) -> None:
        self._session = session
        self._ibis = ibis.pyspark.connect(session)
        self._folder = folder
        self._count = 0

    def keep(self, expression: Table) -> Table:
        self._count += 1
        name = f"kept_{self._count}"
        self._frame(expression).localCheckpoint().createOrReplaceTempView(name)
        return self._ibis.table(name)

    def drop(self, kept: Table) -> None:
        self._session.catalog.dropTempView(kept.get_name())

    def rows(self, expression: Table) -> list[dict[str, Any]]:
        return [row.asDict() for row in self._frame(expression).collect()]

    def _frame(self, expression: Table) -> Any:
        return self._session.sql(str(ibis.to_sql(expression, dialect="pyspark")))

    def of(self, kind: str) -> Table:
        reader = self._session.read.option("recursiveFileLookup", "true")
        reader.parquet(str(self._folder / f"kind={kind}")).createOrReplaceTempView(kind)
        return self._ibis.table(kind)


@pytest.fixture(scope="module")
def session() -> Iterator[Any]:
    from pyspark.sql import SparkSession

    with warnings.catch_warnings():
        warnings.simplefilter("default")
        builder = SparkSession.builder.master("local[2]").appName("ekiben")
        for name, value in {
            "spark.ui.enabled": "false",
            "spark.sql.shuffle.partitions": "2",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.memory": "1g",
        }.items():
            builder = builder.config(name, value)
        session = builder.getOrCreate()
        yield session
        session.stop()


def write_everything(log: Log) -> None:
    """Every kind of user and of outcome that the expressions treat in a way of its own."""
    rng = np.random.default_rng(7)
    for user in range(400):
        variant = "treatment" if user % 2 else "control"
        for _ in range(rng.integers(1, 4)):
            result = str(rng.choice(["served", "fallback", "error"], p=[0.8, 0.1, 0.1]))
            at, score = float(rng.uniform(0, 3 * DAY)), round(float(rng.random()), 2)
            columns = {"scores": rng.dirichlet([2, 1, 1, 1][: rng.choice([3, 4], p=[0.95, 0.05])]).tolist()}
            columns["decision"] = [None, "sad", "plain", "glad"][rng.integers(4)]
            columns |= {"result": result, "score": score, "latency_ms": float(rng.uniform(0, 250))}
            prediction = log.exposure(f"u{user}", variant, at, **columns)
            log.outcome(float(rng.integers(0, 4)), at=at + HOUR, name="mood", prediction=prediction)
            label = float(rng.random() < score) if rng.random() < 0.9 else 0.5
            log.outcome(label, at=at + HOUR, name="good", prediction=prediction)
            log.outcome(float(rng.normal(20, 30)), at=at + float(rng.normal(6, 12)) * HOUR, user=f"u{user}")
            log.outcome(1, at=at + 30 * HOUR, name="orders", prediction=prediction, event_id=f"once-{user}")
            log.shadow(prediction, float(rng.random()), score, agreed=bool(rng.random() < 0.7))
            two = {"scores": rng.dirichlet([1, 1]).tolist(), "against_scores": rng.dirichlet([1, 1]).tolist()}
            log.shadow(f"several-{prediction}", None, None, against="v2", **two)
    log.exposure("u1", "control", 4 * DAY)
    log.exposure("qa", "control", assigned_by="override")
    log.outcome(1, user="qa")
    log.outcome(1, prediction="nobody's")
    log.write()


def numbers(report: Any) -> Any:
    """A report as plain values, every float rounded to what sums in another order may change."""

    def rounded(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: rounded(each) for key, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [rounded(each) for each in value]
        return float(f"{value:.9g}") if isinstance(value, float) else value

    return rounded(msgspec.to_builtins(report))


def test_spark_and_duckdb_give_the_same_report(log: Log, session: Any) -> None:
    write_everything(log)
    held = stored(
        metric(covariate="profit"),
        metric("bought", "proportion", outcome="orders", window_hours=48),
        metric("harm", outcome="orders", better="lower", guardrail={"max_worse": 0.2}),
        metric("per order", "ratio", outcome="profit", denominator="orders", window_hours=48),
        metric("good", "label", window_hours=72),
        metric("mood", "label", window_hours=72, classes=["sad", "plain", "glad"]),
        shadow={"v3": 100},
    )
    now = START + 6 * DAY
    spark = SparkTables(session, Path(log.url))
    with log.tables() as duck:
        expected, shadows = analyse(duck, KEY, held, now), shadow_reports(duck, held, now)
    assert all(metric.labels[0].roc_auc is not None for metric in expected.metrics[4:6])
    codes = {"", "not_binary", "no_class", "other_classes", "late", "repeated_id", "override"}
    assert {each.code for each in expected.left_out} > codes
    assert [each.of_several for each in shadows] == [False, True]
    assert numbers(analyse(spark, KEY, held, now)) == numbers(expected)
    assert numbers(shadow_reports(spark, held, now)) == numbers(shadows)
