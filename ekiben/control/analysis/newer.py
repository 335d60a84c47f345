"""Of which experiments outcomes were received lately: what says that a report is out of date."""

from __future__ import annotations

from collections.abc import Collection

from ekiben.control.analysis.tables import EventTables


def newest_outcomes(tables: EventTables, experiments: Collection[str], since: float) -> dict[str, float]:
    """For each of these experiments with an outcome that was received after `since`: when the last one was.

    An outcome is of every experiment that its user, or its prediction, was in. Times are seconds since 1970.
    """
    late = tables.of("outcome").filter(lambda t: t.received_at > since)
    newer = tables.keep(late.select("prediction_id", "user_hash", "received_at"))
    found: dict[str, float] = {}
    of = tables.of("exposure").filter(lambda t: t.experiment.isin(sorted(experiments)))
    for column in ("user_hash", "prediction_id"):
        named = newer.filter(newer[column].notnull()).group_by(column)
        joined = of.inner_join(named.aggregate(newest=lambda t: t.received_at.max()), column)
        for row in tables.rows(joined.group_by("experiment").aggregate(newest=joined.newest.max())):
            found[row["experiment"]] = max(row["newest"], found.get(row["experiment"], since))
    tables.drop(newer)
    return found
