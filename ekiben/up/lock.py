"""One `ekiben up` in a data directory at a time."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ekiben.process.private import private_folder, private_opener
from ekiben.terminal.errors import EkibenError

CLEAN_UP_S = 10.0


@contextmanager
def locked(data_dir: Path) -> Iterator[IO[bytes]]:
    """Hold the directory's lock. Raises EkibenError, with the holder's pid, when another holds it.

    A process that inherits the file goes on holding the lock.
    """
    try:
        private_folder(data_dir)
        file = open(data_dir / "lock", "a+b", opener=private_opener)  # noqa: SIM115 - closed below
    except OSError as error:
        raise EkibenError(
            f"cannot write to {data_dir} ({error.strerror}): fix that, or name another with EKIBEN_DATA_DIR"
        ) from None
    with file:
        deadline = time.monotonic() + CLEAN_UP_S
        while not _taken(file):
            file.seek(0)
            holder = file.read(20).decode("ascii", "replace").strip()
            # One that was killed leaves the lock to its guard for a moment.
            if _runs(holder) or time.monotonic() > deadline:
                raise EkibenError(
                    f"`ekiben up` already runs in {data_dir} (process {holder or 'unknown'}): end it first, "
                    "or use another folder (EKIBEN_DATA_DIR) and other ports"
                )
            time.sleep(0.05)
        file.truncate(0)
        file.write(f"{os.getpid()}\n".encode())
        file.flush()
        yield file


def forget_everything(data_dir: Path) -> None:
    """Remove what earlier runs left in a data directory that is locked: Redis's data, copies, events, tokens.

    The lock itself and the logs stay.
    """
    for path in data_dir.iterdir():
        if path.name in ("lock", "logs"):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _taken(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _runs(pid: str) -> bool:
    if not pid.isdigit():
        return True  # it has the lock, and is about to write its number
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True
