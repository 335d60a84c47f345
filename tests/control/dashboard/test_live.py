"""What an open page does by itself, and what it shows when parts are away."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from ekiben.control.dashboard import formatting as f
from tests.control.dashboard.reports import reports
from tests.control.dashboard.running import Running, controller
from tests.control.dashboard.seeding import put_reports


@pytest.fixture(scope="module")
def moving() -> Iterator[Running]:
    """A controller whose reports change, and which comes and goes."""
    with controller() as made:
        yield made


def renew(site: Running, more: float) -> None:
    """Leave reports with more users, as the analysis would."""
    made = reports(site.stored(), time.time(), more=more)
    site.on_redis(lambda client: put_reports(client, made))


def test_a_new_report_arrives_without_reloading_and_disturbs_nothing(page: Page, moving: Running) -> None:
    page.goto(f"{moving.url}/experiments/credit-boosting")
    expect(page.locator("#live")).to_have_text("live")
    details = page.locator("[data-fragment=deciding] details").first
    details.locator("summary").click()
    button = page.get_by_role("link", name="Roll back")
    button.focus()
    page.evaluate("window.scrollTo(0, 120); window.sameDocument = true")
    renew(moving, 1.5)
    expect(page.locator("[data-fragment=split]")).to_contain_text(f.count(round(6_041 * 1.5)))
    expect(page.locator("[data-fragment=verdict]")).to_contain_text(
        moving.report("credit-boosting").verdict.why
    )
    assert page.evaluate("window.sameDocument")
    assert page.evaluate("window.scrollY") == 120
    assert details.get_attribute("open") is not None
    expect(button).to_be_focused()


def test_a_page_that_is_cut_off_says_so_and_recovers(page: Page, moving: Running) -> None:
    page.goto(f"{moving.url}/experiments/credit-boosting")
    expect(page.locator("#live")).to_have_text("live")
    moving.stop()
    expect(page.locator("#live")).to_have_text("not live")
    renew(moving, 2.0)
    moving.start()
    expect(page.locator("[data-fragment=split]")).to_contain_text(f.count(6_041 * 2))
    expect(page.locator("#live")).to_have_text("live")


def test_without_redis_a_page_shows_what_was_known_and_says_so(page: Page, moving: Running) -> None:
    page.goto(f"{moving.url}/experiments/churn-offers")
    expect(page.locator("#live")).to_have_text("live")
    moving.redis.kill()
    expect(page.locator("[data-fragment=notices]")).to_contain_text("The state Redis is away")
    page.reload()
    expect(page.locator("main")).to_contain_text("The state Redis is away")
    expect(page.locator("[data-fragment=deciding]")).to_contain_text("kept")
    verdict = page.locator("[data-fragment=verdict]")
    expect(verdict).to_contain_text("only 5.2 days of at least 7 days are over")


def test_an_empty_installation_has_an_overview_and_says_how_to_begin(page: Page) -> None:
    with controller(filled=False, router=False) as empty:
        page.goto(empty.url)
        expect(page.locator("main")).to_contain_text("No experiments yet")
        expect(page.locator("main")).to_contain_text("No router has been seen")
        answer = page.goto(f"{empty.url}/experiments/any")
        assert answer is not None
        assert answer.status in (404, 503)


def test_a_draft_has_a_page_before_its_first_user(page: Page, site: Running) -> None:
    page.goto(f"{site.url}/experiments/pricing-floor")
    expect(page.locator("main")).to_contain_text("A draft has no users")
    expect(page.locator("[data-fragment=deciding]")).to_contain_text("No report yet")
