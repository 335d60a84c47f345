"""What the benchmarks do around their work."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

from loadtests.bench.errors import BenchError

R = TypeVar("R")


def run_until_signal(name: str, work: Coroutine[Any, Any, R]) -> R:
    """Run it in a clean environment; SIGTERM and SIGHUP end it as Ctrl-C does, with every child.

    Exits with 1 and a line after `name` on BenchError, with 130 when it was interrupted.
    """
    clean_environment()

    async def main() -> R:
        task = asyncio.current_task()
        assert task is not None
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        return await work

    try:
        return asyncio.run(main())
    except BenchError as error:
        sys.exit(f"{name}: {error}")
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(130)


def clean_environment() -> None:
    """What is measured has settings of its own, whatever the shell says."""
    for name in list(os.environ):
        if name.startswith("EKIBEN_") or name == "REDIS_URL":
            del os.environ[name]
