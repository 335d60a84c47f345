"""Who asks and what they may do, from whichever of these says so: a login, a proxy, the admin token.

1. **The admin token** (`ekiben.control.auth`): who has it is an admin.
2. **A login** at the dashboard with that token: an admin, until the logout (`dashboard/sessions.py`).
3. **A proxy that knows who its user is**, such as oauth2-proxy: it sends the name in the header
   `EKIBEN_TRUSTED_USER_HEADER`. That counts only from an address in `EKIBEN_TRUSTED_PROXIES`: anybody else
   could write it. The name is an admin where `EKIBEN_ADMINS` lists it, else a viewer.
4. **Nobody**: may look where only this machine reaches the controller, and no request comes from a proxy.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request

from ekiben.control.settings import Settings

MOST_NAME: Final = 100
_THROUGH_A_PROXY: Final = ("forwarded", "via", "x-forwarded-for")


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody known by name: an admin, who `may_change` things, or a viewer, who may look."""

    who: str
    may_change: bool
    by_log_in: bool = False


class Callers:
    """Reads from requests who sent them, as the settings allow."""

    def __init__(self, settings: Settings) -> None:
        self._proxies = settings.trusted_proxies
        self._header = settings.trusted_user_header
        self._admins = frozenset(name.casefold() for name in settings.admins)
        self._names = settings.names
        self._open = settings.names.only_here and not settings.trusted_user_header

    def may_look(self, request: Request) -> bool:
        """Whether this request may read without a name: only this machine can have sent it.

        A page of another site whose name was made to point here (DNS rebinding) sends that name.
        """
        if not self._open or any(name in request.headers for name in _THROUGH_A_PROXY):
            return False
        return self._names.allows(request.headers.get("host", ""))

    def from_proxy(self, request: Request) -> Caller | None:
        """Whom a trusted proxy names, None where it names nobody, or the request is not from one."""
        if not self._header or not self._is_proxy(_peer(request)):
            return None
        given = request.headers.getlist(self._header)
        if len(given) != 1:  # twice: the proxy added its own to the client's
            return None
        try:
            name = given[0].encode("latin-1").decode().strip()
        except UnicodeError:
            return None
        if not 0 < len(name) <= MOST_NAME or not name.isprintable():
            return None
        return Caller(name, may_change=name.casefold() in self._admins)

    def address(self, request: Request) -> str:
        """The client's address: the one that trusted proxies forward for, else the connection's own."""
        address = _peer(request)
        forwarded = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
        # Each proxy adds, at the end, whom it got the request from. What stands before may be anybody's.
        while forwarded and self._is_proxy(address):
            address = forwarded.pop().strip() or address
        return address

    def is_secure(self, request: Request) -> bool:
        """Whether the browser came by https, so that its cookie may be kept to https."""
        if self._is_proxy(_peer(request)) and "x-forwarded-proto" in request.headers:
            return request.headers["x-forwarded-proto"].rpartition(",")[2].strip().lower() == "https"
        return request.url.scheme == "https"

    def _is_proxy(self, address: str) -> bool:
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in self._proxies)


def _peer(request: Request) -> str:
    return request.client.host if request.client else ""
