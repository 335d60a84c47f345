"""Which outcomes are whose: each counted once, joined to a user by the prediction or by the user's hash."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import ibis

from control.event_tables import Table, each_once

LARGEST: Final = 1e30
"""Values beyond it, which the router no longer takes, are left out: their squares leave floating point."""
_CLOCKS_S: Final = 3600.0
"""So much earlier than its prediction an outcome may claim to be and still be taken for what came of it."""


def repeated(outcomes: Table) -> Table:
    """The `event_id`s of more than one outcome: nearly none, so that nearly all need no sorting."""
    return outcomes.group_by("event_id").having(lambda t: t.count() > 1).aggregate()


def counted(outcomes: Table, repeated: Table | None, names: Collection[str], since: float) -> Table:
    """The outcomes of these names, since then. Of several with one id only the first received ever counts;
    `repeated` has those ids, None says that there are none.
    """
    if repeated is not None:
        several = each_once(outcomes.semi_join(repeated, "event_id"))
        outcomes = outcomes.anti_join(repeated, "event_id").union(several)
    usable = outcomes.value.notnull() & (outcomes.value.abs() <= LARGEST)
    wanted = outcomes.name.isin(sorted(names)) & usable & (outcomes["at"] >= since - _CLOCKS_S)
    return outcomes.filter(wanted).select("prediction_id", "user_hash", "name", "value", "at", "received_at")


def attributed(counted: Table, exposures: Table, model: str) -> Table:
    """(user_hash, name, value, at) of every outcome whose user is known.

    An outcome of a prediction is the user's to whom that prediction was given, in whatever experiment or
    phase of the model: what counts is when it happened. Up to an hour before its prediction is taken for
    right after it.
    """
    given = _given(exposures, model).select("prediction_id", "user_hash", given_at="at")
    joined = _joined(counted, given)
    columns = ("user_hash", "name", "value", "at")
    return by_user(counted).select(*columns).union(joined.select(*columns))


def attributed_with_scores(
    counted: Table, exposures: Table, model: str, experiment: str, phase: int
) -> Table:
    """As `attributed`, and `prediction_id`, `received_at` and the `score` of the prediction where the user's
    own version gave it in this phase; NULL elsewhere.
    """
    which = ("experiment", "phase", "assigned_by", "result")
    given = _given(exposures, model).select("prediction_id", "user_hash", "score", *which, given_at="at")
    joined = _joined(counted, given)
    # After the join, which leaves few of them.
    own = (
        (joined.experiment == experiment)
        & (joined.phase == phase)
        & (joined.assigned_by == "hash")
        & (joined.result == "served")
    )
    joined = joined.mutate(score=ibis.ifelse(own, joined.score, ibis.null("float64")))
    columns = ("user_hash", "name", "value", "at", "prediction_id", "received_at", "score")
    unscored = by_user(counted).mutate(score=ibis.null("float64"))
    return unscored.select(*columns).union(joined.select(*columns))


def by_user(counted: Table) -> Table:
    """The outcomes that name a user."""
    return counted.filter(counted.user_hash.notnull())


def by_prediction(counted: Table) -> Table:
    """The outcomes that name a prediction and no user."""
    return counted.filter(counted.user_hash.isnull() & counted.prediction_id.notnull())


def _joined(counted: Table, given: Table) -> Table:
    # Clocks differ, and some clients' times are cut to the second: what came of a prediction came after it.
    joined = by_prediction(counted).drop("user_hash").inner_join(given, "prediction_id")
    early = (joined["at"] < joined.given_at) & (joined["at"] >= joined.given_at - _CLOCKS_S)
    return joined.mutate(at=ibis.ifelse(early, joined.given_at, joined["at"])).drop("given_at")


def _given(exposures: Table, model: str) -> Table:
    return exposures.filter((exposures.model == model) & exposures.user_hash.notnull())
