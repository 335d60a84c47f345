"""Which outcomes are whose: each counted once, joined to a user by the prediction or by the user's hash."""

from __future__ import annotations

from collections.abc import Collection

import ibis

from control.event_tables import Table, each_once


def counted(outcomes: Table, names: Collection[str], since: float) -> Table:
    """The outcomes of these names, since then. Of several with one id only the first received ever counts."""
    first = each_once(outcomes)
    wanted = first.name.isin(sorted(names)) & first.value.notnull() & (first["at"] >= since)
    return first.filter(wanted).select("prediction_id", "user_hash", "name", "value", "at", "received_at")


def attributed(counted: Table, exposures: Table, model: str) -> Table:
    """(user_hash, name, value, at) of every outcome whose user is known.

    An outcome of a prediction is the user's to whom that prediction was given, in whatever experiment or
    phase of the model: what counts is when it happened.
    """
    given = _given(exposures, model).select("prediction_id", "user_hash")
    joined = by_prediction(counted).drop("user_hash").inner_join(given, "prediction_id")
    columns = ("user_hash", "name", "value", "at")
    return by_user(counted).select(*columns).union(joined.select(*columns))


def attributed_with_scores(
    counted: Table, exposures: Table, model: str, experiment: str, phase: int
) -> Table:
    """As `attributed`, and `prediction_id`, `received_at` and the `score` of the prediction where the user's
    own version gave it in this phase; NULL elsewhere.
    """
    given = _given(exposures, model)
    own = (
        (given.experiment == experiment)
        & (given.phase == phase)
        & (given.assigned_by == "hash")
        & (given.result == "served")
    )
    given = given.select(
        "prediction_id", "user_hash", score=ibis.ifelse(own, given.score, ibis.null("float64"))
    )
    joined = by_prediction(counted).drop("user_hash").inner_join(given, "prediction_id")
    columns = ("user_hash", "name", "value", "at", "prediction_id", "received_at", "score")
    unscored = by_user(counted).mutate(score=ibis.null("float64"))
    return unscored.select(*columns).union(joined.select(*columns))


def by_user(counted: Table) -> Table:
    """The outcomes that name a user."""
    return counted.filter(counted.user_hash.notnull())


def by_prediction(counted: Table) -> Table:
    """The outcomes that name a prediction and no user."""
    return counted.filter(counted.user_hash.isnull() & counted.prediction_id.notnull())


def _given(exposures: Table, model: str) -> Table:
    return exposures.filter((exposures.model == model) & exposures.user_hash.notnull())
