"""Large blocks of memory, which go back to the system when they are given up."""

from __future__ import annotations

import contextlib
import ctypes
from typing import Final

# glibc's number of the setting, and the size in bytes from which a block is mapped by itself.
_M_MMAP_THRESHOLD: Final = -3
_LARGE_BYTES: Final = 256 * 1024


def map_large_blocks() -> None:
    """Have every block of 256 KiB and more mapped by itself, from now on.

    Left alone, glibc maps none of up to 32 MiB once one of that size has been given up: large bodies then
    leave holes between each other, which stay with the process. Other C libraries have no such setting, and
    nothing is changed there.

    Source: mallopt(3), M_MMAP_THRESHOLD.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
