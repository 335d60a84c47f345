"""The controller's settings: one table of environment variables."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from ekiben.process.environ import BadSetting, data_dir, log_choices, secret, whole
from ekiben.process.http.names import HostNames, allowed_hosts, is_loopback
from ekiben.process.http.serving import Connections
from ekiben.state.durability import durable_choice
from ekiben.state.embedded import addresses

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
LEAST_TOKEN: Final = 16


@dataclass(frozen=True, slots=True, repr=False)  # it holds the admin token
class Settings:
    """The settings of one controller process. `docs/settings.md` describes each variable."""

    state_url: str
    state_durable: str = "check"
    host: str = "127.0.0.1"
    port: int = 3100
    data_dir: Path = Path(".ekiben")
    experiments_file: Path | None = None
    events_url: str = ".ekiben/events"
    events_days: int = 400
    record_every_s: int = 3
    analyse_every_s: int = 3
    connections: Connections = field(default_factory=Connections)
    admin_token: str = ""
    trusted_proxies: tuple[Network, ...] = ()
    trusted_user_header: str = ""
    admins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    notify_url: str = ""
    notify_token: str = ""
    note: str | None = None
    shutdown_grace_s: int = 10
    log_format: str = "json"
    log_level: str = "info"

    @property
    def names(self) -> HostNames:
        """The names that it answers to."""
        return HostNames(self.host, self.allowed_hosts)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read the environment. Raises `BadSetting`."""
        folder = data_dir(environ)
        log_format, log_level = log_choices(environ)
        host = environ.get("EKIBEN_HOST") or "127.0.0.1"
        admin_token = secret(environ, "EKIBEN_ADMIN_TOKEN", LEAST_TOKEN)
        proxies, header, admins = _login_proxy(environ)
        if not admin_token and not is_loopback(host):
            raise BadSetting(f"EKIBEN_ADMIN_TOKEN is required when listening on {host}: set a random value")
        return cls(
            state_url=addresses(environ, folder).state_url,
            state_durable=durable_choice(environ),
            host=host,
            port=whole(environ, "EKIBEN_CONTROLLER_PORT", 3100, 0, 65_535),
            data_dir=folder,
            experiments_file=Path(file) if (file := environ.get("EKIBEN_EXPERIMENTS_FILE")) else None,
            events_url=environ.get("EKIBEN_EVENTS_URL") or str((folder / "events").absolute()),
            events_days=whole(environ, "EKIBEN_EVENTS_DAYS", 400, 1, 36_500),
            record_every_s=whole(environ, "EKIBEN_RECORD_EVERY_S", 3, 1, 300),
            analyse_every_s=whole(environ, "EKIBEN_ANALYSE_EVERY_S", 3, 1, 86_400),
            connections=Connections.from_environ(environ),
            admin_token=admin_token,
            trusted_proxies=proxies,
            trusted_user_header=header,
            admins=admins,
            allowed_hosts=allowed_hosts(environ),
            notify_url=_notify_url(environ),
            notify_token=secret(environ, "EKIBEN_NOTIFY_TOKEN"),
            note=environ.get("EKIBEN_NOTE") or None,
            shutdown_grace_s=whole(environ, "EKIBEN_SHUTDOWN_GRACE_S", 10, 1, 3600),
            log_format=log_format,
            log_level=log_level,
        )


def _notify_url(environ: Mapping[str, str]) -> str:
    """`EKIBEN_NOTIFY_URL`, empty when it is not set. Raises `BadSetting`."""
    url = environ.get("EKIBEN_NOTIFY_URL", "")
    if url and not url.startswith(("http://", "https://")):
        raise BadSetting(f"EKIBEN_NOTIFY_URL must begin with http:// or https://, and is {url!r}")
    return url


def _login_proxy(environ: Mapping[str, str]) -> tuple[tuple[Network, ...], str, tuple[str, ...]]:
    """`EKIBEN_TRUSTED_PROXIES`, `_TRUSTED_USER_HEADER` and `_ADMINS`. Raises `BadSetting`."""
    proxies = []
    for part in _listed(environ, "EKIBEN_TRUSTED_PROXIES"):
        try:
            proxies.append(ipaddress.ip_network(part))
        except ValueError as error:
            raise BadSetting(
                f"EKIBEN_TRUSTED_PROXIES must hold addresses or networks such as 10.2.0.0/16: {error}"
            ) from None
    header = environ.get("EKIBEN_TRUSTED_USER_HEADER", "")
    if header and not re.fullmatch("[A-Za-z0-9-]{1,100}", header):
        raise BadSetting(
            f"EKIBEN_TRUSTED_USER_HEADER must be a header such as X-Forwarded-User, not {header!r}"
        )
    if header and not proxies:
        raise BadSetting(
            "EKIBEN_TRUSTED_USER_HEADER needs EKIBEN_TRUSTED_PROXIES: anybody could write that header"
        )
    admins = _listed(environ, "EKIBEN_ADMINS")
    if admins and not header:
        raise BadSetting("EKIBEN_ADMINS needs EKIBEN_TRUSTED_USER_HEADER, which says who a user is")
    return tuple(proxies), header, admins


def _listed(environ: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in environ.get(name, "").split(",") if part.strip())
