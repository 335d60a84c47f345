"""A phase's tables brought up to date: what is new is taken in, and whom it touches is computed anew.

1. Of each user there is one row in `users` (how often exposed, when first), and one in `seen` where exposures
   of elsewhere are. New exposures are added to them (`exposed`).
2. `resolved` has each outcome of a metric's name with the user whose it is. One whose prediction is not known
   is looked for again when new exposures come (`told`).
3. Users with a new outcome, and those whose first exposure or whereabouts are others now, are touched: all
   their outcomes are told again (`Phase.of_users`), and their rows replaced. Nobody else's can have changed.
4. What depends on the time of a report is not kept: who matures without an event needs no special case.

Whatever this cannot follow is `Outdated`: then everything is computed from the events.
"""

from __future__ import annotations

from typing import Any

from ekiben.control.analysis import outcomes
from ekiben.control.analysis.aggregates.exposed import add_exposures
from ekiben.control.analysis.aggregates.kept import KeptTables
from ekiben.control.analysis.aggregates.ledger import Outdated
from ekiben.control.analysis.aggregates.told import (
    LOST,
    REPEATS,
    RESOLVED,
    TOLD,
    VALUES,
    OfOutcomes,
    arrived,
    scored,
)
from ekiben.control.analysis.phase import OfUsers, Phase, count
from ekiben.control.analysis.source import Outcomes, Source, by_reason
from ekiben.control.analysis.tables import Table
from ekiben.control.recording.files import EventFiles


class Aggregates(Source):
    """The tables of a phase, kept in a file."""

    tables: KeptTables

    def __init__(self, tables: KeptTables, files: EventFiles, phase: Phase, definition: str) -> None:
        """Bring them up to date.

        Raises `Outdated` where they were computed in another way or cannot be brought up to date,
        `Overlapping`, and what the engine raises.
        """
        self.tables = tables
        self._phase = phase
        standing = self._standing = tables.standing
        if standing.definition not in ("", definition):
            raise Outdated("the metrics are others, or another release computed them")
        standing.definition = definition
        incoming, touched = add_exposures(tables, files, phase)
        hashed = (row["first_at"] for row in standing.answers if row["assigned_by"] == "hash")
        started_at = min(hashed, default=None)
        if started_at is not None and phase.experiment.metrics:
            OfOutcomes(tables, files, phase, started_at).take_in(incoming, touched)
        tables.commit()

    def answers(self) -> list[dict[str, Any]]:
        """`exposures.answers` of the phase."""
        return self._standing.answers

    def overridden(self) -> int:
        """How many users an override assigned."""
        return count(self.tables, self.tables.table("overridden"))

    def users(self) -> Table:
        """`exposures.users` of the phase."""
        return self.tables.table("users")

    def second_answers(self, started_at: float) -> None:
        """None: a phase with a metric that asks for them is computed from all events (`Keeping`)."""

    def outcomes(self, started_at: float) -> Outcomes:
        """What is known of outcomes."""
        tables, standing = self.tables, self._standing
        nobodys = tables.table(RESOLVED).filter(lambda t: t.user_hash.isnull() & t.accepted)
        return Outcomes(
            received=standing.received,
            repeats=count(tables, outcomes.since(tables.table(REPEATS), started_at)),
            by_name=standing.by_name,
            lost=tables.rows(by_reason(tables.table(LOST))) + tables.rows(by_reason(nobodys)),
            of_users=OfUsers(
                told=tables.table(TOLD),
                values=tables.table(VALUES),
                scored={
                    each.name: tables.table(scored(place)) for place, each in enumerate(self._phase.truths)
                },
                arrived={
                    each.name: tables.table(arrived(place))
                    for place, each in enumerate(self._phase.experiment.metrics)
                },
            ),
        )
