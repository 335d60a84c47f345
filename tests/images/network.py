"""A network of the tests' own: a bridge on this machine, and an address on it for each container."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Final

_PREFIX: Final = "10.209.77"
HOST: Final = f"{_PREFIX}.1"
STATE: Final = f"{_PREFIX}.2"
"""This machine on the bridge has two addresses, since each Redis listens on the same port."""


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


class Network:
    """The bridge, and a network namespace for each address given out; a context manager that removes both."""

    def __init__(self) -> None:
        self.bridge = f"ekb{os.getpid() % 100_000}"
        self._namespaces: list[str] = []

    def __enter__(self) -> Network:
        # With an address of its own: else it has the lowest of its ports', another with each that joins.
        _ip("link", "add", self.bridge, "address", "02:00:0a:d1:4d:01", "type", "bridge")
        for address in (HOST, STATE):
            _ip("address", "add", f"{address}/24", "dev", self.bridge)
        _ip("link", "set", self.bridge, "up")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in self._namespaces:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", self.bridge], check=False, capture_output=True)

    def join(self) -> tuple[str, Path]:
        """A new address, and the network namespace that has it."""
        number = len(self._namespaces) + 10
        address, name = f"{_PREFIX}.{number}", f"{self.bridge}-{number}"
        inside, outside = f"i{number}-{os.getpid() % 100_000}", f"o{number}-{os.getpid() % 100_000}"
        self._namespaces.append(name)
        _ip("netns", "add", name)
        _ip("link", "add", outside, "type", "veth", "peer", "name", inside, "netns", name)
        _ip("link", "set", outside, "master", self.bridge, "up")
        _ip("-n", name, "address", "add", f"{address}/24", "dev", inside)
        for link in ("lo", inside):
            _ip("-n", name, "link", "set", link, "up")
        return address, Path("/run/netns") / name
