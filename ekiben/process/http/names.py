"""The names that a server answers to, and the web pages that may call it.

A web page can make its visitor's browser send requests to any address that the browser reaches. Two checks
keep such a page from being taken for a user of the network:

1. `Host` names the server. A page can have its own name point at our address (DNS rebinding), and then its
   requests carry that name. So a name counts only where its owner cannot be a stranger.
2. `Origin`, which browsers send with what a page causes, is our own or one that was allowed.

Programs that are no browsers send a `Host` that they were configured with, and no `Origin`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Final

from ekiben.process.environ import BadSetting

ALLOWED_HOSTS: Final = "EKIBEN_ALLOWED_HOSTS"
ALLOWED_ORIGINS: Final = "EKIBEN_ALLOWED_ORIGINS"

_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(:[0-9]*)?")
_ORIGIN: Final = re.compile(r"https?://(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(:[0-9]+)?")
# Nobody can register a name below these: RFC 6761, RFC 6762, ICANN's .internal, and Kubernetes' own.
_PRIVATE: Final = (".local", ".internal", ".svc")


def is_loopback(host: str) -> bool:
    """Whether a listener on `host` is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name, whatever it begins with


class HostNames:
    """The names in `Host` headers that a server on the address `bound` answers to, beside those of `allowed`.

    On loopback they are the names and addresses of loopback. Elsewhere they are all addresses (probes use
    them, and no page can make one its own), names without a dot and names that nobody can register. An
    allowed name without a port counts with every port.
    """

    def __init__(self, bound: str, allowed: Sequence[str] = (), *, loopback: bool | None = None) -> None:
        """`loopback` says whether only this machine reaches it, where that does not follow from `bound`."""
        self._bound = bound.lower()
        self._loopback = is_loopback(bound) if loopback is None else loopback
        self._allowed = frozenset(name.lower() for name in allowed)

    @property
    def only_here(self) -> bool:
        """Whether it is this machine that every name which is answered to stands for."""
        return self._loopback and not self._allowed

    def allows(self, host: str) -> bool:
        """Whether a request with this `Host` header is meant for this server."""
        host = host.lower()
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = found[1].strip("[]").rstrip(".")
        if name in ("localhost", self._bound) or name.endswith(".localhost"):
            return True
        if not self._allowed.isdisjoint((host, found[1], name)):
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return not self._loopback and ("." not in name or name.endswith(_PRIVATE))
        return not self._loopback or address.is_loopback


def own_origin(origin: str, host: str) -> bool:
    """Whether a page of `origin` came from the server that `host` names. The scheme does not count: TLS may
    end at a proxy.
    """
    scheme, _, rest = origin.lower().partition("://")
    return scheme in ("http", "https") and rest == host.lower()


def allowed_hosts(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The names in `EKIBEN_ALLOWED_HOSTS`. Raises `BadSetting`."""
    return _listed(environ, ALLOWED_HOSTS, _HOST, "names such as ekiben.example.com")


def allowed_origins(environ: Mapping[str, str]) -> frozenset[str]:
    """The origins in `EKIBEN_ALLOWED_ORIGINS`. Raises `BadSetting`."""
    return frozenset(_listed(environ, ALLOWED_ORIGINS, _ORIGIN, "origins such as https://shop.example.com"))


def _listed(environ: Mapping[str, str], name: str, form: re.Pattern[str], what: str) -> tuple[str, ...]:
    parts = tuple(filter(None, map(str.strip, environ.get(name, "").lower().split(","))))
    for part in parts:
        if not form.fullmatch(part):
            raise BadSetting(f"{name} must hold {what}, not {part!r}")
    return parts
