"""A file that people and programs write while we read it: taken when it has been left alone for a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SETTLE_S: Final = 2.0
"""A file that has not changed for so long, by time and size, is taken for whole."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A file's content, and for how long it has been as it is, in seconds."""

    content: bytes
    steady_s: float


class WatchedFile:
    """Looks at one file. `clock` is monotonic, `wall` seconds since 1970 as file times are."""

    def __init__(
        self,
        path: Path,
        most_bytes: int,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.path = path
        self._most_bytes = most_bytes
        self._clock = clock
        self._wall = wall
        self._stamp: tuple[int, int, int] | None = None
        self._since = 0.0
        self._content = b""
        self._looked = False

    def look(self) -> Seen | None:
        """The file as it is now, None without one. Blocks. Raises `OSError` for one that cannot be read.

        At the first look its age is that of its modification; afterwards only what was seen counts, since the
        clock of a file server is another's.
        """
        try:
            found = self.path.stat()
            stamp = found.st_mtime_ns, found.st_size, found.st_ino
            if stamp != self._stamp:
                with self.path.open("rb") as file:
                    self._content = file.read(self._most_bytes + 1)
        except FileNotFoundError:
            self._stamp, self._looked = None, True
            return None
        now = self._clock()
        if stamp != self._stamp:
            age_s = 0.0 if self._looked else max(0.0, self._wall() - stamp[0] / 1e9)
            self._stamp, self._since = stamp, now - age_s
        self._looked = True
        return Seen(self._content, now - self._since)
