"""`python -m router`: the router on uvicorn, as many workers as `EKIBEN_WORKERS` says."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import tempfile

import uvicorn

from ekiben.process.environ import BadSetting
from ekiben.process.logs import configure_logs
from ekiben.process.private import keep_private
from ekiben.state.embedded import EmbeddedRedisError
from ekiben.state.user import SaltMissing, user_salt
from router.http.keys import BadKeys, Keys
from router.http.server import SERVER_OPTIONS
from router.http.workers import Workers
from router.settings import Settings


def main() -> int:
    """Run until told to stop. Returns the exit code: 2 for a setting that cannot be used."""
    try:
        settings = Settings.from_environ(os.environ)
        keep_private(settings.data_dir)
        user_salt(os.environ, settings.data_dir, settings.host)
        keys = Keys.from_setting(settings.api_keys)
    except (BadKeys, BadSetting, EmbeddedRedisError, OSError, SaltMissing) as error:
        sys.stderr.write(f"router: {error}\n")
        return 2
    configure_logs(settings.log_format, settings.log_level)
    log = logging.getLogger("router")
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"http://{host}:{settings.port}"
    if keys.is_open:
        log.warning("open: everyone who reaches %s may use it (EKIBEN_API_KEYS sets keys)", address)
    # Workers add their metrics up through files; a fresh directory, so that no dead worker's are counted.
    shared = tempfile.mkdtemp(prefix="ekiben-metrics-")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = shared
    # uvicorn raises the signal that stopped it once more when it has stopped: told to stop is no failure.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        return _serve(settings)
    except KeyboardInterrupt:
        return 0
    finally:
        shutil.rmtree(shared, ignore_errors=True)


def _serve(settings: Settings) -> int:
    config = uvicorn.Config(
        "router.app:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        lifespan="on",
        **SERVER_OPTIONS,
        **settings.connections.options(),
        timeout_graceful_shutdown=settings.answer_in_flight_s,
        # A worker that is slow to start on a busy machine is not a dead one: the 5 s of uvicorn killed it.
        timeout_worker_healthcheck=15,
    )
    if settings.workers == 1:
        server = uvicorn.Server(config)
        server.run()
        return 0 if server.started else 1
    return Workers(config, settings.shutdown_grace_s).serve()


if __name__ == "__main__":
    sys.exit(main())
