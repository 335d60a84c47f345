"""Controllers to look at, and a browser to look with."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.control.dashboard.browser import NoBrowser, chromium
from tests.control.dashboard.running import TOKEN, Running, controller

# Generous: it is only ever reached when a test fails.
_PATIENCE_MS = 30_000
expect.set_options(timeout=_PATIENCE_MS)


# Not of the session: while Playwright runs, no test that comes after could run an event loop of its own.
@pytest.fixture(scope="package")
def browser(not_fast: None) -> Iterator[Browser]:
    try:
        with chromium() as found:
            yield found
    except NoBrowser as error:
        if os.environ.get("EKIBEN_TEST_ALL"):
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="package")
def site() -> Iterator[Running]:
    """A controller that is only read."""
    with controller() as made:
        yield made


@pytest.fixture(scope="module")
def acted() -> Iterator[Running]:
    """A controller on which things are done."""
    with controller() as made:
        yield made


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser of one's own: no cookies, a wide window."""
    made = browser.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
    made.set_default_timeout(_PATIENCE_MS)
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


def log_in(page: Page, site: Running, target: str = "/") -> None:
    """Show the token, and go to `target`."""
    page.goto(f"{site.url}/login?next={target}")
    page.get_by_label("Your name").fill("mara")
    page.get_by_label("Admin token").fill(TOKEN)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(site.url + target)
