"""How long outcomes take to arrive, by variant.

A metric that says how long (`arrives_within`) is cut there: users mature then, and what arrives later counts
for nobody. Without it outcomes count whenever they arrive, and of two versions alike the one whose outcomes
take longer looks as if it had fewer. So the shares of users with an outcome that came later than some
`STEPS_HOURS` are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from ekiben.control.analysis.metrics import has_matured, in_window, summed, window_s
from ekiben.control.analysis.tables import EventTables, Table
from ekiben.experiments.document import Metric
from ekiben.experiments.reports.delays import Delays, VariantDelays
from ekiben.experiments.statistics.sequential import JUDGED_FROM
from ekiben.experiments.statistics.shares_alike import ALIKE_ALPHA, alike_p_value

STEPS_HOURS: Final = (0.0, 1.0, 6.0, 24.0, 72.0, 168.0, 720.0)
"""Hours after the window at which shares are compared where the metric does not say how long is allowed."""

ALWAYS_SOME_LATE: Final = 0.05
"""Up to this share of users with a late outcome it does not matter how late it was."""


class ArrivalCount(msgspec.Struct, frozen=True):
    """So many users of a variant (its place) whose last outcome came after so many of the steps."""

    variant: int
    passed: int
    users: int
    p95_s: float | None  # of all outcomes of the variant


def steps_hours(metric: Metric) -> tuple[float, ...]:
    """At how many hours after the window arrivals are called different."""
    return STEPS_HOURS if metric.arrives_within is None else (metric.arrives_within,)


def arrived(theirs: Table, metric: Metric) -> Table:
    """(user_hash, variant, first_at, after_s, age_s) of the metric's outcomes whose user counts: how long
    after the window they were received, and how long after they happened.
    """
    own = theirs.filter(theirs.name.isin(summed(metric)) & in_window(theirs, metric))
    return own.select(
        "user_hash",
        "variant",
        "first_at",
        after_s=own.received_at - own.first_at - window_s(metric),
        age_s=own.received_at - own["at"],
    )


def arrivals(tables: EventTables, arrived: Table, metric: Metric, now: float) -> tuple[ArrivalCount, ...]:
    """What arrived when, of the outcomes of users who had matured by `now`."""
    each = arrived.filter(has_matured(arrived, metric, now))
    users = each.group_by("user_hash", "variant").aggregate(after_s=each.after_s.max())
    passed = sum((users.after_s > 3600 * step).cast("int8") for step in steps_hours(metric))
    placed = users.mutate(passed=passed)
    counts = placed.group_by("variant", "passed").aggregate(users=placed.count())
    ages = each.group_by("variant").aggregate(p95_s=each.age_s.quantile(0.95))
    joined = counts.left_join(ages, "variant").drop("variant_right")
    return tuple(ArrivalCount(**row) for row in tables.rows(joined))


def delays_of(metric: Metric, variants: Sequence[str], counts: Sequence[ArrivalCount]) -> Delays | None:
    """The delays in a report, at the step at which the variants differ most; None without an outcome."""
    if not counts:
        return None
    steps = steps_hours(metric)
    users = [sum(each.users for each in counts if each.variant == place) for place in range(len(variants))]
    late = [
        [
            sum(each.users for each in counts if each.variant == place and each.passed > step)
            for place in range(len(variants))
        ]
        for step in range(len(steps))
    ]
    tested = [alike_p_value(list(zip(each, users, strict=True)), tests=len(steps)) for each in late]
    p_value = min(tested)
    most = tested.index(p_value)
    ages = {each.variant: each.p95_s for each in counts}
    some_late = sum(late[0]) > ALWAYS_SOME_LATE * sum(users)
    return Delays(
        variants=tuple(
            VariantDelays(name, users[place], late[most][place], ages.get(place))
            for place, name in enumerate(variants)
        ),
        after_hours=steps[most],
        p_value=p_value,
        threshold=ALIKE_ALPHA,
        differ=p_value < ALIKE_ALPHA,
        unknown=metric.arrives_within is None and some_late and min(users) < JUDGED_FROM,
    )
