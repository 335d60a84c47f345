"""How uvicorn runs a server of ours."""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from uvicorn.protocols.http import auto

from ekiben.process.environ import whole
from ekiben.process.http.protocol import BoundedProtocol

# Files, Redis, model services: what a process opens besides the connections of its clients.
_FILES_BESIDES: Final = 0.25


@dataclass(frozen=True, slots=True)
class Connections:
    """What a server's connections may do. `docs/settings.md` describes each variable.

    `keep_alive_s` is longer than the 60 s for which most load balancers hold an idle connection: the side
    that closes first must be the one that would send the next request on it, or requests get lost.
    """

    keep_alive_s: int = 75
    most: int = 10_000

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read the environment. Raises `BadSetting`."""
        return cls(
            keep_alive_s=whole(environ, "EKIBEN_KEEP_ALIVE_S", 75, 1, 3600),
            most=whole(environ, "EKIBEN_MAX_CONNECTIONS", 10_000, 10, 1_000_000),
        )

    def options(self) -> dict[str, Any]:
        """uvicorn's options for them: as many as files can be opened for. Lets this process open as many as
        the system lets it first: a login shell's 1,024 would be full long before the machine is.
        """
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        files = sys.maxsize if most == resource.RLIM_INFINITY else most
        return {
            "timeout_keep_alive": self.keep_alive_s,
            "limit_concurrency": min(self.most, int(files * (1 - _FILES_BESIDES))),
        }


def server_options(protocol: type[BoundedProtocol]) -> dict[str, Any]:
    """uvicorn's options that do not depend on settings."""
    return {
        "loop": "uvloop",
        "http": protocol,
        "ws": "none",
        "access_log": False,
        "log_config": None,
        "server_header": False,
        "proxy_headers": False,
        "backlog": 4096,
    }


def bound_bentoml() -> None:
    """Have BentoML's servers in this process speak the same protocol, with its bounds.

    BentoML 1.4.39 leaves the choice to uvicorn, and no setting reaches it: what uvicorn would choose is
    replaced.
    """
    auto.AutoHTTPProtocol = BoundedProtocol
