"""Which users have what a metric is taken over, of all who matured.

A label and a ratio are taken over those users only who have an outcome. A mean and a proportion count
everybody, with 0 without one, and whom they count does not depend on what a version decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ekiben.control.analysis.tables import EventTables, Table
from ekiben.experiments.reports.usable import UsableShare, UsableShares
from ekiben.experiments.statistics.shares_alike import ALIKE_ALPHA, alike_p_value


def matured_by_variant(tables: EventTables, users: Table, settles_s: float, now: float) -> dict[int, int]:
    """How many users of each variant matured: `settles_s` after the first exposure."""
    matured = users.filter(~users.crossed & (users.first_at + settles_s <= now))
    return _by_variant(tables, matured)


def divided_by_variant(
    tables: EventTables, values: Table, place: int, settles_s: float, now: float
) -> dict[int, int]:
    """How many of them have something that the ratio at `place` divides by."""
    return _by_variant(
        tables, values.filter((values.first_at + settles_s <= now) & (values[f"y_{place}"] != 0))
    )


def usable_shares(
    variants: Sequence[str], matured: Mapping[int, int], usable: Mapping[int, int]
) -> UsableShares:
    """The shares by variant, from counts by its place, with the test of whether they differ."""
    counts = [(usable.get(place, 0), matured.get(place, 0)) for place in range(len(variants))]
    p_value = alike_p_value(counts)
    return UsableShares(
        variants=tuple(
            UsableShare(name, users, having) for name, (having, users) in zip(variants, counts, strict=True)
        ),
        p_value=p_value,
        threshold=ALIKE_ALPHA,
        differ=p_value < ALIKE_ALPHA,
    )


def _by_variant(tables: EventTables, users: Table) -> dict[int, int]:
    counted = users.group_by("variant").aggregate(users=users.count())
    return {row["variant"]: row["users"] for row in tables.rows(counted)}
