"""One `ekiben up` in a data directory at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ekiben.errors import EkibenError


@contextmanager
def locked(data_dir: Path) -> Iterator[IO[bytes]]:
    """Hold the directory's lock. Raises EkibenError, with the holder's pid, when another holds it.

    A process that inherits the file goes on holding the lock.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        file = (data_dir / "lock").open("a+b")
    except OSError as error:
        raise EkibenError(
            f"cannot write to {data_dir} ({error.strerror}): mend that, or name another with EKIBEN_DATA_DIR"
        ) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read(20).decode("ascii", "replace").strip()
            raise EkibenError(
                f"`ekiben up` already runs in {data_dir} (process {holder or 'unknown'}): end it first, "
                "or use another folder (EKIBEN_DATA_DIR) and other ports"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n".encode())
        file.flush()
        yield file
