"""The columns of event files, and how files of several releases are read as one.

A file may lack columns that this release has, and have columns that it does not know. Read together, files
have the union of their columns, and a column that a file lacks is null there. What is written again (merged,
or without a user) keeps every column that it had.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping
from typing import Any, Final

import pyarrow as pa

from ekiben.state.streams.events import KINDS, Event

RECEIVED_AT: Final = "received_at"
"""When Redis took the block that an event came in: seconds since 1970. It rises along a stream."""

_TYPES: Final[Mapping[Any, Any]] = {
    str: pa.string(),
    float: pa.float64(),
    int: pa.int32(),
    bool: pa.bool_(),
    tuple[float, ...]: pa.list_(pa.field("element", pa.float32())),  # as Parquet calls it
}


def _type(hint: Any) -> Any:
    return _TYPES[hint if hint in _TYPES else typing.get_args(hint)[0]]  # the `str` of `str | None`


def _schema(struct: type[Event]) -> Any:
    fields = [pa.field(name, _type(hint)) for name, hint in typing.get_type_hints(struct).items()]
    return pa.schema([*fields, pa.field(RECEIVED_AT, pa.float64())])


SCHEMAS: Final[Mapping[str, Any]] = {kind: _schema(struct) for kind, struct in KINDS.items()}
"""The columns of each kind: the fields of its struct, and `received_at`."""
FORMER: Final[Mapping[str, Any]] = {
    "shadow": pa.schema(
        [("result", pa.string()), ("name", pa.string()), ("value", pa.float64()), ("status", pa.int32())]
    ),
}
"""Columns that files of 30e8d9b have for what now has columns of its own (`analysis.tables.as_of_today`)."""


def union(kind: str, found: Iterable[Any]) -> Any:
    """The schema of files of a kind that have the schemas `found`: today's columns, then the others.

    Raises `pyarrow.ArrowTypeError` where two of them have one column with types that do not agree.
    """
    known = SCHEMAS.get(kind, pa.schema([]))
    names = set(known.names)
    others = [pa.schema([field for field in schema if field.name not in names]) for schema in found]
    return pa.schema([*known, *pa.unify_schemas([pa.schema([]), *others], promote_options="permissive")])


def conform(batch: Any, schema: Any) -> Any:
    """A record batch with the columns of `schema`: those that it lacks are null."""
    if batch.schema.equals(schema):
        return batch
    have = set(batch.schema.names)
    columns = [
        batch.column(field.name).cast(field.type)
        if field.name in have
        else pa.nulls(batch.num_rows, field.type)
        for field in schema
    ]
    return pa.record_batch(columns, schema=schema)
