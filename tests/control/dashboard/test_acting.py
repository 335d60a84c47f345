"""The buttons: what they say, what they ask, and what happens then."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, Page, expect

from ekiben.experiments.lifecycle import Status
from tests.control.dashboard.conftest import log_in
from tests.control.dashboard.running import TOKEN, Running


def status(site: Running, key: str) -> Status:
    return site.stored().document.experiments[key].status


def tab_to(page: Page, name: str) -> None:
    """Press Tab until what has the focus is called `name`."""
    called = "(document.activeElement.innerText || document.activeElement.labels?.[0]?.innerText || '')"
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate(called).strip().startswith(name):
            return
    raise AssertionError(f"no Tab leads to {name}")


def test_promoting_repeats_the_consequence_asks_why_and_makes_the_treatment_live(
    page: Page, acted: Running
) -> None:
    log_in(page, acted, "/experiments/credit-boosting")
    page.get_by_role("link", name="Promote").click()
    main = page.locator("main")
    expect(main).to_contain_text("v2 becomes the live version of credit instead of v1")
    expect(main).to_contain_text(acted.report("credit-boosting").verdict.why)
    page.get_by_label("Why").fill("the numbers say so")
    page.get_by_role("button", name="Promote credit-boosting").click()
    page.wait_for_url(acted.url + "/experiments/credit-boosting")
    expect(page.locator("h1 + .pill")).to_have_text("promoted")
    stored = acted.stored()
    assert stored.document.models["credit"].live == "v2"
    expect(page.locator("[data-fragment=changes]")).to_contain_text("the numbers say so")


def test_everything_from_the_log_in_to_promoting_can_be_done_with_the_keyboard(
    page: Page, acted: Running
) -> None:
    page.goto(f"{acted.url}/experiments/churn-offers")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    tab_to(page, "Promote gentle")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/login"))
    tab_to(page, "Your name")
    page.keyboard.type("tom")
    tab_to(page, "Admin token")
    page.keyboard.type(TOKEN)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/promote"))
    tab_to(page, "Why")
    page.keyboard.type("by hand")
    tab_to(page, "Promote churn-offers")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    page.wait_for_url(acted.url + "/experiments/churn-offers")
    assert status(acted, "churn-offers") is Status.PROMOTED
    assert acted.stored().document.models["churn"].live == "v2"


def test_starting_works_without_javascript(browser: Browser, acted: Running) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        log_in(page, acted, "/experiments/pricing-floor")
        page.get_by_role("link", name="Start").click()
        page.get_by_label("Why").fill("a first look")
        page.get_by_role("button", name="Start pricing-floor").click()
        page.wait_for_url(acted.url + "/experiments/pricing-floor")
    assert status(acted, "pricing-floor") is Status.RUNNING


def test_without_a_reason_nothing_happens(page: Page, acted: Running) -> None:
    log_in(page, acted, "/experiments/fraud-graph/resume")
    page.get_by_label("Why").fill("   ")
    page.get_by_role("button", name="Resume fraud-graph").click()
    expect(page.get_by_role("alert")).to_contain_text("Say why")
    assert status(acted, "fraud-graph") is Status.PAUSED


def test_what_was_decided_on_an_older_revision_does_not_happen(page: Page, acted: Running) -> None:
    log_in(page, acted, "/experiments/fraud-graph/roll-back")
    page.get_by_label("Why").fill("too slow")
    other = page.context.new_page()
    log_in_again = f"{acted.url}/experiments/fraud-graph/ramp"
    other.goto(log_in_again)
    other.get_by_label("Each step for at least").fill("2h")
    other.get_by_role("button", name="Show what happens").click()
    expect(other.locator(".consequence")).to_contain_text("each step for at least 2h")
    other.get_by_label("Why").fill("more slowly")
    other.get_by_role("button", name="Set the ramp").click()
    other.wait_for_url(acted.url + "/experiments/fraud-graph")
    page.get_by_role("button", name="Roll back fraud-graph").click()
    expect(page.get_by_role("alert")).to_contain_text("changed since")
    assert status(acted, "fraud-graph") is Status.PAUSED


def test_acknowledging_a_redeployment_takes_it_off_the_list(page: Page, acted: Running) -> None:
    log_in(page, acted, "/experiments/fraud-graph")
    page.get_by_role("link", name="Acknowledge").click()
    page.get_by_label("Why").fill("the same model, built again")
    page.get_by_role("button", name="Acknowledge").click()
    page.wait_for_url(acted.url + "/experiments/fraud-graph")
    expect(page.get_by_role("link", name="Acknowledge")).to_have_count(0)
    acknowledged = acted.stored().document.experiments["fraud-graph"].acknowledged_model_versions
    assert acknowledged == ("fraud_v2:7710ab8dd02c9e14+91c0de55",)


def test_logging_out_ends_the_session(page: Page, acted: Running) -> None:
    log_in(page, acted, "/")
    cookies = page.context.cookies()
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url(re.compile("/login"))
    page.context.add_cookies([{**cookies[0]}])  # type: ignore[typeddict-item]
    page.goto(f"{acted.url}/experiments/fraud-graph/resume")
    assert "/login" in page.url
