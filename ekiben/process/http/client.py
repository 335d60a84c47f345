"""One HTTP request that may carry a token: it reaches nobody but the address named.

No proxy of the environment is used unless that is asked for, and no redirect is followed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener


class NoAnswer(Exception):
    """Nothing answered; the message says why in a few words."""


class Redirected(Exception):
    """The answer was to ask another address; the message is one line."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever its status (but for redirects)."""

    status: int
    content: bytes


def ask(
    url: str, data: bytes | None, headers: Mapping[str, str], timeout_s: float, *, use_proxy: bool = False
) -> Answer:
    """Send a GET, or with `data` a POST, to an address that begins with http:// or https://.

    `use_proxy` goes through the proxies that http_proxy, https_proxy and no_proxy name. Raises `NoAnswer` and
    `Redirected`.
    """
    request = Request(url, data, dict(headers))  # noqa: S310 - callers let only http and https through
    opener = build_opener(ProxyHandler(None if use_proxy else {}), _NoRedirect())
    try:
        try:
            response = opener.open(request, timeout=timeout_s)
        except HTTPError as error:
            response = error
        with response:
            status = response.status or 0
            if 300 <= status < 400:
                raise Redirected(
                    f"{url} redirects to {response.headers.get('Location')}, which is not followed: "
                    "set the address that answers itself"
                )
            return Answer(status, response.read())
    except (URLError, HTTPException, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        why = str(getattr(reason, "strerror", None) or reason or type(error).__name__)
        raise NoAnswer(why) from None


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None
