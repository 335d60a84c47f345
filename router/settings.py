"""The router's settings: one table of environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from ekiben.process.environ import BadSetting, choice, data_dir, experiments_file, log_choices, whole
from ekiben.process.http.names import allowed_hosts, allowed_origins
from ekiben.process.http.serving import Connections
from ekiben.state.durability import durable_choice
from ekiben.state.embedded import addresses
from ekiben.state.panic import panic_file
from router.http.costly import MAX_ELEMENTS
from router.http.keys import DEFAULT_RATE

MIB: Final = 1024 * 1024
_REDIS: Final = ("redis://", "rediss://", "unix://")
LAST_STEPS_S: Final = 1.0
"""For what nobody waits for any more as the router stops: shadow copies and the last events."""


@dataclass(frozen=True, slots=True, repr=False)  # it holds keys
class Settings:
    """What one router process is told. `docs/settings.md` describes each variable."""

    cache_url: str
    state_url: str
    host: str
    port: int
    workers: int
    data_dir: Path
    experiments_file: Path
    max_body_bytes: int
    bodies_max_bytes: int
    max_elements: int
    local_cache_entries: int
    state_durable: str
    state_replicas: int
    exposures_max_bytes: int
    shutdown_grace_s: float
    drain_s: float
    panic_file: Path
    api_keys: str
    key_rate: int
    user_id_from: str
    connections: Connections
    allowed_hosts: tuple[str, ...]
    allowed_origins: frozenset[str]
    access_log_percent: int
    log_format: str
    log_level: str

    @property
    def answer_in_flight_s(self) -> int:
        """How long requests in flight are waited for: what draining and the last steps leave of the grace."""
        return max(1, int(self.shutdown_grace_s - self.drain_s - LAST_STEPS_S))

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read the environment. Raises `BadSetting`."""
        folder = data_dir(environ)
        grace_s = whole(environ, "EKIBEN_SHUTDOWN_GRACE_S", 20, 1, 3600)
        log_format, log_level = log_choices(environ)
        redis = addresses(environ, folder)
        for name, url in (("EKIBEN_CACHE_URL", redis.cache_url), ("EKIBEN_STATE_URL", redis.state_url)):
            if not url.startswith(_REDIS):  # not shown: it may hold a password
                raise BadSetting(f"{name} (or REDIS_URL) must begin with one of {', '.join(_REDIS)}")
        return cls(
            cache_url=redis.cache_url,
            state_url=redis.state_url,
            host=environ.get("EKIBEN_HOST") or "127.0.0.1",
            port=whole(environ, "EKIBEN_PORT", 3000, 0, 65_535),
            workers=whole(environ, "EKIBEN_WORKERS", 1, 1, 256),
            data_dir=folder,
            experiments_file=experiments_file(environ),
            max_body_bytes=whole(environ, "EKIBEN_MAX_BODY_BYTES", MIB, 1024, 4 * MIB),
            bodies_max_bytes=whole(environ, "EKIBEN_BODIES_MAX_BYTES", 48 * MIB, 16 * MIB, 1 << 40),
            max_elements=whole(environ, "EKIBEN_MAX_ELEMENTS", MAX_ELEMENTS, 100, 1_000_000),
            local_cache_entries=whole(environ, "EKIBEN_LOCAL_CACHE_ENTRIES", 20_000, 0, 10_000_000),
            state_durable=durable_choice(environ),
            state_replicas=whole(environ, "EKIBEN_STATE_REPLICAS", 0, 0, 16),
            exposures_max_bytes=whole(environ, "EKIBEN_EXPOSURES_MAX_BYTES", 256 * MIB, MIB, 1 << 40),
            shutdown_grace_s=float(grace_s),
            # Draining is a part of the grace.
            drain_s=float(whole(environ, "EKIBEN_DRAIN_S", min(1, grace_s - 1), 0, grace_s - 1)),
            panic_file=panic_file(environ, folder),
            api_keys=environ.get("EKIBEN_API_KEYS", ""),
            key_rate=whole(environ, "EKIBEN_KEY_RATE", DEFAULT_RATE, 0, 1_000_000_000),
            user_id_from=choice(environ, "EKIBEN_USER_ID_FROM", "body", ("body", "header")),
            connections=Connections.from_environ(environ),
            allowed_hosts=allowed_hosts(environ),
            allowed_origins=allowed_origins(environ),
            access_log_percent=whole(environ, "EKIBEN_ACCESS_LOG_PERCENT", 1, 0, 100),
            log_format=log_format,
            log_level=log_level,
        )
