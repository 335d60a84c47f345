"""Files that only their user can read: secrets, the ids of users in experiments, logs, events.

Two ways lead there. A process that writes nothing else (router, controller) calls `keep_private` first. One
that also writes files for others (`ekiben up` trains models) uses `private_folder` and `private_opener`.

A folder that belongs to another user, or that hands its group down (setgid), is a volume which its owner
shares on purpose, as Kubernetes does with `fsGroup`. Its mode is left alone, and its group may read what is
made in it.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

_ONLY_USER: Final = 0o077
_USER_AND_GROUP: Final = 0o007


def keep_private(folder: Path) -> None:
    """Make the data folder private, and every file that this process makes from now on.

    A folder that cannot be made is no error here: a process that writes nothing runs without one.
    """
    os.umask(_ONLY_USER)
    with contextlib.suppress(OSError):
        private_folder(folder)
        if _is_shared(folder.stat()):
            os.umask(_USER_AND_GROUP)


def private_folder(folder: Path) -> None:
    """Make a folder that only this user can enter, or make it so. Raises `OSError`."""
    if not folder.parent.exists():
        private_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    held = folder.stat()
    # A sticky folder is everybody's, such as /tmp.
    if held.st_mode & _ONLY_USER and not held.st_mode & stat.S_ISVTX and not _is_shared(held):
        with contextlib.suppress(OSError):  # a file system that is read-only, or has no modes
            folder.chmod(0o700)


def private_opener(path: str, flags: int) -> int:
    """An `opener` for `open`: the file is its user's alone, also when it was there before."""
    descriptor = os.open(path, flags, 0o600)
    with contextlib.suppress(PermissionError):  # another user's, who decides
        os.fchmod(descriptor, 0o600)
    return descriptor


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user can read, in a private folder. Raises `OSError`."""
    private_folder(path.parent)
    with open(path, "w", encoding="utf-8", opener=private_opener) as file:
        file.write(text)


def _is_shared(held: os.stat_result) -> bool:
    return held.st_uid != os.geteuid() or bool(held.st_mode & stat.S_ISGID)
