"""Where things are: the same environment variables as the router's, read once for a command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from ekiben.process.environ import address, choice, data_dir, experiments_file, whole


@dataclass(frozen=True, slots=True)
class Settings:
    """What a command needs to know of its surroundings."""

    data_dir: Path
    experiments_file: Path
    router_url: str
    port: int
    controller_port: int

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """Read EKIBEN_DATA_DIR, _EXPERIMENTS_FILE, _ROUTER_URL and _PORT, or raise `BadSetting`."""
        port = whole(environ, "EKIBEN_PORT", 3000, 1, 65535)
        return cls(
            data_dir=data_dir(environ),
            experiments_file=experiments_file(environ),
            router_url=address(environ, "EKIBEN_ROUTER_URL", port),
            port=port,
            controller_port=controller_port(environ),
        )


def controller_port(environ: Mapping[str, str]) -> int:
    """EKIBEN_CONTROLLER_PORT. Raises `BadSetting`."""
    return whole(environ, "EKIBEN_CONTROLLER_PORT", 3100, 1, 65535)


def api_key(environ: Mapping[str, str]) -> str | None:
    """The key to show the router: EKIBEN_API_KEY, else the first of EKIBEN_API_KEYS, None without one."""
    first = environ.get("EKIBEN_API_KEYS", "").partition(",")[0].partition(":")[0].strip()
    return environ.get("EKIBEN_API_KEY") or first or None


def uses_proxy(environ: Mapping[str, str]) -> bool:
    """EKIBEN_USE_PROXY. Raises `BadSetting`."""
    return choice(environ, "EKIBEN_USE_PROXY", "no", ("yes", "no")) == "yes"


def proxy_of(environ: Mapping[str, str], url: str) -> str | None:
    """The proxy on the way to an address, where one may be used and this process's environment names one.

    Raises `BadSetting`.
    """
    parts = urlsplit(url)
    if not uses_proxy(environ) or proxy_bypass(parts.netloc):
        return None
    proxy = getproxies().get(parts.scheme)
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"
