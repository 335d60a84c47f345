"""Everything that is killed: a router of two workers, both Redis, a controller that records."""

from __future__ import annotations

import os
import sys

from ekiben.control.recording.files import EventFiles
from ekiben.state.streams.blocks import EVENTS_STREAM, OUTCOMES_STREAM
from tests.ports import free_port
from tests.proofs.faults.processes import Process, http_get
from tests.proofs.faults.station import Station


class KillsStation(Station):
    """A station with a controller. Services are not killed: `make faults` does that."""

    def __init__(self) -> None:
        super().__init__()
        self.events = self.folder / "events"
        port = free_port()
        self.controller = Process(
            "controller",
            [sys.executable, "-m", "ekiben.control"],
            self.logs,
            lambda: http_get(f"http://127.0.0.1:{port}/readyz") == 200,
            {
                **self.router_environment,
                "EKIBEN_CONTROLLER_PORT": str(port),
                "EKIBEN_EVENTS_URL": str(self.events),
                "EKIBEN_RECORD_EVERY_S": "1",
                "EKIBEN_ANALYSE_EVERY_S": "20",
                "EKIBEN_ADMIN_TOKEN": "the-token-of-the-kills",
            },
        )

    @property
    def files(self) -> EventFiles:
        """What the controller has recorded."""
        return EventFiles(str(self.events), {})

    @property
    def everything(self) -> list[Process]:
        """All processes, in the order in which they start."""
        return [*super().everything, self.controller]

    def recorded(self) -> bool:
        """Whether the streams are empty: what was in them is in files."""
        with self.state.client() as client:
            return not any(int(client.xlen(stream)) for stream in (EVENTS_STREAM, OUTCOMES_STREAM))

    def _environment(self) -> dict[str, str]:
        # The controller reads the same salt.
        self.router_environment = super()._environment()
        return self.router_environment


def kill_pid(pid: int) -> None:
    """SIGKILL; somebody who is gone already does not mind."""
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        pass
