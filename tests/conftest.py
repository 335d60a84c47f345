"""For all tests: where `make test` runs them in several processes, each has a network of its own."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct

import pytest

_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1


def pytest_configure(config: pytest.Config) -> None:
    """Give a process of pytest-xdist its own loopback: servers of different files have the same ports."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        raise pytest.UsageError(f"no network of its own: {os.strerror(ctypes.get_errno())}; leave out -n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh", b"lo", _IFF_UP))
