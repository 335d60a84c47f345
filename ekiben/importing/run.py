"""`ekiben outcomes import`: outcomes that come late, from a file, each once however often it is imported."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from ekiben.importing.files import Line, open_outcomes
from ekiben.importing.rows import NO_VALUE, Columns, read_row
from ekiben.importing.sender import MAX_BYTES, MAX_OUTCOMES, Numbered, OutcomeSender
from ekiben.importing.summary import Imported
from ekiben.process.printable import printable
from ekiben.terminal.errors import EkibenError

SHOWN: Final = 20


class BadLines:
    """Lines that were not imported: up to 20 on the screen, with more of them all in a file."""

    def __init__(self, console: Console, path: Path) -> None:
        self.count = 0
        self.path = path.with_name(path.name + ".rejected")
        self.path.unlink(missing_ok=True)  # an earlier import's
        self._console = console
        self._first: list[str] = []
        self._file: IO[str] | None = None

    def add(self, number: int, why: str) -> None:
        """A line and what is wrong with it."""
        self.count += 1
        line = printable(f"line {number}: {why}")
        if self.count <= SHOWN:
            self._first.append(line)
            self._console.print(line, soft_wrap=True)
            return
        try:
            if self._file is None:
                self._file = self.path.open("w", encoding="utf-8", errors="backslashreplace")
                self._file.writelines(f"{each}\n" for each in self._first)
            self._file.write(f"{line}\n")
        except OSError as error:
            raise EkibenError(f"cannot write the bad lines to {self.path}: {error.strerror}") from None

    def close(self) -> None:
        """Close the file, where there was need of one."""
        if self._file is not None:
            self._file.close()


def import_outcomes(console: Console, path: Path, columns: Columns, sender: OutcomeSender | None) -> Imported:
    """Import a file and print what became of it; without a sender it is only read.

    Raises UsageError when the file cannot be read at all, EkibenError when the router does not take it.
    """
    found = Imported()
    shown = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(contextlib.closing(open_outcomes(path)))
        lines = file.lines(columns.used(file.columns))
        bad = stack.enter_context(contextlib.closing(BadLines(console, path)))
        progress = stack.enter_context(Progress(*shown, console=console))
        task = progress.add_task(f"importing {path.name}", total=max(file.size, 1))
        try:
            for batch in _batches(_good(lines, columns, bad, found)):
                if sender is not None:
                    sender.send(batch, bad.add)
                described = f"importing {path.name}, {found.lines:,} lines"
                progress.update(task, completed=file.done, description=described)
        finally:
            found.bad = bad.count
            found.accepted = sender.accepted if sender is not None else 0
            progress.stop()
            for line in found.report(columns, dry_run=sender is None):
                console.print(line, soft_wrap=True, markup=False)
            if found.bad:
                where = f"; all of them are in {bad.path}" if found.bad > SHOWN else ""
                console.print(f"lines that were not imported: {found.bad:,}{where}")
    return found


def _good(lines: Iterable[Line], columns: Columns, bad: BadLines, found: Imported) -> Iterator[Numbered]:
    """The outcomes of the good lines. All lines are counted, and the bad ones reported."""
    now = time.time()
    for line in lines:
        found.lines += 1
        outcome, wrong = ({}, line.wrong) if line.wrong else read_row(line.row, columns, now)
        if wrong == NO_VALUE:
            found.without_value += 1
        elif wrong:
            bad.add(line.number, wrong)
        else:
            found.add(line.row[columns.value], outcome, bool(line.row.get(columns.id)))
            yield line.number, outcome


def _batches(outcomes: Iterable[Numbered]) -> Iterator[list[Numbered]]:
    """As many at a time as the router takes; the last batch may be empty."""
    batch: list[Numbered] = []
    room = MAX_BYTES
    for number, outcome in outcomes:
        size = len(json.dumps(outcome, ensure_ascii=False).encode()) + 2
        if batch and (len(batch) >= MAX_OUTCOMES or size > room):
            yield batch
            batch, room = [], MAX_BYTES
        batch.append((number, outcome))
        room -= size
    yield batch
