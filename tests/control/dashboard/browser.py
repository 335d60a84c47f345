"""The browser that the pages are looked at with: the system's Chromium, else Playwright's own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Playwright, sync_playwright

_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class NoBrowser(Exception):
    """There is no Chromium on this machine; the message says so."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium. Raises `NoBrowser`."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_binary(playwright), args=list(_FLAGS))
        try:
            yield browser
        finally:
            browser.close()


def _binary(playwright: Playwright) -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None and Path(playwright.chromium.executable_path).exists():
        found = playwright.chromium.executable_path
    if found is None:
        raise NoBrowser("no Chromium: apt-get install chromium, or playwright install chromium")
    return found
