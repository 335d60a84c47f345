"""`python -m control`: the controller on uvicorn, one process."""

from __future__ import annotations

import logging
import os
import signal
import sys

import uvicorn

from control.app import build_app
from control.settings import Settings
from process.environ import BadSetting
from process.logs import configure_logs
from state.embedded import EmbeddedRedisError


def main() -> int:
    """Run until told to stop. Returns the exit code: 2 for a setting that cannot be used."""
    try:
        settings = Settings.from_environ(os.environ)
        configure_logs(settings.log_format, settings.log_level)
        app = build_app(settings)
    except (BadSetting, EmbeddedRedisError, OSError) as error:
        sys.stderr.write(f"control: {error}\n")
        return 2
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    logging.getLogger("control").info("listening on http://%s:%d", host, settings.port)
    # uvicorn raises the signal that stopped it once more when it has stopped: told to stop is no failure.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=settings.shutdown_grace_s,
        )
    )
    try:
        server.run()
    except KeyboardInterrupt:
        return 0
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())
