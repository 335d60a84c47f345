"""Pictures of the dashboard for the README: `python -m tests.control.dashboard.screenshots [--url URL]`.

Without a URL the pictures are of a controller of the tests, with made-up reports. With one they are of what
runs there, such as `make up`, and the first experiment that it lists is the one in the pictures.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser

from tests.control.dashboard.browser import NoBrowser, chromium
from tests.control.dashboard.running import controller

_LIMIT_BYTES = 300_000
_SIZES = {390: 1_800, 1440: 1_500}
"""Width and largest height: enough to see what there is, and small enough for a README."""


def take(browser: Browser, url: str, out: Path) -> list[Path]:
    """Overview and experiment, in light and dark, wide and narrow. Returns the files."""
    out.mkdir(parents=True, exist_ok=True)
    taken = []
    schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for scheme in schemes:
        for width, height in _SIZES.items():
            context = browser.new_context(
                viewport={"width": width, "height": 900},
                color_scheme=scheme,
                device_scale_factor=1,
                reduced_motion="reduce",
            )
            page = context.new_page()
            page.goto(url)
            page.locator("#live.on").wait_for()
            first = page.locator(".forest a[href^='/experiments/']").first
            for name in ("overview", "experiment"):
                if name == "experiment":
                    page.goto(url + str(first.get_attribute("href")))
                    page.locator("#live.on").wait_for()
                file = out / f"{name}-{scheme}-{width}.png"
                whole = page.evaluate("document.documentElement.scrollHeight")
                page.set_viewport_size({"width": width, "height": min(height, whole)})
                page.screenshot(path=file)
                page.set_viewport_size({"width": width, "height": 900})
                taken.append(file)
            context.close()
    return taken


@contextmanager
def _site(url: str | None) -> Iterator[str]:
    if url is not None:
        yield url.rstrip("/")
        return
    with controller() as made:
        yield made.url


def main() -> int:
    """Take them all. Returns 1 when one is larger than 300 kB, or there is no browser."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="a controller that runs, such as http://127.0.0.1:3100")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    options = parser.parse_args()
    try:
        with _site(options.url) as url, chromium() as browser:
            taken = take(browser, url, options.out)
    except NoBrowser as error:
        sys.stderr.write(f"{error}\n")
        return 1
    large = [file for file in taken if file.stat().st_size > _LIMIT_BYTES]
    for file in taken:
        sys.stdout.write(f"{file} {file.stat().st_size // 1000} kB\n")
    for file in large:
        sys.stderr.write(f"{file} is larger than {_LIMIT_BYTES // 1000} kB\n")
    return 1 if large else 0


if __name__ == "__main__":
    sys.exit(main())
