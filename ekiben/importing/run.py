"""`ekiben outcomes import`: outcomes that come late, from a file, each once however often it is imported."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from ekiben.importing.files import Line, OutcomeFile, open_outcomes
from ekiben.importing.rows import NO_VALUE, Columns, read_row
from ekiben.importing.sender import MAX_BYTES, MAX_OUTCOMES, OutcomeSender
from ekiben.importing.summary import Imported
from ekiben.process.printable import printable
from ekiben.terminal.errors import EkibenError

SHOWN: Final = 20


class BadLines:
    """Lines that were not imported: up to 20 on the screen, with more of them all in a file."""

    def __init__(self, console: Console, path: Path, word: str = "line") -> None:
        self.count = 0
        self.path = path.with_name(path.name + ".rejected")
        self._console = console
        self._word = word
        self._first: list[str] = []
        self._file: IO[str] | None = None

    def add(self, number: int, why: str) -> None:
        """A line and what is wrong with it."""
        self.count += 1
        line = printable(f"{self._word} {number}: {why}")
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

    def __enter__(self) -> Self:
        self.path.unlink(missing_ok=True)  # an earlier import's
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()


@dataclass(slots=True)
class _Batch:
    """Outcomes to be sent together, and the lines that they come from."""

    outcomes: list[dict[str, Any]] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    size: int = 0

    def add(self, number: int, outcome: dict[str, Any]) -> bool:
        """Take one more; false when there is no room for it."""
        size = len(json.dumps(outcome, ensure_ascii=False).encode()) + 2
        if self.outcomes and (len(self.outcomes) >= MAX_OUTCOMES or self.size + size > MAX_BYTES):
            return False
        self.outcomes.append(outcome)
        self.numbers.append(number)
        self.size += size
        return True


def import_outcomes(console: Console, path: Path, columns: Columns, sender: OutcomeSender | None) -> Imported:
    """Import a file and print what became of it; without a sender it is only read.

    Raises UsageError when the file cannot be read at all, EkibenError when the router does not take it.
    """
    with contextlib.closing(open_outcomes(path)) as file:
        lines = file.lines(columns.used(file.columns))
        return _import(console, path, file, lines, columns, sender)


def _import(
    console: Console,
    path: Path,
    file: OutcomeFile,
    lines: Iterator[Line],
    columns: Columns,
    sender: OutcomeSender | None,
) -> Imported:
    found = Imported()
    shown = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with BadLines(console, path) as bad, Progress(*shown, console=console) as progress:
        task = progress.add_task(f"importing {path.name}", total=max(file.size, 1))

        def step() -> None:
            described = f"importing {path.name}, {found.lines:,} lines"
            progress.update(task, completed=file.done, description=described)

        try:
            _run(lines, columns, sender, bad, found, step)
        finally:
            found.bad = bad.count
            found.accepted = sender.accepted if sender is not None else 0
            progress.stop()
            for line in found.told(columns, dry_run=sender is None):
                console.print(line, soft_wrap=True, markup=False)
            if found.bad:
                where = f"; all of them are in {bad.path}" if found.bad > SHOWN else ""
                console.print(f"{found.bad:,} lines were not imported{where}")
    return found


def _run(
    lines: Iterator[Line],
    columns: Columns,
    sender: OutcomeSender | None,
    bad: BadLines,
    found: Imported,
    step: Any,
) -> None:
    now = time.time()
    batch = _Batch()
    for line in lines:
        found.lines += 1
        outcome, wrong = ({}, line.wrong) if line.wrong else read_row(line.row, columns, now)
        if wrong == NO_VALUE:
            found.without_value += 1
            continue
        if wrong:
            bad.add(line.number, wrong)
            continue
        found.add(line.row[columns.value], outcome, bool(line.row.get(columns.id)))
        if not batch.add(line.number, outcome):
            _send(batch, sender, bad)
            step()
            batch = _Batch()
            batch.add(line.number, outcome)
    _send(batch, sender, bad)
    step()


def _send(batch: _Batch, sender: OutcomeSender | None, bad: BadLines) -> None:
    if sender is not None:
        sender.send(batch.outcomes, lambda place, why: bad.add(batch.numbers[place], why))
