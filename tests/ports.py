"""Ports for what tests start. No port is handed out twice, not even to another run of the tests.

A port belongs to this process while it holds a lock on the port's file. The kernel releases the lock when the
process ends, however it ends. All ports are below the range from which the kernel serves outgoing connections
(32768 and up on Linux, 49152 and up elsewhere), so that no connection takes a port between the moment when it
is handed out and the moment when a server listens on it.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path
from typing import Final

_RANGE: Final = range(10_000, 32_768)
_LOCKS: Final = Path(tempfile.gettempdir()) / f"ekiben-test-ports-{os.getuid()}"
# In an order of this process's own, which no test influences by its seeds.
_untried = iter(random.Random().sample(_RANGE, len(_RANGE)))


def free_port() -> int:
    """A port of loopback on which nobody listens, reserved until this process ends."""
    _LOCKS.mkdir(exist_ok=True)
    for port in _untried:
        lock = os.open(_LOCKS / str(port), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:  # another run has it, or something that is not ours listens there
            os.close(lock)
        else:
            return port
    raise AssertionError("every port is taken")
