"""Ends what a killed `ekiben up` left behind: `python -m ekiben.up.guard MARK DATA_DIR TEMPORARY`.

Its standard input is a pipe from `ekiben up`. The kernel closes it however that process ends; when it closes
without the word "done" nobody else is left to clean up. The guard holds the data directory's lock (an
inherited file) until it has finished, so that the next `ekiben up` does not run into the remains.
"""

from __future__ import annotations

import shutil
import signal
import sys
import time
from pathlib import Path

from ekiben.state.embedded import remove_sockets
from ekiben.up.processes import POLL_S, kill_marked, marked, signal_all

GRACE_S = 2.0


def main() -> None:
    """Wait for the end of `ekiben up`, and clean up unless it did so itself."""
    mark, data_dir, temporary = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if sys.stdin.buffer.read().strip() == b"done":
        return
    pids = marked(mark)
    signal_all(pids, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_S
    while marked(mark) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    kill_marked(mark)
    remove_sockets(data_dir)
    shutil.rmtree(temporary, ignore_errors=True)


if __name__ == "__main__":
    main()
