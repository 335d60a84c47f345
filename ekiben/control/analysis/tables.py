"""Event files as tables of Ibis: the one place that knows which engine computes.

The analysis is written in Ibis expressions over an `EventTables`; `DuckDBTables` computes them here, in this
process, on two threads. Another engine (a warehouse, Spark) is another `EventTables`: tests/control/analysis
has one for PySpark. Aggregates leave the engine, never rows.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any, Final, Protocol, Self

import duckdb
import ibis
import pyarrow as pa
import pyarrow.dataset as pads
from ibis.backends.sql.compilers.duckdb import compiler

from ekiben.control.recording.files import EventFiles, Readable
from ekiben.control.recording.schemas import FORMER, SCHEMAS

Table = Any
"""An Ibis table: Ibis has no types for mypy."""

THREADS: Final = 2
MEMORY_MB: Final = 1500


class EventTables(Protocol):
    """All events, as the analysis needs them. The columns are those of `recording.schemas.SCHEMAS`.

    Only outcomes may repeat an `event_id` (`outcomes.counted` keeps the first).
    """

    def of(self, kind: str) -> Table:
        """The events of a kind of `ekiben.state.streams.events.KINDS`."""
        ...

    def keep(self, expression: Table) -> Table:
        """Compute a table now and keep it in the engine for expressions to come."""
        ...

    def drop(self, kept: Table) -> None:
        """Let go of what `keep` returned."""
        ...

    def rows(self, expression: Table) -> list[dict[str, Any]]:
        """Compute an aggregate and fetch it."""
        ...


class DuckDBTables(AbstractContextManager["DuckDBTables"]):
    """Event files read by a DuckDB of its own. A context manager; use it from one thread at a time.

    What it reads may be merged away meanwhile: an `OSError` or `duckdb.IOException` then says so, and new
    tables see what is there now.
    """

    def __init__(self, files: EventFiles, database: str = ":memory:") -> None:
        """`database` is a file for tables that are to stay. Raises `duckdb.Error` for one of another kind."""
        self._files = files
        self._spill = tempfile.mkdtemp(prefix="ekiben-analysis-")
        self._duckdb = duckdb.connect(
            database,
            config={
                "threads": THREADS,
                "memory_limit": f"{MEMORY_MB}MB",
                "temp_directory": self._spill,
                "preserve_insertion_order": False,
                # Nothing is ever fetched from elsewhere.
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            },
        )
        self._ibis = ibis.duckdb.from_connection(self._duckdb)
        self._count = itertools.count()
        self._tables: dict[str, Table] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        """Free the memory, and the disk where some was spilled."""
        self._duckdb.close()
        shutil.rmtree(self._spill, ignore_errors=True)

    def of(self, kind: str) -> Table:
        """The events of a kind, as its files were when it was asked for first."""
        if kind not in self._tables:
            self._tables[kind] = self._open(kind, self._files.readable(kind))
        return self._tables[kind]

    def keep(self, expression: Table) -> Table:
        """Compute a table now and keep it in memory."""
        name = f"kept_{next(self._count)}"
        # Not Ibis's create_table: version 12 writes a statement there that DuckDB 2 does not read.
        self._duckdb.execute(f"CREATE TEMP TABLE {name} AS {statement(expression)}")
        return ibis.table(expression.schema(), name=name)

    def drop(self, kept: Table) -> None:
        """Free the memory of what `keep` returned."""
        self._duckdb.execute(f"DROP TABLE {kept.get_name()}")

    def rows(self, expression: Table) -> list[dict[str, Any]]:
        """Compute an aggregate and fetch it."""
        found = self._duckdb.execute(statement(expression))
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def _open(self, kind: str, readable: Readable) -> Table:
        parts = []
        if readable.clean:
            parts.append(self.read(kind, readable.clean))
        if readable.overlapping:
            parts.append(each_once(self.read(kind, readable.overlapping)))
        return ibis.union(*parts) if len(parts) > 1 else parts[0] if parts else self.read(kind, [])

    def read(self, kind: str, paths: Sequence[str]) -> Table:
        """The events of these files, of one kind."""
        name = f"{kind}_{next(self._count)}"
        if not paths:
            self._duckdb.register(name, SCHEMAS[kind].empty_table())
            return self._named(name)
        if self._files.local:
            self._ibis.read_parquet(list(paths), table_name=name, hive_partitioning=False, union_by_name=True)
            return as_of_today(kind, self._named(name))
        # DuckDB's own reader of object stores is an extension that is fetched from elsewhere.
        schema = pa.unify_schemas([SCHEMAS[kind], FORMER.get(kind, pa.schema([]))])
        held = pads.dataset(list(paths), filesystem=self._files.filesystem, schema=schema, format="parquet")
        self._duckdb.register(name, held)
        return as_of_today(kind, self._named(name))

    def _named(self, name: str) -> Table:
        """A table of the engine's, known by its name and columns alone (`statement`)."""
        return ibis.table(self._ibis.get_schema(name), name=name)


def statement(expression: Table) -> str:
    """The DuckDB statement that computes a table of named ones."""
    return _statement(expression.op())


@lru_cache(maxsize=1024)
def _statement(op: Any) -> str:
    """What Ibis' own `to_sql` returns, not laid out for people. It takes 20 ms, and reports ask the same
    again and again: tables are told apart by their names and columns alone.
    """
    return str(compiler.to_sqlglot(op.to_expr()).sql("duckdb"))


def as_of_today(kind: str, held: Table) -> Table:
    """The columns of `SCHEMAS` and no others, of files of whatever releases: a column that they lack is null,
    and what 30e8d9b had in a column of another name is in its own."""
    columns = {
        name: held[name] if name in held.columns else ibis.null(of_type)
        for name, of_type in ibis.Schema.from_pyarrow(SCHEMAS[kind]).items()
    }
    if kind == "shadow" and "name" in held.columns:
        columns |= {
            "agreed": ibis.coalesce(columns["agreed"], held.result == "agreed"),
            "against": ibis.coalesce(columns["against"], held.name),
            "against_score": ibis.coalesce(columns["against_score"], held.value),
            "against_latency_ms": ibis.coalesce(columns["against_latency_ms"], held.status / 1000),
        }
    return held.select(**columns)


def each_once(events: Table) -> Table:
    """The first received row of each `event_id`."""
    return in_order(events).filter(lambda t: t.place == 0).drop("place")


def in_order(events: Table) -> Table:
    """The events with `place`, from 0: which of those with its `event_id` each was received as.

    Of events received in one block the columns decide which comes first, so that every look agrees.
    """
    order = ("received_at", "at", "name", "prediction_id", "user_hash", "value")
    held = [events[column] for column in order if column in events.columns]
    place = ibis.row_number().over(group_by="event_id", order_by=held)
    return events.mutate(place=place)
