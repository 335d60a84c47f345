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
from ekiben.experiments.kinds.requests import REQUEST_METRICS, REQUESTS_OF_A_USER

ANSWERED_BY: Final = ("assigned_by", "variant", "version", "model_version", "result")
_NEVER: Final = 1e18
"""Later than any time, in seconds."""
_FIRST: Final = "first_"
_FIRST_IN: Final = f"{_FIRST}in_"
_FIRST_SAID: Final = f"{_FIRST}said"


def of_phase(exposures: Table, experiment: str, phase: int) -> Table:
    """The exposures of one phase of an experiment."""
    return exposures.filter((exposures.experiment == experiment) & (exposures.phase == phase))


def answers(exposed: Table) -> Table:
    """What answered whom: `requests`, `first_at` and `last_at` for each of `ANSWERED_BY`."""
    return exposed.group_by(*ANSWERED_BY).aggregate(
        requests=exposed.count(), first_at=exposed["at"].min(), last_at=exposed["at"].max()
    )


def overridden(exposed: Table) -> Table:
    """The users whom an override assigned, each once."""
    return exposed.filter(exposed.assigned_by == "override").select("user_hash").distinct()


def by_user(
    exposed: Table,
    variants: Sequence[str],
    slow_ms: float,
    *,
    said: bool,
    answered_until: float | None = None,
) -> Table:
    """One row for each user whom the hash assigned: the counts `requests`, `errors`, `fallbacks` and `slow`
    (longer than `slow_ms`), when the first error and the first fallback were, for each variant, by its place,
    the first exposure to it, and with `said` what the first of all said of the user. `answered` counts the
    answered requests until that time, if any.
    """
    hashed = exposed.filter((exposed.assigned_by == "hash") & exposed.variant.isin(variants))
    firsts = {
        f"{_FIRST_IN}{place}": hashed["at"].min(where=hashed.variant == variant)
        for place, variant in enumerate(variants)
    }
    answers = {}
    if answered_until is not None:
        own = hashed.result.isin(["served", "fallback"]) & (hashed["at"] <= answered_until)
        answers["answered"] = hashed.count(where=own)
    return hashed.group_by("user_hash").aggregate(
        **request_counts(hashed, slow_ms),
        **answers,
        first_error=hashed["at"].min(where=hashed.result == "error"),
        first_fallback=hashed["at"].min(where=hashed.result == "fallback"),
        **firsts,
        **({_FIRST_SAID: _first_said(hashed)} if said else {}),
    )


def added_up(parts: Table) -> Table:
    """`by_user` of all exposures, from its rows of some and of the others."""
    columns = {
        name: parts[name].min() if name.startswith(_FIRST) else parts[name].sum().cast("int64")
        for name in parts.columns
        if name != "user_hash"
    }
    return parts.group_by("user_hash").aggregate(**columns)


def users(by_user: Table, segments: Sequence[str]) -> Table:
    """The users with `first_at`, the first exposure, `variant`, the place of that one, and `crossed`: whether
    there was another later. For each of `segments` there is a column with what was said of the user.
    """
    firsts = [by_user[name] for name in by_user.columns if name.startswith(_FIRST_IN)]
    first_at = ibis.least(*(each.fill_null(_NEVER) for each in firsts))
    began = ibis.cases(*((each == first_at, place) for place, each in enumerate(firsts)), else_=None)
    seen = sum(each.notnull().cast("int8") for each in firsts)
    values = {
        column(place): value_of(by_user[_FIRST_SAID]["attributes"], name)
        for place, name in enumerate(segments)
    }
    return by_user.mutate(first_at=first_at, variant=began.cast("int8"), crossed=seen > 1, **values)


def _first_said(hashed: Table) -> Any:
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
    being the requests. Both are scaled so that a user has at most REQUESTS_OF_A_USER.
    """
    sums = {"users": users.count()}
    requests = ibis.least(users.requests, REQUESTS_OF_A_USER).cast("float64")
    for each in REQUEST_METRICS.values():
        share = users[each.counted] / users.requests
        sums |= moment_sums(each.counted, share * requests, requests)
    return users.group_by("variant", "crossed").aggregate(**sums)


def first_results(users: Table, most: int) -> Table:
    """(variant, place) of the first users of each variant, at most so many, by their first exposures, and
    whether that one was among `errors` and among `fallbacks`.
    """
    alone = users.filter(~users.crossed)
    place = ibis.row_number().over(group_by="variant", order_by=[alone.first_at, alone.user_hash])
    ranked = alone.mutate(place=place).filter(lambda t: t.place < most).order_by("variant", "place")
    return ranked.select(
        "variant",
        "place",
        errors=(ranked.first_error == ranked.first_at).fill_null(False),
        fallbacks=(ranked.first_fallback == ranked.first_at).fill_null(False),
    )
