"""Ports that tests can rely on, however many runs there are on one machine."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from tests.ports import free_port
from tests.processes import ROOT

EACH = 200
TAKES = (
    f"from tests.ports import free_port; print(*(free_port() for _ in range({EACH})), flush=True); input()"
)


def test_no_port_is_handed_out_twice_however_many_processes_ask() -> None:
    with ExitStack() as stack:
        others = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", TAKES], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
                )
            )
            for _ in range(3)
        ]
        ports = [free_port() for _ in range(EACH)]
        for other in others:
            assert other.stdout is not None
            ports += map(int, other.stdout.readline().split())
        assert len(set(ports)) == len(ports) == 4 * EACH
        for other in others:
            other.communicate(b"\n")


def test_no_connection_is_given_a_port_that_was_handed_out() -> None:
    first, _ = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    assert 1024 <= free_port() < int(first)
