"""Who takes part in an experiment's phase, from when, and how their requests went.

The unit is the user, in the variant that the hash assigned, whatever answered: fallbacks and errors stay.
What an override assigned is counted apart and goes no further.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import ibis

from ekiben.control.analysis.attributes import column, value_of
from ekiben.control.analysis.metrics import moment_sums
from ekiben.control.analysis.tables import Table

_NEVER: Final = 1e18
"""Later than any time, in seconds."""


def of_phase(exposures: Table, experiment: str, phase: int) -> Table:
    """The exposures of one phase of an experiment."""
    return exposures.filter((exposures.experiment == experiment) & (exposures.phase == phase))


def answers(exposed: Table) -> Table:
    """What answered whom: `requests`, `first_at` and `last_at` for each (assigned_by, variant, version,
    model_version, result).
    """
    return exposed.group_by("assigned_by", "variant", "version", "model_version", "result").aggregate(
        requests=exposed.count(), first_at=exposed["at"].min(), last_at=exposed["at"].max()
    )


def overridden(exposed: Table) -> Table:
    """One row: how many `users` an override assigned."""
    by_override = exposed.filter(exposed.assigned_by == "override")
    return by_override.aggregate(users=by_override.user_hash.nunique())


def users(
    exposed: Table,
    variants: Sequence[str],
    slow_ms: float,
    segments: Sequence[str] = (),
    answered_until: float | None = None,
) -> Table:
    """One row for each user whom the hash assigned.

    `variant` is the place of the first one in `variants`, `crossed` tells whether there was another later;
    `first_at` is the first exposure; `requests`, `errors`, `fallbacks` and `slow` (longer than `slow_ms`)
    are counts, and where it is asked for so is `answered`, the answered requests until that time. For each of
    `segments` there is a column with what the first exposure said of the user.
    """
    hashed = exposed.filter((exposed.assigned_by == "hash") & exposed.variant.isin(variants))
    firsts = {
        f"first_{place}": hashed["at"].min(where=hashed.variant == variant)
        for place, variant in enumerate(variants)
    }
    answers = {}
    if answered_until is not None:
        own = hashed.result.isin(["served", "fallback"]) & (hashed["at"] <= answered_until)
        answers["answered"] = hashed.count(where=own)
    found = hashed.group_by("user_hash").aggregate(
        **request_counts(hashed, slow_ms),
        **answers,
        **firsts,
        **({"first": _first(hashed)} if segments else {}),
    )
    found = found.mutate(first_at=ibis.least(*(found[name].fill_null(_NEVER) for name in firsts)))
    seen = sum(found[name].notnull().cast("int8") for name in firsts)
    began = ibis.cases(
        *((found[name] == found.first_at, place) for place, name in enumerate(firsts)), else_=None
    )
    found = found.mutate(variant=began.cast("int8"), crossed=seen > 1)
    if not segments:
        return found.drop(*firsts)
    said = found["first"]["attributes"]
    values = {column(place): value_of(said, name) for place, name in enumerate(segments)}
    return found.mutate(**values).drop(*firsts, "first")


def _first(hashed: Table) -> Any:
    """The earliest exposure's attributes. Of several at one time the text decides, so that every look agrees.
    One without attributes is the first as well: what is said later may be the treatment's doing.
    """
    held = {"at": hashed["at"], "attributes": hashed.attributes.fill_null("")}
    return ibis.struct(held).min()


def request_counts(served: Table, slow_ms: float) -> dict[str, Any]:
    """Aggregates of requests: how many there are, and how many errors, fallbacks and slow ones."""
    return {
        "requests": served.count(),
        "errors": served.count(where=served.result == "error"),
        "fallbacks": served.count(where=served.result == "fallback"),
        "slow": served.count(where=served.latency_ms > slow_ms),
    }


def joined_since(users: Table, since: float, settles: float, now: float) -> Table:
    """(variant, users) of those first exposed since then who had matured by `now`, `settles` afterwards."""
    joined = users.filter(~users.crossed & (users.first_at >= since) & (users.first_at + settles <= now))
    return joined.group_by("variant").aggregate(users=joined.count())


def split(users: Table) -> Table:
    """For each (variant, crossed): how many `users`, and for each count of theirs the sums of its moments, y
    being the requests.
    """
    sums = {"users": users.count()}
    for name in ("errors", "fallbacks", "slow"):
        sums |= moment_sums(name, users[name].cast("float64"), users.requests.cast("float64"))
    return users.group_by("variant", "crossed").aggregate(**sums)
