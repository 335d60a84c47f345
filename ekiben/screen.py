"""The console that commands print to, and what `ekiben up` shows while it works."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.segment import Segment

from ekiben.launch import Service
from process.printable import printable

# A console of a fixed width where nobody looks: a table cut to 80 columns in a log helps nobody.
PLAIN_WIDTH = 140


def screen() -> Console:
    """Standard output, for text and tables of any origin."""
    # No markup: what is printed comes from files and answers, and may hold brackets.
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, emoji=False, width=PLAIN_WIDTH)
    console.push_render_hook(_Printable())
    return console


class _Printable(RenderHook):
    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_PrintableOf(each) for each in renderables]


class _PrintableOf:
    """What `inner` prints: its own cursor movements, and text that holds none."""

    def __init__(self, inner: ConsoleRenderable) -> None:
        self._inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        segments: Iterable[Segment] = console.render(self._inner, options)
        for segment in segments:
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


class Steps:
    """Lines with a spinner that turn into ticks: what is being started, and how long it took."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def begin(self, name: str, what: str) -> None:
        """Show that something is under way."""
        self._progress.start()
        self._tasks[name] = self._progress.add_task(what, total=1)

    def done(self, name: str) -> None:
        """Tick it off."""
        self._progress.update(self._tasks[name], completed=1)

    def failed(self, name: str) -> None:
        """Show that it did not work, and go on with the others."""
        task = self._tasks[name]
        self._progress.update(task, description=f"{self._progress.tasks[task].description}: failed")
        self._progress.stop_task(task)


@contextmanager
def steps(console: Console) -> Iterator[Steps]:
    """Show steps for as long as the block runs."""
    spinner = "line" if console.options.ascii_only else "dots"
    columns = (
        SpinnerColumn(spinner, finished_text="✓"),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    progress = Progress(*columns, console=console)
    shown = Steps(progress)
    try:
        yield shown
    finally:
        if progress.tasks:  # stopping prints a line, where nothing was shown too
            progress.stop()


@contextmanager
def bar(console: Console, what: str, total: int) -> Iterator[Progress]:
    """Show a progress bar of one task, number 0."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        progress.add_task(what, total=total)
        yield progress


def show_addresses(
    console: Console,
    router_url: str,
    controller_url: str | None,
    services: Sequence[Service],
    elsewhere: Sequence[str],
    token_file: Path | None,
) -> None:
    """Print what can be opened in a browser, and on a terminal (a file would keep it) the token to log in."""
    lines = [
        *([("dashboard", f"{controller_url}/")] if controller_url else []),
        *([("admin token", _shown_token(console, token_file))] if token_file else []),
        ("router", f"{router_url}/docs  {router_url}/metrics  {router_url}/healthz"),
        *((f"{each.model} {each.version}", each.url) for each in services),
        *(("elsewhere", f"{endpoint} (taken as running)") for endpoint in elsewhere),
    ]
    width = max(len(name) for name, _ in lines)
    console.print("\nOpen")
    for name, text in lines:
        console.print(f"  {name.ljust(width)}  {text}", soft_wrap=True, markup=False)


def show_absent(console: Console, absent: Mapping[str, str]) -> None:
    """Print which services are not started, a line each that says why."""
    if absent:
        console.print("\nNot started, everything else is")
        for why in absent.values():
            console.print(f"  {why}", soft_wrap=True, markup=False)


def _shown_token(console: Console, file: Path) -> str:
    return f"{file.read_text().strip()} (in {file})" if console.is_terminal else f"in {file}"


def show_curl(console: Console, router_url: str, model: str, features: Mapping[str, Any]) -> None:
    """Print a request that can be copied into a shell."""
    body = json.dumps({"user_id": "u-17", "features": features}, ensure_ascii=False)
    command = (
        f"curl -s {router_url}/predict/{model} -H 'Content-Type: application/json' -d {shlex.quote(body)}"
    )
    console.print("\nTry")
    console.print(f"  {command}", soft_wrap=True, markup=False)
