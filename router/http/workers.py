"""Several router workers under one parent, which starts them again, and stops them."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from multiprocessing import connection, parent_process
from typing import Final

from prometheus_client.multiprocess import mark_process_dead
from uvicorn import Config
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

log = logging.getLogger(__name__)

_POLL_S: Final = 0.1
# A worker that is on its way out by its own clock is not killed.
_LATE_S: Final = 2.0


class Workers(Multiprocess):
    """uvicorn's parent process with four differences.

    It holds the listening socket, so that what arrives while a dead worker is replaced waits in it; but when
    it stops, it lets go of it: nobody would answer what is accepted after the workers have closed theirs.

    While it stops, a second SIGTERM reaches the workers too. A worker that has not ended `grace_s` after the
    first is killed.

    What a dead worker said of itself alone, such as its revision, is no longer shown.
    """

    def __init__(self, config: Config, grace_s: float) -> None:
        super().__init__(config, sockets=[config.bind_socket()])
        self._grace_s = grace_s
        self._at_once = False

    def serve(self) -> int:
        """Run until told to stop. Returns the exit code: 1 when a worker could not start."""
        self.run()
        return 1 if any(worker.exitcode == STARTUP_FAILURE for worker in self.processes) else 0

    def keep_subprocess_alive(self) -> None:
        """Replace the workers that have died."""
        before = {worker.pid for worker in self.processes}
        super().keep_subprocess_alive()
        for pid in before - {worker.pid for worker in self.processes}:
            mark_process_dead(pid)  # type: ignore[no-untyped-call]

    def handle_term(self) -> None:
        """SIGTERM: stop; the second one: at once."""
        self._at_once = self.should_exit.is_set()
        super().handle_term()

    def terminate_all(self) -> None:
        """Tell every worker to stop."""
        super().terminate_all()
        for listener in self.sockets:
            listener.close()

    def join_all(self) -> None:
        """Wait until every worker has ended."""
        give_up = time.monotonic() + self._grace_s + _LATE_S
        while running := [worker.process for worker in self.processes if worker.process.is_alive()]:
            connection.wait([process.sentinel for process in running], timeout=_POLL_S)
            self.handle_signals()
            if self._at_once:
                self._at_once = False
                for process in running:
                    process.terminate()
            if time.monotonic() > give_up:
                for process in running:
                    log.error("worker %s has not stopped in time and is killed", process.pid)
                    process.kill()
                break
        super().join_all()


def end_with_parent() -> None:
    """Have this worker stop when its parent is gone, however it went: nobody else would end it.

    Called in the worker's event loop; does nothing in a process that is no worker.
    """
    parent = parent_process()
    if parent is None:
        return
    loop = asyncio.get_running_loop()

    def orphaned() -> None:
        loop.remove_reader(parent.sentinel)
        log.error("the parent process is gone: stopping")
        signal.raise_signal(signal.SIGTERM)

    loop.add_reader(parent.sentinel, orphaned)
