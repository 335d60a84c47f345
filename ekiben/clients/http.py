"""One request of a command to a server, through a proxy only where that is asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from ekiben.process.http import client
from ekiben.process.http.client import Answer, Redirected
from ekiben.terminal.errors import EkibenError
from ekiben.terminal.settings import uses_proxy

JSON: Final = {"Content-Type": "application/json", "Accept": "application/json"}


def ask(url: str, data: bytes | None, headers: Mapping[str, str], timeout_s: float) -> Answer:
    """Send a GET, or with `data` a POST. Raises `NoAnswer`, EkibenError for a redirect, and `BadSetting`."""
    try:
        return client.ask(url, data, headers, timeout_s, use_proxy=uses_proxy(os.environ))
    except Redirected as error:
        raise EkibenError(str(error)) from None
