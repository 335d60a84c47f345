"""How a proof runs as a program: it can be ended, shows how far it is, and runs in part."""

from __future__ import annotations

import resource
import signal
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


class Stopped(BaseException):
    """SIGTERM: everything that was started is ended first. No proof may take it for a failure of its own."""


def run(main: Callable[[], int]) -> NoReturn:
    """Exit with what `main` returns, or with 130 when it was asked to end."""
    signal.signal(signal.SIGTERM, _stop)
    try:
        sys.exit(main())
    except (KeyboardInterrupt, Stopped):
        sys.exit(130)


def proof_progress(console: Console) -> Progress:
    """What is being done, how many of how many are done, and for how long."""
    return Progress(
        TextColumn("{task.description:60}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


def is_named(words: Sequence[str], text: str) -> bool:
    """Whether one of `words` is in `text`, or nothing in particular is asked for."""
    return not words or any(word in text for word in words)


def hold_many_connections() -> None:
    """As many open files as this process may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _stop(*_: object) -> None:
    raise Stopped
