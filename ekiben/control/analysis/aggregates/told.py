"""What outcomes are to the metrics, kept: new ones resolved, and touched users' told again."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import ibis
import pyarrow as pa

from ekiben.control.analysis import outcomes
from ekiben.control.analysis.aggregates.incoming import Incoming, events_of, predictions
from ekiben.control.analysis.aggregates.kept import KeptTables
from ekiben.control.analysis.aggregates.ledger import Held, Outdated
from ekiben.control.analysis.phase import Phase, count
from ekiben.control.analysis.source import repetitions
from ekiben.control.analysis.tables import Table
from ekiben.control.recording.files import EventFiles

IDS: Final = "ids"
REPEATS: Final = "repeats"
RESOLVED: Final = "resolved"
TOLD: Final = "told"
LOST: Final = "lost"
VALUES: Final = "values"


def scored(place: int) -> str:
    """The table of the label metric at a place in `Phase.truths`."""
    return f"scored_{place}"


def arrived(place: int) -> str:
    """The table of the arrivals of the metric at a place."""
    return f"arrived_{place}"


class OfOutcomes:
    """The tables of outcomes of a phase that started at `started_at`."""

    def __init__(self, tables: KeptTables, files: EventFiles, phase: Phase, started_at: float) -> None:
        self._tables = tables
        self._files = files
        self._phase = phase
        self._started_at = started_at

    def take_in(self, exposed: Incoming, touched: Sequence[Table]) -> None:
        """Take in what is new, after the exposures that are. `touched` users are told again.

        Raises `Outdated`, `Overlapping`, and what the engine raises.
        """
        tables, standing = self._tables, self._tables.standing
        if standing.started_at != self._started_at:
            tables.forget(IDS, REPEATS, RESOLVED, TOLD, LOST, VALUES)
            tables.forget(*map(scored, range(len(self._phase.truths))))
            tables.forget(*map(arrived, range(len(self._phase.experiment.metrics))))
            standing.held.pop("outcome", None)
            standing.started_at, standing.received, standing.by_name = self._started_at, 0, []
        incoming = Incoming(tables, self._files, "outcome")
        if incoming.gone:
            self._let_go(incoming.gone)
        standing.held["outcome"] = incoming.held
        first = not tables.has(RESOLVED)
        counted = []
        if incoming or first:
            counted.append(self._counted(incoming.events()))
        if exposed and not first:
            counted += self._found_late(exposed)
        resolved = [self._resolve(counted, first)] if counted else []
        if first:
            self._tell(None)
        elif resolved or touched:
            users = [each.select("user_hash").filter(lambda t: t.user_hash.notnull()) for each in resolved]
            self._tell(tables.keep(_together([*users, *touched]).distinct()))

    def _counted(self, events: Table) -> Table:
        """Of new outcomes those that a metric may count."""
        tables, standing = self._tables, self._tables.standing
        standing.received += count(tables, outcomes.since(events, self._started_at))
        firsts = self._firsts(events)
        rows = tables.rows(outcomes.by_name(firsts, self._started_at))
        standing.by_name = _by_name([*standing.by_name, *rows])
        return self._phase.counted(firsts, self._started_at)

    def _firsts(self, events: Table) -> Table:
        """The outcomes whose id none had before; the others are noted."""
        tables = self._tables
        none = pa.array([], pa.float64())
        tables.add(REPEATS, tables.of_values(received_at=none, first_at=none))
        repeated = repetitions(tables, events)
        firsts = outcomes.firsts(events, repeated)
        if repeated is not None:
            tables.add(REPEATS, outcomes.repeats(repeated))
        if tables.has(IDS):
            known = tables.table(IDS).rename(first_at="received_at")
            again = tables.keep(firsts.select("event_id", "received_at").inner_join(known, "event_id"))
            if count(tables, again.filter(again.received_at <= again.first_at)):
                raise Outdated("an outcome came that was received before the one that counted for its id")
            if count(tables, again):
                tables.add(REPEATS, again.select("received_at", "first_at"))
                firsts = firsts.anti_join(again, "event_id")
        tables.add(IDS, firsts.select("event_id", "received_at"))
        return firsts

    def _found_late(self, exposed: Incoming) -> list[Table]:
        """The outcomes whose prediction was not known, and has come now: to be resolved again."""
        tables = self._tables
        unknown = tables.table(RESOLVED).filter(lambda t: t.user_hash.isnull()).select("prediction_id")
        known_now = tables.keep(unknown.semi_join(exposed.events(), "prediction_id").distinct())
        if not count(tables, known_now):
            return []
        late = tables.keep(tables.table(RESOLVED).semi_join(known_now, "prediction_id"))
        tables.remove(RESOLVED, known_now, "prediction_id")
        return [late.select(*outcomes.COUNTED, "accepted")]

    def _resolve(self, counted: Sequence[Table], first: bool) -> Table:
        """Whose they are; kept, and among the others."""
        tables, phase, held = self._tables, self._phase, self._tables.standing.held["exposure"]
        together = _together(counted)
        if first:
            events = events_of(tables, self._files, "exposure", [each.file for each in held])
            tables.add(RESOLVED, phase.resolved(together, phase.given(events)))
            return tables.table(RESOLVED)
        together = tables.keep(together)
        unnamed = together.filter(together.user_hash.isnull() & together.prediction_id.notnull())
        ids = tables.keep(unnamed.select("prediction_id").distinct())
        given = phase.given(predictions(tables, self._files, held, ids))
        found = tables.keep(phase.resolved(together, given))
        tables.add(RESOLVED, found)
        return found

    def _tell(self, touched: Table | None) -> None:
        """What all outcomes of these users are to the metrics, of everybody's where None says who."""
        tables, phase = self._tables, self._phase
        resolved = tables.table(RESOLVED).filter(lambda t: t.user_hash.notnull())
        users, seen = tables.table("users"), tables.table("seen")
        if touched is not None:
            resolved, users, seen = (each.semi_join(touched, "user_hash") for each in (resolved, users, seen))
        located = tables.keep(phase.located(resolved, users))
        found = phase.of_users(tables, located, self._started_at)
        rows = {TOLD: found.told, VALUES: found.values, LOST: outcomes.lost(located, seen)}
        rows |= {scored(place): found.scored[each.name] for place, each in enumerate(phase.truths)}
        declared = phase.experiment.metrics
        rows |= {arrived(place): found.arrived[each.name] for place, each in enumerate(declared)}
        for name, theirs in rows.items():
            if touched is not None:
                tables.remove(name, touched)
            tables.add(name, theirs)
        tables.drop(located)

    def _let_go(self, gone: Sequence[Held]) -> None:
        """Follow what retention removed, which is always the oldest."""
        tables, until = self._tables, max(each.file.last for each in gone).received_at
        counted = until >= self._started_at or any(
            count(tables, tables.table(name).filter(lambda t, at=at: t[at] <= until))
            for name, at in ((RESOLVED, "received_at"), (REPEATS, "first_at"))
        )
        if counted:
            raise Outdated("outcomes that count, or whose id came again, are gone")
        tables.remove(
            IDS, tables.keep(tables.table(IDS).filter(lambda t: t.received_at <= until)), "event_id"
        )


def _together(parts: Sequence[Table]) -> Table:
    return ibis.union(*parts) if len(parts) > 1 else parts[0]


def _by_name(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """`outcomes.by_name` of all outcomes, from its rows of some and of the others."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        found[row["name"]].update(count=row["count"], unusable=row["unusable"])
    return [{"name": name, **counts} for name, counts in found.items()]
