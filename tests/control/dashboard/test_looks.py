"""The pages fit the screen, and people who cannot see or point can use them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page

from tests.control.dashboard.conftest import log_in
from tests.control.dashboard.running import Running

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
PAGES = (
    "/",
    "/experiments/credit-boosting",
    "/experiments/churn-offers",
    "/experiments/fraud-graph",
    "/experiments/pricing-floor",
    "/models/credit/shadow",
    "/history",
    "/experiments/credit-boosting/promote",
    "/experiments/credit-boosting/ramp",
)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
WIDTHS = (390, 1440)


def axe() -> str:
    if not AXE.exists():
        reason = "no axe-core: npm ci in tests/control/dashboard (make test does it where npm is)"
        if os.environ.get("EKIBEN_TEST_ALL"):
            pytest.fail(reason)
        pytest.skip(reason)
    return AXE.read_text()


def problems_of(page: Page, source: str) -> list[str]:
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    page.evaluate(source)
    found = json.loads(
        page.evaluate(
            "axe.run({resultTypes: ['violations']}).then((result) => JSON.stringify(result.violations))"
        )
    )
    return [
        f"{each['id']}: {node['failureSummary']}: {node['html'][:200]}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"][:2]
    ]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_no_page_has_a_serious_accessibility_problem(
    browser: Browser, site: Running, scheme: Literal["light", "dark"], width: int
) -> None:
    source = axe()
    with browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    ) as context:
        page = context.new_page()
        page.goto(f"{site.url}/login")
        assert problems_of(page, source) == []
        log_in(page, site)
        for path in PAGES:
            page.goto(site.url + path)
            assert problems_of(page, source) == [], path


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_scrolls_sideways(browser: Browser, site: Running, width: int) -> None:
    with browser.new_context(viewport={"width": width, "height": 900}) as context:
        page = context.new_page()
        log_in(page, site)
        for path in PAGES:
            page.goto(site.url + path)
            page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path


def test_the_policy_lets_everything_of_the_pages_pass_and_nothing_comes_from_elsewhere(
    page: Page, site: Running
) -> None:
    complaints: list[str] = []
    asked: list[str] = []
    page.on("console", lambda each: complaints.append(each.text) if each.type == "error" else None)
    page.on("pageerror", lambda each: complaints.append(str(each)))
    page.on("request", lambda each: asked.append(each.url))
    log_in(page, site)
    for path in PAGES:
        page.goto(site.url + path)
    assert complaints == []
    assert all(url.startswith(site.url + "/") for url in asked)


def test_every_chart_has_words_beside_it(page: Page, site: Running) -> None:
    for path in ("/", "/experiments/credit-boosting", "/models/credit/shadow"):
        page.goto(site.url + path)
        assert page.locator("svg[class^=chart-]:not([aria-hidden=true])").count() == 0
        labels = page.locator("[role=img]").evaluate_all("all => all.map((one) => one.ariaLabel)")
        assert all(label for label in labels)
        outside = "svg[class^=chart-]:not([role=img] *):not(table *)"
        assert page.locator(outside).count() == 0


def test_no_column_of_three_variants_is_cut_off_on_a_wide_screen(browser: Browser, site: Running) -> None:
    with browser.new_context(viewport={"width": 1440, "height": 900}) as context:
        page = context.new_page()
        page.goto(f"{site.url}/experiments/churn-offers")
        table = page.locator(".beside > .scroll")
        assert table.locator("thead th").all_inner_texts() == ["Measure", "control", "gentle", "bold"]
        assert table.evaluate("each => each.scrollWidth <= each.clientWidth")


def test_a_guardrails_row_shows_the_control_and_its_own_variant_only(page: Page, site: Running) -> None:
    page.goto(f"{site.url}/experiments/churn-offers")
    rows = page.locator(".guardrails tbody tr")
    texts = [row.locator(".against").last.inner_text().replace("\u202f", " ") for row in rows.all()]
    assert texts == ["control 0.11 %, gentle 0.090 %", "control 0.11 %, bold 0.090 %"]
