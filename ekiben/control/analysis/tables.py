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
from types import TracebackType
from typing import Any, Final, Protocol, Self

import duckdb
import ibis
import pyarrow.dataset as pads

from ekiben.control.recording.files import SCHEMA, EventFiles, Readable

Table = Any
"""An Ibis table: Ibis has no types for mypy."""

THREADS: Final = 2
MEMORY_MB: Final = 1500


class EventTables(Protocol):
    """All events, as the analysis needs them. The columns are `event_files.SCHEMA`'s.

    Exposures and shadows are there once each; outcomes may repeat an `event_id` (`outcomes.counted` keeps the
    first).
    """

    @property
    def exposures(self) -> Table: ...

    @property
    def shadows(self) -> Table: ...

    @property
    def outcomes(self) -> Table: ...

    def keep(self, expression: Table) -> Table:
        """Compute a table now and keep it in the engine for expressions to come."""
        ...

    def drop(self, kept: Table) -> None:
        """Let go of what `keep` returned."""
        ...

    def rows(self, expression: Table) -> list[dict[str, Any]]:
        """Compute an aggregate and fetch it."""
        ...


class DuckDBTables:
    """Event files read by a DuckDB of its own. A context manager; use it from one thread at a time.

    What it reads may be merged away meanwhile: an `OSError` or `duckdb.IOException` then says so, and new
    tables see what is there now.
    """

    def __init__(self, files: EventFiles, *, threads: int = THREADS, memory_mb: int = MEMORY_MB) -> None:
        self._files = files
        self._spill = tempfile.mkdtemp(prefix="ekiben-analysis-")
        self._duckdb = duckdb.connect(
            config={
                "threads": threads,
                "memory_limit": f"{memory_mb}MB",
                "temp_directory": self._spill,
                "preserve_insertion_order": False,
                # Nothing is ever fetched from elsewhere.
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            }
        )
        self._ibis = ibis.duckdb.from_connection(self._duckdb)
        self._count = itertools.count()
        self._tables: dict[str, Table] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the memory, and the disk where some was spilled."""
        self._duckdb.close()
        shutil.rmtree(self._spill, ignore_errors=True)

    @property
    def exposures(self) -> Table:
        """What was served to whoever was assigned."""
        return self._table("exposure")

    @property
    def shadows(self) -> Table:
        """Comparisons with shadow versions."""
        return self._table("shadow")

    @property
    def outcomes(self) -> Table:
        """What happened afterwards."""
        return self._table("outcome")

    def keep(self, expression: Table) -> Table:
        """Compute a table now and keep it in memory."""
        name = f"kept_{next(self._count)}"
        # Not Ibis's create_table: version 12 writes a statement there that DuckDB 2 does not read.
        self._duckdb.execute(f"CREATE TEMP TABLE {name} AS {ibis.to_sql(expression, dialect='duckdb')}")
        return self._ibis.table(name)

    def drop(self, kept: Table) -> None:
        """Free the memory of what `keep` returned."""
        self._duckdb.execute(f"DROP TABLE {kept.get_name()}")

    def rows(self, expression: Table) -> list[dict[str, Any]]:
        """Compute an aggregate and fetch it."""
        found = self._duckdb.execute(ibis.to_sql(expression, dialect="duckdb"))
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def _table(self, kind: str) -> Table:
        if kind not in self._tables:
            self._tables[kind] = self._open(kind, self._files.readable(kind))
        return self._tables[kind]

    def _open(self, kind: str, readable: Readable) -> Table:
        parts = []
        if readable.clean:
            parts.append(self._read(f"{kind}_clean", readable.clean))
        if readable.overlapping:
            parts.append(each_once(self._read(f"{kind}_overlapping", readable.overlapping)))
        if not parts:
            self._duckdb.register(f"{kind}_none", SCHEMA.empty_table())
            parts.append(self._ibis.table(f"{kind}_none"))
        return ibis.union(*parts) if len(parts) > 1 else parts[0]

    def _read(self, name: str, paths: Sequence[str]) -> Table:
        if self._files.local:
            return self._ibis.read_parquet(list(paths), table_name=name, hive_partitioning=False)
        # DuckDB's own reader of object stores is an extension that is fetched from elsewhere.
        self._duckdb.register(
            name,
            pads.dataset(list(paths), filesystem=self._files.filesystem, schema=SCHEMA, format="parquet"),
        )
        return self._ibis.table(name)


def each_once(events: Table) -> Table:
    """The first received row of each `event_id`."""
    return in_order(events).filter(lambda t: t.place == 0).drop("place")


def in_order(events: Table) -> Table:
    """The events with `place`, from 0: which of those with its `event_id` each was received as.

    Of events received in one block the columns decide which comes first, so that every look agrees.
    """
    order = ("received_at", "at", "name", "prediction_id", "user_hash", "value")
    place = ibis.row_number().over(group_by="event_id", order_by=[events[column] for column in order])
    return events.mutate(place=place)
