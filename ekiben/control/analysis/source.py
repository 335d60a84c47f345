"""Where a report's tables come from: what a phase is made of, whenever it is looked at.

Nothing here depends on the time of a report: `gathering` asks for that. `FromEvents` computes the tables from
all events, on any engine.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

from ekiben.control.analysis import differing, exposures, outcomes
from ekiben.control.analysis.phase import OfUsers, Phase, count
from ekiben.control.analysis.tables import EventTables, Table


@dataclass(frozen=True)
class Outcomes:
    """Everything about outcomes."""

    received: int  # since the phase started
    repeats: int  # of those, whose id came before
    by_name: list[dict[str, Any]]  # (name, count, unusable) of those whose id did not
    lost: list[dict[str, Any]]  # (lost, name, count) of those of the metrics' names that lead to no user
    of_users: OfUsers


class Source(Protocol):
    """Where a phase's tables come from."""

    tables: EventTables

    def answers(self) -> list[dict[str, Any]]:
        """`exposures.answers` of the phase."""
        ...

    def overridden(self) -> int:
        """How many users an override assigned."""
        ...

    def users(self) -> Table:
        """`exposures.users` of the phase."""
        ...

    def outcomes(self, started_at: float) -> Outcomes:
        """What is known of outcomes, of a phase that started then."""
        ...

    def second_answers(self, started_at: float) -> Table | None:
        """`differing.second_answers` since then; None where no metric asks for them."""
        ...


class FromEvents(Source):
    """The tables computed from all events, each when it is asked for."""

    def __init__(self, tables: EventTables, phase: Phase, now: float) -> None:
        """`now` is the report's time: `exposures.users` are `answered` until shortly before."""
        self.tables = tables
        self._phase = phase
        self._answered_until = now - differing.SETTLES_S if phase.rules else None
        self._users: Table = None

    def answers(self) -> list[dict[str, Any]]:
        """`exposures.answers` of the phase."""
        return self.tables.rows(exposures.answers(self._exposed()))

    def overridden(self) -> int:
        """How many users an override assigned."""
        return count(self.tables, exposures.overridden(self._exposed()))

    def users(self) -> Table:
        """`exposures.users` of the phase, kept."""
        if self._users is None:
            by_user = self._phase.by_user(self._exposed(), self._answered_until)
            self._users = self.tables.keep(self._phase.users(by_user))
        return self._users

    def outcomes(self, started_at: float) -> Outcomes:
        """What is known of outcomes, of a phase that started then."""
        tables, phase, events = self.tables, self._phase, self.tables.of("outcome")
        repeated = repetitions(tables, events)
        firsts = outcomes.firsts(events, repeated)
        by_name = tables.rows(outcomes.by_name(firsts, started_at))
        given = phase.given(tables.of("exposure"))
        resolved = phase.resolved(phase.counted(firsts, started_at), given)
        located = tables.keep(phase.located(resolved, self.users()))
        repeats = 0
        if repeated is not None:
            repeats = count(tables, outcomes.since(outcomes.repeats(repeated), started_at))
            tables.drop(repeated)
        found = phase.of_users(tables, located, started_at, self.second_answers(started_at))
        return Outcomes(
            received=count(tables, outcomes.since(events, started_at)),
            repeats=repeats,
            by_name=by_name,
            lost=self._lost(located),
            of_users=replace(found, values=tables.keep(found.values) if phase.numbers else found.values),
        )

    def second_answers(self, started_at: float) -> Table | None:
        """`differing.second_answers` since then; None where no metric asks for them."""
        key, experiment, rules = self._phase.key, self._phase.experiment, self._phase.rules
        if not rules:
            return None
        answers = differing.second_answers(self.tables.of("shadow"), key, experiment, rules)
        return answers.filter(answers["at"] >= started_at)

    def _exposed(self) -> Table:
        return self._phase.exposed(self.tables.of("exposure"))

    def _lost(self, located: Table) -> list[dict[str, Any]]:
        tables = self.tables
        strangers = tables.keep(outcomes.strangers(located))
        events = tables.of("exposure") if count(tables, strangers) else tables.of("exposure").limit(0)
        lost = outcomes.lost(located, self._phase.seen(events.semi_join(strangers, "user_hash")))
        rows = tables.rows(by_reason(lost))
        tables.drop(strangers)
        return rows


def repetitions(tables: EventTables, events: Table) -> Table | None:
    """The outcomes whose id more than one has, kept; None when there are none."""
    repeated = tables.keep(outcomes.repeated(events))
    found = None
    if count(tables, repeated):
        found = tables.keep(outcomes.repetitions(events, repeated))
    tables.drop(repeated)
    return found


def by_reason(lost: Table) -> Table:
    """(lost, name, count) of what `outcomes.lost` returned."""
    return lost.group_by("lost", "name").aggregate(count=lost.count())
