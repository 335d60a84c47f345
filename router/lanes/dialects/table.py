"""Which dialect a version's servers speak."""

from __future__ import annotations

from ekiben.experiments.version import Rows, Version
from router.lanes.answer import UNKNOWN_OUTPUT, OutputFields
from router.lanes.dialects.bentoml import BentoML
from router.lanes.dialects.dialect import Dialect
from router.lanes.dialects.native import Native
from router.lanes.waiting import MAX_ROWS


def dialect_of(version: Version) -> Dialect:
    """The dialect of one endpoint of `version`."""
    if version.dialect is None:
        return Native()
    return BentoML(version.dialect, output_of(version), version.model_version)


def output_of(version: Version) -> OutputFields:
    """Which fields of an answer mean what, as far as the document says it."""
    output = version.output
    return UNKNOWN_OUTPUT if output is None else OutputFields(output.score, output.decision, output.scores)


def calls_at_once(version: Version) -> int:
    """How many calls a router worker keeps in flight at each endpoint."""
    return (version.dialect and version.dialect.concurrency) or version.workers


def rows_at_once(version: Version) -> int:
    """How many rows one call takes."""
    return 1 if version.dialect is not None and version.dialect.rows is Rows.SINGLE else MAX_ROWS
