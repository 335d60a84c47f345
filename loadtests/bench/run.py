"""What both benchmarks do around their work."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

R = TypeVar("R")


def run_until_signal(work: Coroutine[Any, Any, R]) -> R:
    """Run it; SIGTERM and SIGHUP end it as Ctrl-C does, with every child."""

    async def main() -> R:
        task = asyncio.current_task()
        assert task is not None
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        return await work

    return asyncio.run(main())


def clean_environment() -> None:
    """What is measured has settings of its own, whatever the shell says."""
    for name in list(os.environ):
        if name.startswith("EKIBEN_") or name == "REDIS_URL":
            del os.environ[name]
