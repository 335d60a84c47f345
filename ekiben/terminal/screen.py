"""The console that commands print to, and how long work shows that it goes on."""

from __future__ import annotations

from typing import Self

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

from ekiben.process.printable import printable

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
        for segment in console.render(self._inner, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


class Steps:
    """Lines with a spinner that turn into ticks: what is being started, and how long it took. They are shown
    for as long as its `with` block runs.
    """

    def __init__(self, console: Console) -> None:
        spinner = "line" if console.options.ascii_only else "dots"
        self._progress = Progress(
            SpinnerColumn(spinner, finished_text="✓"),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._tasks:  # stopping prints a line, where nothing was shown too
            self._progress.stop()

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


def bar(console: Console) -> Progress:
    """A bar for each thing that is counted, shown within a `with`."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)
