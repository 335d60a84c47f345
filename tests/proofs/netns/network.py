"""Several hosts on one machine: network namespaces, each with an address, on one bridge.

Needs root and iproute2. What is cut loses packets without a word, as a pulled cable or a dead switch does:
connections stay open and nothing comes.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_PREFIX: Final = "ekiben"
_ETC: Final = Path("/etc/netns")
"""What lies here under a namespace's name is its /etc: ip netns exec puts it there."""
_NOBODY: Final = "02:00:00:00:ff:fe"  # a card that no host has


def why_not() -> str | None:
    """Why there can be no hosts here, or None."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "network namespaces need iproute2's ip"
    name = f"{_PREFIX}-{os.getpid()}-try"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        return f"no network namespace can be made here: {tried.stderr.strip()}"
    _ip("netns", "del", name)
    return None


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


class Host:
    """A namespace with one network card on the bridge."""

    def __init__(self, name: str, number: int, network: int) -> None:
        self.name = name
        self.address = f"198.18.{network}.{10 + number}"
        self.namespace = f"{_PREFIX}-{os.getpid()}-{name}"
        self.port = f"port{number}"
        """Where its cable ends at the bridge."""

    def names(self, names: Mapping[str, Sequence[str]]) -> None:
        """What this host resolves names to: from now on, also in programs that run there already."""
        # Written over and not replaced: what runs there has this very file mounted.
        (_ETC / self.namespace / "hosts").write_text(
            "".join(f"{each} {name}\n" for name, found in names.items() for each in found)
        )

    def inside(self, *command: str) -> list[str]:
        """The command that runs `command` on this host."""
        return ["ip", "netns", "exec", self.namespace, *command]


class Hosts:
    """The hosts of these names; a context manager that removes every trace of them. Raises `OSError`.

    This process is one more host, at `address`.
    """

    def __init__(self, names: Sequence[str]) -> None:
        # Addresses for measurements between networks (RFC 2544): nobody else uses them.
        self._network = os.getpid() % 250
        self._hub = f"{_PREFIX}-{os.getpid()}-hub"
        self._card = f"ek{os.getpid()}"
        self.address = f"198.18.{self._network}.1"
        self._hosts = {name: Host(name, number, self._network) for number, name in enumerate(names)}

    def __getitem__(self, name: str) -> Host:
        return self._hosts[name]

    def __enter__(self) -> Self:
        remove_what_dead_ones_left()
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _build(self) -> None:
        _ip("netns", "add", self._hub)
        _ip("-n", self._hub, "link", "add", "bridge", "type", "bridge")
        _ip("-n", self._hub, "link", "set", "bridge", "up")
        self._plug("port-here", self._card, str(os.getpid()))
        _ip("addr", "add", f"{self.address}/24", "dev", self._card)
        _ip("link", "set", self._card, "up")
        for host in self._hosts.values():
            _ip("netns", "add", host.namespace)
            etc = _ETC / host.namespace
            etc.mkdir(parents=True)
            (etc / "hosts").touch()
            (etc / "host.conf").write_text("multi on\n")  # every address of a name, and not the first
            self._plug(host.port, "card", host.namespace)
            _ip("-n", host.namespace, "addr", "add", f"{host.address}/24", "dev", "card")
            _ip("-n", host.namespace, "link", "set", "card", "up")
            _ip("-n", host.namespace, "link", "set", "lo", "up")

    def _plug(self, port: str, card: str, where: str) -> None:
        _ip("-n", self._hub, "link", "add", port, "type", "veth", "peer", "name", card, "netns", where)
        _ip("-n", self._hub, "link", "set", port, "master", "bridge", "up")

    def close(self) -> None:
        """Remove every namespace, and the card here. Whoever still ran inside one keeps running, alone."""
        for namespace in (self._hub, *(host.namespace for host in self._hosts.values())):
            _remove(namespace)
        with contextlib.suppress(OSError):
            _ip("link", "del", self._card)  # mostly gone already, with its other end

    @contextmanager
    def cut_off(self, name: str) -> Iterator[None]:
        """Inside the block nobody reaches the host, and it reaches nobody."""
        port = self._hosts[name].port
        _ip("-n", self._hub, "link", "set", port, "nomaster")
        try:
            yield
        finally:
            _ip("-n", self._hub, "link", "set", port, "master", "bridge")

    @contextmanager
    def parted(self, one: str, other: str) -> Iterator[None]:
        """Inside the block these two do not reach each other, and everybody else does."""
        ends = ((self._hosts[one], self._hosts[other]), (self._hosts[other], self._hosts[one]))
        try:
            for here, there in ends:
                way = (there.address, "lladdr", _NOBODY, "nud", "permanent", "dev", "card")
                _ip("-n", here.namespace, "neigh", "replace", *way)
            yield
        finally:
            for here, there in ends:
                _ip("-n", here.namespace, "neigh", "del", there.address, "dev", "card")

    def reaches(self, one: str, other: str, within_s: float = 5.0) -> bool:
        """Whether a connection to a closed port is refused, and not lost on its way."""
        code = (
            "import socket, sys\n"
            "try: socket.create_connection((sys.argv[1], 9), timeout=float(sys.argv[2]))\n"
            "except ConnectionRefusedError: sys.exit(0)\n"
            "except OSError: sys.exit(1)"
        )
        command = self._hosts[one].inside("python3", "-c", code, self._hosts[other].address, str(within_s))
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _remove(namespace: str) -> None:
    with contextlib.suppress(OSError):
        _ip("netns", "del", namespace)
    shutil.rmtree(_ETC / namespace, ignore_errors=True)


def left() -> list[str]:
    """The namespaces that runs of this have made and not removed, of whatever process."""
    return re.findall(rf"^{_PREFIX}-\d+-\S+", _ip("netns", "list"), re.MULTILINE)


def remove_what_dead_ones_left() -> None:
    """Remove the namespaces of processes that were killed before they could."""
    for namespace in left():
        pid = int(namespace.split("-")[1])
        if not Path(f"/proc/{pid}").exists():
            _remove(namespace)
