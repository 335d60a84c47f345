"""`python -m router`: the router on uvicorn, as many workers as `EKIBEN_WORKERS` says."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile

import uvicorn
from uvicorn.supervisors import Multiprocess

from router.keys import BadKeys, Door
from router.logs import configure_logs
from router.server import RouterProtocol
from router.settings import BadSetting, Settings
from state.user import SaltMissing, user_salt


def main() -> int:
    """Run until told to stop. Returns the exit code: 2 for a setting that cannot be used."""
    try:
        settings = Settings.from_environ(os.environ)
        user_salt(os.environ, settings.data_dir, settings.host)
        door = Door.from_setting(settings.api_keys) if settings.api_keys else Door.open()
    except (BadKeys, BadSetting, SaltMissing) as error:
        sys.stderr.write(f"router: {error}\n")
        return 2
    configure_logs(settings.log_format, settings.log_level)
    log = logging.getLogger("router")
    address = f"http://{settings.host}:{settings.port}"
    if door.is_open:
        log.warning("open: whoever reaches %s may use it (EKIBEN_API_KEYS sets keys)", address)
    # Workers add their metrics up through files; a fresh directory, so that no dead worker's are counted.
    shared = tempfile.mkdtemp(prefix="ekiben-metrics-")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = shared
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
        loop="uvloop",
        http=RouterProtocol,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        backlog=4096,
        timeout_graceful_shutdown=max(1, int(settings.shutdown_grace_s - settings.drain_s)),
    )
    if settings.workers == 1:
        server = uvicorn.Server(config)
        server.run()
        return 0 if server.started else 1
    # The parent holds the listening socket: what arrives while a dead worker is replaced waits in it.
    Multiprocess(config, sockets=[config.bind_socket()]).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
