"""One HTTP request, as every command sends it (`ekiben.process.http.client`)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from ekiben.process.http import client
from ekiben.process.http.client import Answer, NoAnswer, Redirected
from ekiben.terminal.errors import EkibenError, UsageError

__all__ = ["Answer", "NoAnswer", "ask"]

USE_PROXY: Final = "EKIBEN_USE_PROXY"


def ask(url: str, data: bytes | None, headers: Mapping[str, str], timeout_s: float) -> Answer:
    """Send a GET, or with `data` a POST, through a proxy only where `EKIBEN_USE_PROXY` asks for it.

    Raises `NoAnswer`, EkibenError for a redirect, and UsageError.
    """
    asked = os.environ.get(USE_PROXY) or "no"
    if asked not in ("yes", "no"):
        raise UsageError(f"{USE_PROXY} must be yes or no, and is {asked!r}")
    try:
        return client.ask(url, data, headers, timeout_s, use_proxy=asked == "yes")
    except Redirected as error:
        raise EkibenError(str(error)) from None
