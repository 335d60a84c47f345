"""By what kept tables were computed: their own statements.

Whatever changes a number changes a statement: an edited metric, window or variant, another release's way of
computing it. So no list of what matters is kept anywhere, and none can be forgotten.
"""

from __future__ import annotations

import hashlib
from typing import Any

import duckdb
import ibis

from ekiben.control.analysis import exposures, outcomes
from ekiben.control.analysis.aggregates.incoming import keyed
from ekiben.control.analysis.phase import Phase
from ekiben.control.analysis.tables import Table, statement
from ekiben.control.recording.schemas import SCHEMAS


class _Statements:
    """An engine that computes nothing, and that takes nothing for empty."""

    def of(self, kind: str) -> Table:
        """A table that has a schema and no rows."""
        return keyed(ibis.table(ibis.Schema.from_pyarrow(SCHEMAS[kind]), name=kind))

    def keep(self, expression: Table) -> Table:
        """The expression itself."""
        return expression

    def drop(self, _kept: Table) -> None:
        """Nothing is kept."""

    def rows(self, _expression: Table) -> list[dict[str, Any]]:
        """As if there were something to count."""
        return [{"rows": 1}]


def definition(phase: Phase) -> str:
    """A digest of the statements that compute everything that is kept of a phase."""
    engine = _Statements()
    events = engine.of("exposure")
    exposed = phase.exposed(events)
    users = phase.users(phase.by_user(exposed))
    counted = phase.counted(engine.of("outcome"), 0.0)
    located = phase.located(phase.resolved(counted, phase.given(events)), users)
    seen = phase.seen(events)
    found = phase.of_users(engine, located, 0.0)
    made = [exposures.answers(exposed), users, seen, outcomes.lost(located, seen), found.told, found.values]
    statements = [statement(each) for each in [*made, *found.scored.values(), *found.arrived.values()]]
    return hashlib.sha256("\n".join([duckdb.__version__, *statements]).encode()).hexdigest()
