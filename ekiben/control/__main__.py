"""`python -m ekiben.control`: the controller on uvicorn, one process."""

from __future__ import annotations

import logging
import os
import signal
import sys
from types import FrameType

import uvicorn

from ekiben.control.app import Controller
from ekiben.control.auth import TOKEN_FILE
from ekiben.control.settings import Settings
from ekiben.process.environ import BadSetting
from ekiben.process.http.protocol import BoundedProtocol
from ekiben.process.http.serving import server_options
from ekiben.process.logs import configure_logs
from ekiben.process.private import keep_private
from ekiben.process.secret_file import kept_secret
from ekiben.state.embedded import EmbeddedRedisError
from ekiben.state.user import SaltMissing


class _Server(uvicorn.Server):
    """Ends the pages' event streams as soon as it is asked to stop: it would wait for them."""

    def __init__(self, config: uvicorn.Config, controller: Controller) -> None:
        super().__init__(config)
        self._controller = controller

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._controller.stop_streaming()
        super().handle_exit(sig, frame)


def main() -> int:
    """Run until asked to stop. Returns the exit code: 2 for a setting that cannot be used."""
    try:
        settings = Settings.from_environ(os.environ)
        keep_private(settings.data_dir)
        configure_logs(settings.log_format, settings.log_level)
        controller = Controller(settings)
    except (BadSetting, EmbeddedRedisError, OSError, SaltMissing) as error:
        sys.stderr.write(f"ekiben.control: {error}\n")
        return 2
    if not settings.admin_token and sys.stderr.isatty():  # a terminal; a file would keep it
        token = kept_secret(settings.data_dir / TOKEN_FILE)
        sys.stderr.write(f"ekiben.control: the admin token is {token}\n")
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    logging.getLogger("ekiben.control").info("listening on http://%s:%d", host, settings.port)
    # uvicorn raises the signal that stopped it once more when it has stopped, which is no failure.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server = _Server(
        uvicorn.Config(
            controller.app,
            host=settings.host,
            port=settings.port,
            lifespan="on",
            **server_options(BoundedProtocol),  # whom to believe is decided by ekiben.control.callers
            **settings.connections.options(),
            timeout_graceful_shutdown=settings.shutdown_grace_s,
        ),
        controller,
    )
    try:
        server.run()
    except KeyboardInterrupt:
        return 0
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())
