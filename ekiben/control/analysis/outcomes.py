"""Whose each outcome is: every accepted one located once, by its prediction or by its user's hash.

1. Of several with one id only the first received can count (`repeated`, `firsts`).
2. Those of a name that a metric uses are `resolved`, by the prediction that they name, and `located`: joined
   to the user of this phase. Nothing is dropped there: what leads to nobody says why, as a place in
   `reasons.ORDER`.
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

COUNTED: Final = ("prediction_id", "user_hash", "name", "value", "at", "received_at", "id_hint")
_CLOCKS_S: Final = 3600.0
"""So much earlier than its prediction an outcome may claim to be and still be taken for what came of it."""
SEEN: Final = ("anywhere", "here", "overridden")
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


def repeats(repetitions: Table) -> Table:
    """Of those that repeat an id when they were received, and when the first was (`first_at`)."""
    first_at = repetitions.received_at.min().over(ibis.window(group_by="event_id"))
    marked = repetitions.mutate(first_at=first_at)
    return marked.filter(marked.place > 0).select("received_at", "first_at")


def since(events: Table, started_at: float) -> Table:
    """The events that were received since then."""
    return events.filter(events.received_at >= started_at)


def by_name(firsts: Table, started_at: float) -> Table:
    """(name, count, unusable) of what was received since then: how many, and of how many the value cannot be
    summed."""
    received = since(firsts, started_at)
    return received.group_by("name").aggregate(
        count=received.count(), unusable=received.count(where=~_usable(received))
    )


def counted(firsts: Table, names: Collection[str], since: float, started_at: float) -> Table:
    """The outcomes of these names that were received since the phase started, or happened since `since`.

    `accepted` tells which were received since the phase started.
    """
    accepted = firsts.received_at >= started_at
    recent = accepted | (firsts["at"] >= since - _CLOCKS_S)
    wanted = firsts.filter(firsts.name.isin(sorted(names)) & _usable(firsts) & recent)
    return wanted.mutate(accepted=accepted).select(*COUNTED, "accepted")


def given(exposures: Table, compared: Sequence[str]) -> Table:
    """The predictions that were given to users: `prediction_id`, and the rest as `given_…`. `compared` are
    columns of exposures, of an answer's, that are wanted too.
    """
    held = exposures.filter(exposures.user_hash.notnull())
    columns = ("model", "user_hash", "at", "received_at", *((*compared, *_SCORED_BY) if compared else ()))
    return held.select("prediction_id", **{f"given_{name}": held[name] for name in columns})


def resolved(
    counted: Table, given: Table, key: str, experiment: Experiment, compared: Sequence[str]
) -> Table:
    """Every outcome once, with the user whose it is (NULL where the prediction that it names is not known),
    or with `lost`, the reason why it leads to none (NULL where it leads to one).

    An outcome of a prediction is the user's to whom that prediction was given, in whatever experiment or
    phase of the model: what counts is when it happened. Up to an hour before its prediction is taken for
    right after it: clocks differ, and some clients' times are cut to the second.

    The columns `compared` are the prediction's where the user's own version gave it in this phase of the
    experiment `key`, NULL elsewhere.
    """
    joined = counted.left_join(given, "prediction_id")
    named, known = joined.user_hash.notnull(), joined.given_user_hash.notnull()
    early = known & (joined["at"] < joined.given_at) & (joined["at"] >= joined.given_at - _CLOCKS_S)
    blank = joined.prediction_id != joined.prediction_id.strip()
    made = {
        "user_hash": ibis.coalesce(joined.user_hash, joined.given_user_hash),
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
    kept = ("prediction_id", "name", "value", "received_at", "id_hint", "accepted", "given_received_at")
    return joined.mutate(**made).select(*made, *kept)


def located(resolved: Table, users: Table, of_user: Sequence[str], *, with_ids: bool) -> Table:
    """The outcomes with their user of this phase: `crossed` and the columns `of_user`, `variant` among them.
    Those that have none are `lost`. `prediction_id` stays where `with_ids` asks for it.
    """
    whose = resolved.drop("given_received_at", *(() if with_ids else ("prediction_id",)))
    takes_part = users.select("user_hash", "crossed", *of_user)
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
    """The users (`user_hash`) with outcomes who are not in this phase."""
    lost = located.filter((located.lost == code(Reason.UNKNOWN_USER)) & located.accepted)
    return lost.select("user_hash").distinct()


def seen(exposures: Table, experiment: str, phase: int) -> Table:
    """One row for each user: when an exposure was received last, of any experiment (`anywhere`), of this one
    (`here`) and of this phase by an override (`overridden`); NULL where none was.
    """
    here = exposures.experiment == experiment
    by_override = here & (exposures.phase == phase) & (exposures.assigned_by == "override")
    received_at = exposures.received_at
    return exposures.group_by("user_hash").aggregate(
        anywhere=received_at.max(),
        here=received_at.max(where=here),
        overridden=received_at.max(where=by_override),
    )


def seen_added_up(parts: Table) -> Table:
    """`seen` of all exposures, from its rows of some and of the others."""
    return parts.group_by("user_hash").aggregate(**{name: parts[name].max() for name in SEEN})


def seen_before(seen: Table, until: float) -> Table:
    """Who was seen somewhere and not after `until`."""
    return seen.filter(ibis.or_(*(seen[name] <= until for name in SEEN)))


def seen_after(seen: Table, until: float) -> Table:
    """The same without what was seen until then."""
    later = {name: ibis.ifelse(seen[name] > until, seen[name], ibis.null("float64")) for name in SEEN}
    return seen.mutate(**later).filter(lambda t: t.anywhere.notnull())


def lost(located: Table, seen: Table) -> Table:
    """(user_hash, lost, name) of the accepted outcomes that lead to no user of this phase. Of `strangers`
    the reason is where else they were `seen`; the router gave the hint.
    """
    found = located.filter(located.accepted & located.lost.notnull()).left_join(seen, "user_hash")
    elsewhere = ibis.cases(
        (found.overridden.notnull(), code(Reason.OVERRIDE)),
        (found.here.notnull(), code(Reason.OTHER_PHASE)),
        (found.anywhere.notnull(), code(Reason.OTHER_EXPERIMENT)),
        (found.id_hint == "blank", code(Reason.USER_BLANK)),
        (found.id_hint == "decimal", code(Reason.USER_DECIMAL)),
        else_=code(Reason.UNKNOWN_USER),
    )
    strange = found.lost == code(Reason.UNKNOWN_USER)
    return found.select("user_hash", "name", lost=ibis.ifelse(strange, elsewhere, found.lost))


def _usable(outcomes: Table) -> Any:
    return (outcomes.value.notnull() & (outcomes.value.abs() <= MAX_VALUE)).fill_null(False)
