"""Reports by segment, from event files, against the same numbers computed with numpy."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ekiben.experiments.reports.metric import State
from ekiben.experiments.reports.report import Report
from ekiben.experiments.reports.segments import Segment, SegmentKind
from tests.control.analysis.events import DAY, HOUR, Log, metric, stored

VARIANTS = ("control", "treatment")


def said(**attributes: Any) -> str:
    """Attributes as routers write them."""
    return json.dumps(attributes, ensure_ascii=False, separators=(",", ":"))


def segments(report: Report, attribute: str = "country") -> dict[str, Segment]:
    (found,) = (each for each in report.breakdowns if each.attribute == attribute)
    return {each.name: each for each in found.segments}


def expose(
    log: Log, count: int, gain: float, variants: tuple[str, ...] = VARIANTS, **attributes: Any
) -> None:
    """So many users in each variant, with a profit around 10 that `gain` raises outside the control."""
    rng = np.random.default_rng(count)
    for place, variant in enumerate(variants):
        for number in range(count):
            user = f"{variant}-{count}-{number}-{said(**attributes)}"
            log.exposure(user, variant, attributes=said(**attributes))
            log.outcome(rng.normal(10, 2) + gain * (place > 0), user=user)


def test_each_segment_has_the_effect_of_its_users_and_the_whole_that_of_all(log: Log) -> None:
    expose(log, 150, 3.0, country="NL")
    expose(log, 300, -1.0, country="FR")
    found = segments(log.report(stored(metric(), segments=["country"])))
    assert list(found) == ["FR", "NL"]
    gains = {name: each.effects[0].effect.absolute for name, each in found.items()}
    assert gains == {"FR": pytest.approx(-1, abs=0.5), "NL": pytest.approx(3, abs=0.7)}
    assert [each.effects[0].users for each in found.values()] == [600, 300]
    assert found["NL"].users == {"control": 150, "treatment": 150}
    assert {name: each.effects[0].state for name, each in found.items()} == {
        "FR": State.WORSE,
        "NL": State.BETTER,
    }


def test_a_user_counts_with_what_the_first_request_said(log: Log) -> None:
    for number in range(10):
        user, variant = f"u{number}", VARIANTS[number % 2]
        log.exposure(user, variant, at=2 * HOUR, attributes=said(country="after"))
        log.exposure(user, variant, at=HOUR, attributes=said(country="NL") if number < 6 else None)
        log.exposure(user, variant, at=3 * HOUR, attributes=said(country="after"))
    found = segments(log.report(stored(metric(), segments=["country"])))
    assert {name: (sum(each.users.values()), each.kind) for name, each in found.items()} == {
        "NL": (6, SegmentKind.VALUE),
        "not sent": (4, SegmentKind.NOT_SENT),
    }


def test_the_20_most_frequent_values_are_segments_and_the_rest_is_one(log: Log) -> None:
    for value in range(25):
        for number in range(30 - value):
            log.exposure(
                f"{value}-{number}", VARIANTS[number % 2], attributes=said(country=value, plan="pro")
            )
    report = log.report(stored(metric(), segments=["country", "plan"]))
    found = segments(report)
    assert list(found) == [*map(str, range(20)), "other"]
    assert sum(found["other"].users.values()) == sum(30 - value for value in range(20, 25))
    assert list(segments(report, "plan")) == ["pro"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ('she said "NL", then {"country":"FR"}', 'she said "NL", then {"country":"FR"}'),
        ("Curaçao\\", "Curaçao\\"),
        (7.5, "7.5"),
        (True, "true"),
        (None, "not sent"),
        ("", "not sent"),
        ("null", "null"),
    ],
)
def test_a_value_is_read_as_it_was_sent(log: Log, value: Any, shown: str) -> None:
    log.exposure("u", attributes=said(**{'x,"country': "no", "note": ',"country":"no"', "country": value}))
    assert list(segments(log.report(stored(metric(), segments=["country"])))) == [shown]


def test_a_split_that_is_right_as_a_whole_and_wrong_within_segments_is_seen_there(log: Log) -> None:
    for country, counts in {"NL": (900, 500), "FR": (1500, 1900)}.items():
        for variant, count in zip(VARIANTS, counts, strict=True):
            for number in range(count):
                log.exposure(f"{country}-{variant}-{number}", variant, attributes=said(country=country))
    report = log.report(stored(metric(), segments=["country"]))
    assert report.srm is not None
    assert not report.srm.mismatch
    assert {name: each.srm and each.srm.mismatch for name, each in segments(report).items()} == {
        "NL": True,
        "FR": True,
    }


def test_three_variants_have_an_effect_each_in_each_segment(log: Log) -> None:
    expose(log, 120, 2.0, ("control", "one", "two"), country="NL")
    variants = {
        name: {"version": f"v{place}", "weight": weight}
        for place, (name, weight) in enumerate((("control", 34), ("one", 33), ("two", 33)), 1)
    }
    found = segments(log.report(stored(metric(), variants=variants, segments=["country"])))["NL"]
    assert [(each.variant, each.users) for each in found.effects] == [("one", 240), ("two", 240)]
    assert found.effects[1].effect.absolute == pytest.approx(2, abs=0.8)


def test_a_label_is_compared_within_each_segment(log: Log) -> None:
    rng, held = np.random.default_rng(1), {}
    for country in ("NL", "FR"):
        for variant in VARIANTS:
            truth = rng.integers(0, 2, 60)
            scores = np.round(rng.random(60) + 0.4 * truth * (country == "NL"), 2)
            held[country, variant] = roc_auc_score(truth, scores)
            for number, (label, score) in enumerate(zip(truth, scores, strict=True)):
                prediction = log.exposure(
                    f"{country}-{variant}-{number}",
                    variant,
                    score=float(score),
                    attributes=said(country=country),
                )
                log.outcome(label, prediction=prediction, name="repaid")
    found = segments(log.report(stored(metric("repaid", "label"), segments=["country"])))
    for country, segment in found.items():
        (each,) = segment.effects
        assert each.users == 120
        assert each.state is State.NO_DATA
        assert each.effect.absolute == pytest.approx(held[country, "treatment"] - held[country, "control"])


def test_a_user_who_has_not_matured_is_in_the_split_and_in_no_effect(log: Log) -> None:
    for number, at in enumerate((0.0, 3 * DAY)):
        log.exposure(f"u{number}", VARIANTS[number], at=at, attributes=said(country="NL"))
    found = segments(log.report(stored(metric(), segments=["country"]), now=3.5 * DAY))["NL"]
    assert found.users == {"control": 1, "treatment": 1}
    assert found.effects[0].users == 1
