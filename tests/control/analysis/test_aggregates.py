"""A report of what is kept is that of all events (`Recorded.look` compares), whatever has happened."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ekiben.control.recording.forgetting import find_theirs
from ekiben.experiments.reports.report import Report
from tests.control.analysis.events import DAY, HOUR, KEY, in_variant, left_out, metric, stored
from tests.control.analysis.recorded import Leads, Recorded, rebuilt

HELD = stored(metric(covariate="profit"), metric("good", "label", window_hours=72))


@pytest.fixture
def recorded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Recorded:
    caplog.set_level(logging.INFO, "ekiben.control.analysis")
    return Recorded(tmp_path)


def begin(log: Recorded) -> str:
    """Ten users, an outcome each; returns the first prediction."""
    first = ""
    for number in range(10):
        variant, score = "treatment" if number % 2 else "control", (number * 3 % 10) / 10
        prediction = log.exposure(f"u{number}", variant, at=number, score=score)
        first = first or prediction
        log.outcome(number, at=number + HOUR, prediction=prediction)
        log.outcome(number % 3 == 0, at=number + HOUR, prediction=prediction, name="good")
    log.received = HOUR
    return first


def counted(report: Report) -> int:
    assert report.outcomes is not None
    return report.outcomes.counted


def test_a_user_matures_without_an_event(recorded: Recorded, caplog: pytest.LogCaptureFixture) -> None:
    begin(recorded)
    assert in_variant(recorded.look(HELD, DAY - 1)).users == 0
    assert in_variant(recorded.look(HELD, DAY + 2.5)).users == 2
    assert in_variant(recorded.look(HELD, 30 * DAY)).users == 5
    assert rebuilt(caplog.records) == []


def test_an_earlier_first_exposure_comes_late(recorded: Recorded, caplog: pytest.LogCaptureFixture) -> None:
    begin(recorded)
    recorded.exposure("u20", at=9 * HOUR)
    recorded.outcome(7, at=8 * HOUR, user="u20")
    recorded.outcome(5, at=DAY + 8.5 * HOUR, user="u20")
    assert in_variant(recorded.look(HELD)).mean == (0 + 2 + 4 + 6 + 8 + 5) / 6
    recorded.exposure("u20", at=8 * HOUR)
    assert in_variant(recorded.look(HELD)).mean == (0 + 2 + 4 + 6 + 8 + 7) / 6
    recorded.exposure("u20", "treatment", at=7 * HOUR)
    assert in_variant(recorded.look(HELD)).users == 5
    assert rebuilt(caplog.records) == []
    recorded.exposure("u21", at=-1)  # the phase began earlier than was known
    recorded.look(HELD)


def test_an_id_comes_again_months_later(recorded: Recorded, caplog: pytest.LogCaptureFixture) -> None:
    begin(recorded)
    recorded.outcome(3, user="u0", event_id="mine")
    recorded.look(HELD)
    recorded.received = 60 * DAY
    recorded.outcome(100, user="u0", event_id="mine")
    recorded.outcome(100, user="u2", event_id="mine")
    report = recorded.look(HELD, 90 * DAY)
    assert in_variant(report).mean == (0 + 2 + 4 + 6 + 8 + 3) / 5
    assert left_out(report, "outcomes")["repeated_id"] == 2
    assert rebuilt(caplog.records) == []


def test_a_user_is_forgotten(recorded: Recorded, caplog: pytest.LogCaptureFixture) -> None:
    begin(recorded)
    recorded.look(HELD)
    kept = recorded.folder / f"{KEY}.duckdb"
    before = kept.stat().st_ino, kept.stat().st_ctime_ns
    find_theirs(recorded.files, "u4", Leads()).remove(recorded.files, Leads())
    assert in_variant(recorded.look(HELD)).users == 4
    assert len(rebuilt(caplog.records)) == 1
    assert (kept.stat().st_ino, kept.stat().st_ctime_ns) != before
    recorded.analyses.let_go()
    assert list(recorded.folder.iterdir()) == []


def test_files_are_merged(recorded: Recorded, caplog: pytest.LogCaptureFixture) -> None:
    begin(recorded)
    recorded.look(HELD)
    for number in range(4):
        recorded.exposure(f"u{number + 4}", at=2 * DAY)
        recorded.outcome(number, user=f"u{number}")
        recorded.look(HELD) if number != 2 else recorded.write()  # one is merged before it was taken in
    for kind in ("exposure", "outcome"):
        recorded.merge(kind, 1, 3)
        recorded.merge(kind)
    recorded.exposure("u30", at=3)
    assert recorded.look(HELD).variants[0].requests == 10
    assert rebuilt(caplog.records) == []


def test_a_metric_a_window_or_a_variant_is_edited(
    recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    begin(recorded)
    recorded.look(HELD)
    assert in_variant(recorded.look(stored(metric(window_hours=1)))).mean == 0
    assert in_variant(recorded.look(stored(metric("good", "proportion")), now=DAY), "good").users == 1
    assert len(rebuilt(caplog.records)) == 2
    recorded.look(stored(metric("good", "proportion"), coverage=50, alpha=0.01))
    assert len(rebuilt(caplog.records)) == 2


def test_a_label_comes_for_an_old_prediction(recorded: Recorded, caplog: pytest.LogCaptureFixture) -> None:
    begin(recorded)
    recorded.look(HELD)
    for number in range(3):
        recorded.exposure("u1", "treatment", at=2 * DAY, prediction_id=f"z{number}")
        recorded.write()
    old = recorded.exposure("u1", "treatment", at=HOUR)
    recorded.outcome(1, at=2 * HOUR, prediction="early", name="good")  # before its exposure is known
    assert counted(recorded.look(HELD)) == 20
    recorded.outcome(1, at=2 * HOUR, prediction=old, name="good")
    recorded.exposure("u1", "treatment", at=HOUR, prediction_id="early")
    assert counted(recorded.look(HELD)) == 22
    assert rebuilt(caplog.records) == []


def test_days_are_removed(recorded: Recorded, caplog: pytest.LogCaptureFixture) -> None:
    recorded.received = -2 * DAY
    recorded.exposure("u50", at=-2 * DAY, experiment="another")
    recorded.outcome(1, user="u60", at=-2 * DAY, name="unused")
    recorded.write()
    recorded.received = 0
    begin(recorded)
    recorded.outcome(1, user="u50")
    assert left_out(recorded.look(HELD), "outcomes")["other_experiment"] == 1
    for kind in ("exposure", "outcome"):
        recorded.files.remove_day(kind, recorded.files.list(kind)[0].day)
    report = recorded.look(HELD)
    assert left_out(report, "outcomes")["unknown_user"] == 1
    assert rebuilt(caplog.records) == []
    recorded.received = 2 * DAY
    recorded.exposure("u0", at=2 * DAY)
    recorded.outcome(1, user="u1", at=2 * DAY)
    recorded.look(HELD)
    recorded.files.remove_day("exposure", recorded.files.list("exposure")[0].day)
    assert recorded.look(HELD).variants[0].users == 1
    assert rebuilt(caplog.records) == ["exposures of the phase are gone"]


def test_a_leader_has_no_disk_or_a_broken_one(recorded: Recorded) -> None:
    begin(recorded)
    recorded.look(HELD)
    shutil.rmtree(recorded.folder)
    recorded.outcome(1, user="u1")
    recorded.look(HELD)
    (recorded.folder / f"{KEY}.duckdb").write_bytes(b"no database at all" * 1000)
    recorded.look(HELD)
    assert in_variant(recorded.look(HELD)).users == 5


def test_whatever_comes_in_whatever_order(recorded: Recorded) -> None:
    rng = np.random.default_rng(12)
    predictions = ["unknown", "early"]
    held = stored(
        metric(covariate="profit"),
        metric("bought", "proportion", outcome="orders", window_hours=2),
        metric("per order", "ratio", outcome="profit", denominator="orders", window_hours=30),
        metric("good", "label", window_hours=30),
        segments=["country"],
    )
    for look in range(6):
        recorded.received = look * HOUR
        for _ in range(rng.integers(40)):
            user, at = rng.integers(25), float(rng.uniform(0, 2 * DAY))
            variant = "treatment" if (user + (rng.random() < 0.03)) % 2 else "control"
            more: list[dict[str, Any]] = [
                {},
                {"experiment": "another"},
                {"assigned_by": "override"},
                {"phase": 2},
            ]
            columns = more[rng.choice(4, p=[0.8, 0.1, 0.05, 0.05])] | {"score": float(rng.random())}
            columns["result"] = str(rng.choice(["served", "fallback", "error"], p=[0.8, 0.1, 0.1]))
            columns["attributes"] = str(rng.choice(['{"country":"A"}', '{"country":"B"}', "{}"]))
            predictions.append(recorded.exposure(f"u{user}", variant, at, **columns))
        for number in range(rng.integers(60)):
            name = str(rng.choice(["profit", "orders", "good", "other"]))
            named = {"user": f"u{rng.integers(30)}"} if rng.random() < 0.3 else {}
            named = named or {"prediction": str(rng.choice(predictions))}
            again = {"event_id": f"again{rng.integers(9)}"} if rng.random() < 0.1 else {}
            at, value = float(rng.uniform(-DAY, 4 * DAY)), int(rng.integers(2))
            recorded.outcome(value, at=at, name=name, **named, **again)
            if number % 20 == 19:
                recorded.write()
        recorded.write()
        for kind in ("exposure", "outcome"):
            if len(recorded.files.list(kind)) > 2 and rng.random() < 0.6:
                first = int(rng.integers(len(recorded.files.list(kind)) - 1))
                recorded.merge(kind, first, first + 2)
        recorded.look(held, float(rng.uniform(0, 5 * DAY)))
