"""Whose each outcome is: every accepted one located once, by its prediction or by its user's hash.

1. Of several with one id only the first received can count (`repeated`, `firsts`).
2. Those of a name that a metric uses are `located`: joined to the prediction that they name, and to the user
   of this phase. Nothing is dropped there: what leads to nobody says why, as a place in `reasons.ORDER`.
3. `metrics` and `labels` say for each of the others what it is to each metric.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

import ibis

from ekiben.control.analysis.reasons import ORDER, Reason
from ekiben.control.analysis.tables import Table, in_order
from ekiben.experiments.document import Experiment
from ekiben.state.outcomes import MAX_VALUE

_CLOCKS_S: Final = 3600.0
"""So much earlier than its prediction an outcome may claim to be and still be taken for what came of it."""
_SCORED_BY: Final = ("experiment", "phase", "assigned_by", "result")


def code(reason: Reason) -> Any:
    """The reason as tables hold it: its place in `reasons.ORDER`."""
    return ibis.literal(ORDER.index(reason), "int8")


def repeated(outcomes: Table) -> Table:
    """The `event_id`s of more than one outcome: nearly none, so that nearly all need no sorting."""
    return outcomes.group_by("event_id").having(lambda t: t.count() > 1).aggregate()


def repetitions(outcomes: Table, repeated: Table) -> Table:
    """The outcomes of those ids, with `place` 0 for the first received of each."""
    return in_order(outcomes.semi_join(repeated, "event_id"))


def firsts(outcomes: Table, repetitions: Table | None) -> Table:
    """The outcomes without what repeats an id; `repetitions` is None when nothing does."""
    if repetitions is None:
        return outcomes
    once = repetitions.filter(repetitions.place == 0).drop("place")
    return outcomes.anti_join(repetitions, "event_id").union(once)


def repeats_since(repetitions: Table, started_at: float) -> Table:
    """One row: how many (`count`) of those received since then repeat an id."""
    since = repetitions.filter((repetitions.place > 0) & (repetitions.received_at >= started_at))
    return since.aggregate(count=since.count())


def by_name(firsts: Table, started_at: float) -> Table:
    """(name, count, unusable) of what was received since then: how many, and of how many the value cannot be
    summed."""
    since = firsts.filter(firsts.received_at >= started_at)
    return since.group_by("name").aggregate(count=since.count(), unusable=since.count(where=~_usable(since)))


def counted(firsts: Table, names: Collection[str], since: float, started_at: float) -> Table:
    """The outcomes of these names that were received since the phase started, or happened since `since`.

    `accepted` tells which were received since the phase started.
    """
    accepted = firsts.received_at >= started_at
    recent = accepted | (firsts["at"] >= since - _CLOCKS_S)
    wanted = firsts.filter(firsts.name.isin(sorted(names)) & _usable(firsts) & recent)
    columns = ("prediction_id", "user_hash", "name", "value", "at", "received_at", "id_hint")
    return wanted.mutate(accepted=accepted).select(*columns, "accepted")


def located(
    counted: Table,
    exposures: Table,
    users: Table,
    key: str,
    experiment: Experiment,
    compared: Sequence[str],
    *,
    with_ids: bool = False,
) -> Table:
    """Every outcome once, with its user of this phase: `variant` (its place), `first_at` and `crossed`, or
    with `lost`, the reason why it leads to none (NULL where it leads to one).

    An outcome of a prediction is the user's to whom that prediction was given, in whatever experiment or
    phase of the model: what counts is when it happened. Up to an hour before its prediction is taken for
    right after it: clocks differ, and some clients' times are cut to the second.

    `prediction_id` stays where `with_ids` or `compared` ask for it, NULL where an outcome names its user.
    `compared` are columns of exposures, of an answer's. They are the prediction's where the user's own
    version gave it in this phase of the experiment `key`, NULL elsewhere.
    """
    held = exposures.filter(exposures.user_hash.notnull())
    columns = ["prediction_id", "model", *((*compared, *_SCORED_BY) if compared else ())]
    given = held.select(*columns, given_to=held.user_hash, given_at=held["at"])
    given = given.rename({f"given_{name}": name for name in columns[1:]})
    joined = counted.left_join(given, "prediction_id")
    named, known = joined.user_hash.notnull(), joined.given_to.notnull()
    early = known & (joined["at"] < joined.given_at) & (joined["at"] >= joined.given_at - _CLOCKS_S)
    blank = joined.prediction_id != joined.prediction_id.strip()
    made = {
        "user_hash": ibis.coalesce(joined.user_hash, joined.given_to),
        "at": ibis.ifelse(~named & early, joined.given_at, joined["at"]),
        "lost": ibis.cases(
            (named, ibis.null("int8")),
            (~known & blank, code(Reason.PREDICTION_BLANK)),
            (~known, code(Reason.UNKNOWN_PREDICTION)),
            (joined.given_model != experiment.model, code(Reason.OTHER_MODEL)),
            else_=ibis.null("int8"),
        ),
    }
    if compared:
        own = (
            ~named
            & (joined.given_experiment == key)
            & (joined.given_phase == experiment.phase)
            & (joined.given_assigned_by == "hash")
            & (joined.given_result == "served")
        )
        made |= {
            name: ibis.ifelse(own, joined[f"given_{name}"], ibis.null(given[f"given_{name}"].type()))
            for name in compared
        }
    kept = ["prediction_id"] if compared or with_ids else []
    whose = joined.mutate(**made).select(*made, "name", "value", "accepted", "id_hint", "received_at", *kept)
    takes_part = users.select("user_hash", "variant", "first_at", "crossed")
    found = whose.left_join(takes_part, "user_hash").drop("user_hash_right")
    stranger = found.lost.isnull() & found.variant.isnull()
    return found.mutate(
        lost=ibis.cases(
            (stranger, code(Reason.UNKNOWN_USER)),
            (found.crossed.fill_null(False), ibis.coalesce(found.lost, code(Reason.IN_TWO_VARIANTS))),
            else_=found.lost,
        )
    )


def strangers(located: Table) -> Table:
    """(user_hash, hint, name, count) of those who are not in this phase; the router gave the `hint`."""
    lost = located.filter((located.lost == code(Reason.UNKNOWN_USER)) & located.accepted)
    return lost.group_by("user_hash", "name", hint=lost.id_hint).aggregate(count=lost.count())


def seen_elsewhere(strangers: Table, exposures: Table, experiment: str, phase: int) -> Table:
    """(reason, name, count) of strangers, by where else they were seen; the counts add up to theirs."""
    theirs = exposures.semi_join(strangers, "user_hash")
    here = theirs.experiment == experiment
    seen = theirs.group_by("user_hash").aggregate(
        anywhere=theirs.count(),
        here=theirs.count(where=here),
        overridden=theirs.count(where=here & (theirs.phase == phase) & (theirs.assigned_by == "override")),
    )
    found = strangers.left_join(seen, "user_hash")
    reason = ibis.cases(
        (found.overridden.fill_null(0) > 0, code(Reason.OVERRIDE)),
        (found.here.fill_null(0) > 0, code(Reason.OTHER_PHASE)),
        (found.anywhere.fill_null(0) > 0, code(Reason.OTHER_EXPERIMENT)),
        (found.hint == "blank", code(Reason.USER_BLANK)),
        (found.hint == "decimal", code(Reason.USER_DECIMAL)),
        else_=code(Reason.UNKNOWN_USER),
    )
    explained = found.mutate(reason=reason)
    return explained.group_by("reason", "name").aggregate(count=explained["count"].sum())


def _usable(outcomes: Table) -> Any:
    return (outcomes.value.notnull() & (outcomes.value.abs() <= MAX_VALUE)).fill_null(False)
