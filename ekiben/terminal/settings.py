"""Where things are: the same environment variables as the router's, read once for a command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ekiben.process.environ import address, data_dir, experiments_file, whole


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


def key_headers(environ: Mapping[str, str]) -> dict[str, str]:
    """The header that shows the router a key: EKIBEN_API_KEY, else the first of EKIBEN_API_KEYS."""
    first = environ.get("EKIBEN_API_KEYS", "").partition(",")[0].partition(":")[0].strip()
    key = environ.get("EKIBEN_API_KEY") or first
    return {"Authorization": f"Bearer {key}"} if key else {}
