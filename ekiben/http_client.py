"""One HTTP request, as every command sends it: a token in it reaches nobody but the address named.

No proxy is used unless `EKIBEN_USE_PROXY=yes` asks for the ones that http_proxy, https_proxy and no_proxy
name, and no redirect is followed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage
from typing import IO, Final
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

from ekiben.errors import EkibenError, UsageError

USE_PROXY: Final = "EKIBEN_USE_PROXY"


class NoAnswer(Exception):
    """Nothing answered; the message says why in a few words. `refused`: nobody listens there."""

    def __init__(self, why: str, *, refused: bool) -> None:
        super().__init__(why)
        self.refused = refused


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever its status (but for redirects)."""

    status: int
    content: bytes
    retry_after_s: float


def ask(url: str, data: bytes | None, headers: Mapping[str, str], timeout_s: float) -> Answer:
    """Send a GET, or with `data` a POST, to an http(s) address. Raises `NoAnswer`, and EkibenError for a
    redirect.
    """
    request = Request(url, data, dict(headers))  # noqa: S310 - the settings let only http and https through
    try:
        try:
            response = _opener().open(request, timeout=timeout_s)
        except HTTPError as error:
            response = error
        with response:
            status, after = response.status or 0, response.headers.get("Retry-After") or ""
            if 300 <= status < 400:
                raise EkibenError(
                    f"{url} redirects to {response.headers.get('Location')}, which is not followed: "
                    "set the address that answers itself"
                )
            return Answer(status, response.read(), float(after) if after.isdigit() else 0.0)
    except (URLError, HTTPException, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        why = str(getattr(reason, "strerror", None) or reason or type(error).__name__)
        raise NoAnswer(why, refused=isinstance(reason, ConnectionRefusedError)) from None


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


def _opener() -> OpenerDirector:
    asked = os.environ.get(USE_PROXY) or "no"
    if asked not in ("yes", "no"):
        raise UsageError(f"{USE_PROXY} must be yes or no, and is {asked!r}")
    return build_opener(ProxyHandler(None if asked == "yes" else {}), _NoRedirect())
