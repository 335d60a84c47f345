"""Large blocks go back to the system, in a process of their own: what this one holds would hide it."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROGRAM = """
from pathlib import Path
from process.heap import map_large_blocks

def pages():
    return int(Path("/proc/self/statm").read_text().split()[1])

{call}
bytes(20_000_000)
before = pages()
large, small = [], []
for _ in range(40):
    large.append(bytearray(b"x") * 1_000_000)
    small.append(bytes(2_000))
full = pages()
large.clear()
print((full - before) * 4096, (pages() - before) * 4096)
"""


def held(call: str) -> tuple[int, int]:
    """The bytes that 40 blocks of 1 MB take, and those that stay when they are given up."""
    program = PROGRAM.format(call=call)
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    full, left = ran.stdout.split()
    return int(full), int(left)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps large blocks")
def test_what_large_blocks_took_goes_back_to_the_system() -> None:
    for call, most in (("map_large_blocks()", 2_000_000), ("pass", 100_000_000)):
        full, left = held(call)
        assert full >= 40_000_000
        assert left < most, call
    assert left > 20_000_000, "glibc gives them back by itself now: the call can go"
