"""Tables in a DuckDB file on this machine's own disk, and what is known of them.

The file is never the only copy of anything: without it, or with one that cannot be read, the tables are
computed from the events again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from ekiben.control.analysis.aggregates.ledger import Held
from ekiben.control.analysis.tables import DuckDBTables, Table, statement
from ekiben.control.recording.files import EventFiles
from ekiben.process.private import private_folder


class Standing(msgspec.Struct):
    """What the tables stand on, and the few sums that need no table."""

    definition: str = ""
    held: dict[str, list[Held]] = {}  # by kind
    exposed_since: float | None = None  # when the phase's first exposure was received
    answers: list[dict[str, Any]] = []
    started_at: float | None = None  # by which outcomes were taken in
    received: int = 0
    by_name: list[dict[str, Any]] = []


class KeptTables(DuckDBTables):
    """An engine whose tables stay. What was changed is there for good once `commit` has returned."""

    def __init__(self, files: EventFiles, path: Path) -> None:
        """Raises `duckdb.Error` for a file that it cannot read."""
        private_folder(path.parent)
        super().__init__(files, str(path))
        self._duckdb.begin()
        self._names = {
            row[0] for row in self._duckdb.execute("SELECT table_name FROM duckdb_tables()").fetchall()
        }
        self.standing = Standing()
        if "standing" in self._names:
            ((text,),) = self._duckdb.execute("SELECT text FROM standing").fetchall()
            self.standing = msgspec.json.decode(text, type=Standing)

    def commit(self) -> None:
        """Make what was changed stay."""
        self._duckdb.execute("CREATE OR REPLACE TABLE standing (text VARCHAR)")
        self._duckdb.execute("INSERT INTO standing VALUES (?)", [msgspec.json.encode(self.standing).decode()])
        self._duckdb.commit()
        self._duckdb.begin()

    def has(self, name: str) -> bool:
        """Whether there is a table of that name."""
        return name in self._names

    def table(self, name: str) -> Table:
        """A table that is kept."""
        return self._named(name)

    def of_values(self, **columns: list[Any]) -> Table:
        """A small table of these columns, for as long as this is open."""
        name = f"values_{next(self._count)}"
        self._duckdb.register(name, pa.table(columns))
        return self._named(name)

    def add(self, name: str, rows: Table) -> None:
        """Add rows to a table, made when there is none."""
        begin = f'INSERT INTO "{name}" BY NAME' if self.has(name) else f'CREATE TABLE "{name}" AS'
        self._duckdb.execute(f"{begin} {statement(rows)}")
        self._names.add(name)

    def remove(self, name: str, of: Table, column: str = "user_hash") -> None:
        """Remove the rows of a table that one of those of `of`, which is kept, has in a column."""
        theirs = f'"{column}" IN (SELECT "{column}" FROM "{of.get_name()}")'  # noqa: S608 - ours
        self._duckdb.execute(f'DELETE FROM "{name}" WHERE {theirs}')  # noqa: S608

    def forget(self, *names: str) -> None:
        """Remove tables, where they are."""
        for name in self._names.intersection(names):
            self._duckdb.execute(f'DROP TABLE "{name}"')
            self._names.remove(name)
