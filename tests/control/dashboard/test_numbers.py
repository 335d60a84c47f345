"""The pages hold the numbers of the API."""

from __future__ import annotations

import re

import orjson
import pytest
from playwright.sync_api import Page

from ekiben.control.dashboard import formatting as f
from ekiben.control.dashboard import words
from tests.control.dashboard.documents import NOTE
from tests.control.dashboard.running import Running

KEYS = ("credit-boosting", "churn-offers", "fraud-graph")


def text_of(page: Page, place: str = "main") -> str:
    """What a reader sees there, with every white space a single blank, open details included."""
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    return re.sub(r"\s+", " ", page.inner_text(place))


def plain(text: str) -> str:
    return re.sub(r"\s+", " ", text)


@pytest.mark.parametrize("key", KEYS)
def test_an_experiment_s_page_has_every_effect_and_interval_of_the_report(
    page: Page, site: Running, key: str
) -> None:
    page.goto(f"{site.url}/experiments/{key}")
    seen, report = text_of(page), site.report(key)
    assert plain(report.verdict.why[1:]) in seen  # the page begins it with a capital
    for metric in report.metrics:
        for effect in metric.effects.values():
            assert plain(f.change(metric.kind, effect.absolute, effect.interval)) in seen
            assert plain(f.change_interval(metric.kind, effect.interval, effect.absolute)) in seen
        for state in metric.states.values():
            assert words.STATES[state][0] in seen


def test_an_experiment_s_page_has_the_split_the_srm_test_and_who_was_left_out(
    page: Page, site: Running
) -> None:
    page.goto(f"{site.url}/experiments/credit-boosting")
    report = site.report("credit-boosting")
    split = text_of(page, "[data-fragment=split]")
    for variant in report.variants:
        assert f"{variant.variant} {variant.version} {f.count(variant.users)}" in split
        assert plain(f.percent(variant.share_seen, 2)) in split
    assert report.srm is not None
    assert f.p_value(report.srm.p_value) in split
    left_out = text_of(page, "[data-fragment=left_out]")
    for each in report.left_out:
        assert f"{each.reason} {f.count(each.count)} {each.what} {each.advice}".strip() in left_out
    assert report.outcomes is not None
    assert f"{f.count(report.outcomes.counted)} of {f.count(report.outcomes.accepted)} outcomes" in left_out


def test_an_experiment_s_page_has_the_quality_of_each_variant_s_scores(page: Page, site: Running) -> None:
    page.goto(f"{site.url}/experiments/credit-boosting")
    seen = text_of(page, "[data-fragment=labels]")
    for metric in site.report("credit-boosting").metrics:
        for quality in metric.labels:
            assert f.number(quality.roc_auc, 3) in seen
            assert f.number(quality.brier, 3) in seen
            for each in quality.calibration:
                assert plain(f"{f.percent(each.mean_score)} {f.percent(each.positive_rate)}") in seen


def test_an_experiment_s_page_has_the_quality_of_each_class(page: Page, site: Running) -> None:
    page.goto(f"{site.url}/experiments/fraud-graph")
    seen = text_of(page, "[data-fragment=labels]")
    (metric,) = (each for each in site.report("fraud-graph").metrics if each.labels)
    assert "positive" not in seen.lower()
    assert "ROC AUC, mean of the classes" in seen
    assert "Calibration of the most probable class" in seen
    for quality in metric.labels:
        assert f.number(quality.roc_auc, 3) in seen
        for each in quality.classes:
            interval = (
                f"{f.number(each.roc_auc_interval.low, 3)} to {f.number(each.roc_auc_interval.high, 3)}"
            )
            row = (
                f"{each.name} {quality.variant} {f.count(each.labels)} {f.number(each.roc_auc, 3)} {interval}"
            )
            assert row in seen


def test_a_shadow_of_several_scores_shows_the_largest_difference(page: Page, site: Running) -> None:
    page.goto(f"{site.url}/models/fraud/shadow")
    seen = text_of(page)
    assert "Largest difference of scores 0.2316 of each answer, on average" in seen
    assert "KS distance" not in seen
    assert "Number of requests by the largest difference of the scores" in seen


def test_the_overview_has_every_experiment_with_users_effect_and_verdict(page: Page, site: Running) -> None:
    page.goto(site.url)
    seen = text_of(page)
    for key in KEYS:
        report = site.report(key)
        assert key in seen
        assert f.count(sum(variant.users for variant in report.variants)) in seen
        assert plain(report.verdict.why[1:]) in seen  # the page begins it with a capital
        assert report.deciding is not None
        for effect in report.deciding.effects.values():
            assert plain(f.relative(effect.relative)) in seen
            assert plain(f.relative_interval(effect.relative_interval)) in seen


def test_the_overview_says_that_the_data_are_resampled(page: Page, site: Running) -> None:
    page.goto(site.url)
    assert NOTE in text_of(page)


def test_the_overview_has_workers_breakers_and_traffic(page: Page, site: Running) -> None:
    page.goto(site.url)
    page.locator(".chart-spark").wait_for()
    seen = text_of(page)
    assert "station 4210 revision 8" in seen
    assert "churn/v2 http://127.0.0.1:3005 on trial 1 of 2" in seen
    assert re.search(r"Requests a second \d", seen)


def test_the_shadow_page_has_the_shadow_reports(page: Page, site: Running) -> None:
    page.goto(f"{site.url}/models/credit/shadow")
    seen = text_of(page)
    for report in orjson.loads(site.api("/models/credit/shadow"))["reports"]:
        assert f"{report['version']} beside {report['against']}" in seen
        assert f.count(report["compared"]) in seen
        assert plain(f.percent(report["agreement"])) in seen
        assert plain(f.milliseconds(report["latency_ms"]["p99"])) in seen


def test_the_history_has_who_why_and_what_changed(page: Page, site: Running) -> None:
    page.goto(f"{site.url}/history")
    seen = text_of(page)
    assert "mara revision 2 the shadow report looks right" in seen
    assert "experiments.credit-boosting.coverage: 50 → 100" in seen


def test_a_page_that_does_not_exist_says_so(page: Page, site: Running) -> None:
    answer = page.goto(f"{site.url}/experiments/no-such-thing")
    assert answer is not None
    assert answer.status == 404
    assert "no such page" in text_of(page)
