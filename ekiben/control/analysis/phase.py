"""An experiment's phase: the expressions of `analysis` with what its document says put in.

Nothing here depends on the time of a report.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from ekiben.control.analysis import delays, differing, exposures, labels, metrics, outcomes
from ekiben.control.analysis.attributes import column
from ekiben.control.analysis.tables import EventTables, Table
from ekiben.control.analysis.told import told
from ekiben.experiments.differing import OnlyWhere
from ekiben.experiments.document import Experiment, Metric


@dataclass(frozen=True)
class Phase:
    """An experiment in its phase: what its tables are computed by."""

    key: str
    experiment: Experiment

    @cached_property
    def numbers(self) -> list[Metric]:
        """The metrics that have a number for each user."""
        return [metric for metric in self.experiment.metrics if not metric.kind.of_predictions]

    @cached_property
    def truths(self) -> list[Metric]:
        """The metrics of labels."""
        return [metric for metric in self.experiment.metrics if metric.kind.of_predictions]

    @cached_property
    def names(self) -> set[str]:
        """The outcomes that metrics are made of."""
        return metrics.names_of(self.experiment.metrics)

    @cached_property
    def rules(self) -> list[OnlyWhere]:
        """By which metrics say where versions differ."""
        return differing.rules(self.numbers)

    @cached_property
    def summed(self) -> list[Metric]:
        """The metrics of which users have values, the parts of those with `only_where` last."""
        parts = differing.parts(self.experiment, self.numbers)
        return [*differing.of_requests(self.numbers), *parts]

    @cached_property
    def compared(self) -> list[str]:
        """The columns of exposures that labels are compared with."""
        return sorted({column for metric in self.truths for column in labels.compared(metric)})

    @cached_property
    def of_user(self) -> list[str]:
        """The columns of a user that outcomes, values and predictions have, too."""
        return ["variant", "first_at", *map(column, range(len(self.experiment.segments)))]

    def exposed(self, events: Table) -> Table:
        """The exposures of the phase."""
        return exposures.of_phase(events, self.key, self.experiment.phase)

    def by_user(self, exposed: Table, answered_until: float | None = None) -> Table:
        """`exposures.by_user` of some exposures of the phase."""
        limit_ms, said = self.experiment.request_limits.latency_ms, bool(self.experiment.segments)
        variants = list(self.experiment.variants)
        return exposures.by_user(exposed, variants, limit_ms, said=said, answered_until=answered_until)

    def users(self, by_user: Table) -> Table:
        """`exposures.users` of what `by_user` returned."""
        return exposures.users(by_user, self.experiment.segments)

    def elsewhere(self, events: Table) -> Table:
        """The exposures that make nobody a user of the phase."""
        here = (events.experiment == self.key) & (events.phase == self.experiment.phase)
        takes_part = (
            here & (events.assigned_by == "hash") & events.variant.isin(list(self.experiment.variants))
        )
        return events.filter(events.user_hash.notnull() & ~takes_part.fill_null(False))

    def counted(self, firsts: Table, started_at: float) -> Table:
        """`outcomes.counted` of some outcomes, each of another id."""
        since = started_at - metrics.back_s(self.experiment.metrics)
        return outcomes.counted(firsts, self.names, since, started_at)

    def given(self, events: Table) -> Table:
        """`outcomes.given` of some exposures."""
        return outcomes.given(events, self.compared)

    def resolved(self, counted: Table, given: Table) -> Table:
        """`outcomes.resolved` of what `counted` and `given` returned."""
        return outcomes.resolved(counted, given, self.key, self.experiment, self.compared)

    def located(self, resolved: Table, users: Table) -> Table:
        """`outcomes.located` of what `resolved` and `users` returned."""
        with_ids = bool(self.compared or self.rules)
        return outcomes.located(resolved, users, self.of_user, with_ids=with_ids)

    def seen(self, events: Table) -> Table:
        """`outcomes.seen` of some exposures."""
        return outcomes.seen(events, self.key, self.experiment.phase)

    def of_users(
        self, tables: EventTables, located: Table, started_at: float, answers: Table | None = None
    ) -> OfUsers:
        """What the outcomes of some users, all of theirs, are to the metrics. With `rules` the second
        `answers` of requests are needed (`differing.second_answers`).
        """
        theirs = located.filter(located.lost.isnull())
        for metric in self.truths:
            repeated = tables.keep(labels.repeated(theirs, metric))
            several = repeated if count(tables, repeated) else None
            theirs = labels.repetitions_marked(theirs, several, metric)
        return OfUsers(
            told=told(theirs, self.experiment.metrics, started_at),
            values=metrics.user_values(
                theirs if answers is None else differing.marked(theirs, answers, self.experiment, self.rules),
                self.summed,
                self.of_user,
            ),
            scored={metric.name: labels.scored(theirs, metric, self.of_user) for metric in self.truths},
            arrived={metric.name: delays.arrived(theirs, metric) for metric in self.experiment.metrics},
        )


@dataclass(frozen=True)
class OfUsers:
    """What outcomes are to the metrics: tables with a `user_hash`, each user's rows computed from that user's
    outcomes alone.
    """

    told: Table
    values: Table
    scored: Mapping[str, Table]  # by the label metric's name
    arrived: Mapping[str, Table]  # by the metric's name


def count(tables: EventTables, table: Table) -> int:
    """How many rows a table has."""
    return int(tables.rows(table.aggregate(rows=table.count()))[0]["rows"])
