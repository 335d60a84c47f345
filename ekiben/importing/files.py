"""Files of outcomes, line by line: CSV in UTF-8, or Parquet."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ekiben.importing.rows import Row
from ekiben.terminal.errors import EkibenError, UsageError

_PARQUET: Final = b"PAR1"
_ROWS_AT_ONCE: Final = 10_000


@dataclass(frozen=True, slots=True)
class Line:
    """A line: its number in the file as an editor counts (of Parquet: the row's, from 1), its columns, and
    what is wrong with it as a line ("" for nothing)."""

    number: int
    row: Row
    wrong: str = ""


def open_outcomes(path: Path) -> _Csv | _Parquet:
    """The file, read up to its columns. Raises UsageError, EkibenError.

    Its `lines` gives the lines with the columns that are used: what is in the others cannot spoil them.
    `done` grows to `size` meanwhile.
    """
    try:
        with path.open("rb") as file:
            is_parquet = file.read(4) == _PARQUET
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    return _Parquet(path) if is_parquet else _Csv(path)


class _Csv:
    def __init__(self, path: Path) -> None:
        self.size = path.stat().st_size
        self.done = 0
        # Bytes that are no UTF-8 spoil their line, not the file.
        self._file = path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")
        self.close = self._file.close
        self._reader = csv.reader(self._lines())
        try:
            self.columns = [column.strip() for column in next(self._reader)]
        except (StopIteration, csv.Error) as error:
            self.close()
            why = f"no CSV: {error}" if isinstance(error, csv.Error) else "empty"
            raise UsageError(f"{path} is {why}") from None

    def _lines(self) -> Iterator[str]:
        for line in self._file:
            self.done += len(line)  # in characters: near enough for a bar
            yield line

    def lines(self, used: list[str]) -> Iterator[Line]:
        places = [(column, self.columns.index(column)) for column in used]
        while True:
            try:
                cells = next(self._reader)
            except StopIteration:
                self.done = self.size
                return
            except csv.Error as error:
                yield Line(self._reader.line_num, {}, f"no CSV: {error}")
                continue
            if cells:
                yield self._line(cells, places)

    def _line(self, cells: list[str], places: list[tuple[str, int]]) -> Line:
        number = self._reader.line_num
        if len(cells) != len(self.columns):
            return Line(number, {}, f"{len(cells)} fields, and the first line has {len(self.columns)}")
        row = {column: cells[place] for column, place in places}
        if any(not cell.isascii() and _is_broken(cell) for cell in row.values()):
            return Line(number, {}, "not UTF-8")
        return Line(number, row)


class _Parquet:
    def __init__(self, path: Path) -> None:
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError:
            raise UsageError(
                f"{path} is Parquet, which needs pyarrow: pip install 'ekiben[controller]', or give CSV"
            ) from None
        self._path = path
        self._broken: type[Exception] = pa.ArrowException
        try:
            self._file: Any = pq.ParquetFile(os.fspath(path))
        except (pa.ArrowException, OSError) as error:
            raise UsageError(f"cannot read {path}: {str(error).splitlines()[0]}") from None
        self.columns: list[str] = list(self._file.schema_arrow.names)
        self.size: int = self._file.metadata.num_rows
        self.done = 0
        self.close = self._file.close

    def lines(self, used: list[str]) -> Iterator[Line]:
        try:
            for batch in self._file.iter_batches(_ROWS_AT_ONCE, columns=used):
                for row in _rows(batch):
                    self.done += 1
                    yield Line(self.done, *row)
        except (self._broken, OSError) as error:
            raise EkibenError(
                f"cannot read {self._path} past row {self.done}: {str(error).splitlines()[0]}"
            ) from None


def _rows(batch: Any) -> Iterator[tuple[Row, str]]:
    """A batch's rows, each with what is wrong with it: a value that Python cannot hold spoils its row."""
    try:
        rows = batch.to_pylist()
    except (ValueError, OverflowError):  # such as a time beyond the year 9999
        for place in range(batch.num_rows):
            try:
                yield batch.slice(place, 1).to_pylist()[0], ""
            except (ValueError, OverflowError) as error:
                yield {}, f"a value that cannot be read: {str(error).splitlines()[0]}"
        return
    for row in rows:
        yield row, ""


def _is_broken(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in text)
