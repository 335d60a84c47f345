"""Where things are: the same environment variables as the router's, read once for a command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ekiben.process.environ import data_dir, experiments_file
from ekiben.terminal.errors import UsageError


@dataclass(frozen=True, slots=True)
class Settings:
    """What a command needs to know of its surroundings."""

    data_dir: Path
    experiments_file: Path
    router_url: str
    port: int
    controller_port: int

    @property
    def log_dir(self) -> Path:
        """Where every process of `ekiben up` writes."""
        return self.data_dir / "logs"

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """Read EKIBEN_DATA_DIR, _EXPERIMENTS_FILE, _ROUTER_URL and _PORT, or raise UsageError."""
        port = environ.get("EKIBEN_PORT") or "3000"
        if not port.isdigit() or not 1 <= int(port) <= 65535:
            raise UsageError(f"EKIBEN_PORT must be a port between 1 and 65535, and is {port!r}")
        controller_port = environ.get("EKIBEN_CONTROLLER_PORT") or "3100"
        if not controller_port.isdigit() or not 1 <= int(controller_port) <= 65535:
            raise UsageError(
                f"EKIBEN_CONTROLLER_PORT must be a port between 1 and 65535, and is {controller_port!r}"
            )
        url = (environ.get("EKIBEN_ROUTER_URL") or f"http://127.0.0.1:{port}").rstrip("/")
        if not url.startswith(("http://", "https://")):
            raise UsageError(f"EKIBEN_ROUTER_URL must begin with http:// or https://, and is {url!r}")
        return cls(
            data_dir=data_dir(environ),
            experiments_file=experiments_file(environ),
            router_url=url,
            port=int(port),
            controller_port=int(controller_port),
        )


def key_headers(environ: Mapping[str, str]) -> dict[str, str]:
    """The header that shows the router a key: EKIBEN_API_KEY, else the first of EKIBEN_API_KEYS."""
    first = environ.get("EKIBEN_API_KEYS", "").partition(",")[0].partition(":")[0].strip()
    key = environ.get("EKIBEN_API_KEY") or first
    return {"Authorization": f"Bearer {key}"} if key else {}
