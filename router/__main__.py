"""`python -m router`: the router on uvicorn, as many workers as `EKIBEN_WORKERS` says."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile

import uvicorn

from router.logs import configure_logs
from router.server import JoiningProtocol
from router.settings import BadSetting, Settings
from state.user import SaltMissing, user_salt


def main() -> int:
    """Run until told to stop. Returns the exit code: 2 for a setting that cannot be used."""
    try:
        settings = Settings.from_environ(os.environ)
        user_salt(os.environ, settings.data_dir, settings.host)
    except (BadSetting, SaltMissing) as error:
        sys.stderr.write(f"router: {error}\n")
        return 2
    configure_logs(settings.log_format, settings.log_level)
    # Workers add their metrics up through files; a fresh directory, so that no dead worker's are counted.
    shared = tempfile.mkdtemp(prefix="ekiben-metrics-")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = shared
    logging.getLogger(__name__).info("listening on http://%s:%d", settings.host, settings.port)
    try:
        uvicorn.run(
            "router.app:create_app",
            factory=True,
            host=settings.host,
            port=settings.port,
            workers=settings.workers,
            loop="uvloop",
            http=JoiningProtocol,
            ws="none",
            lifespan="on",
            access_log=False,
            log_config=None,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=int(settings.shutdown_grace_s),
        )
    finally:
        shutil.rmtree(shared, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
