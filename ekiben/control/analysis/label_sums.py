"""Predictions with the truth about them as sums (`ekiben.experiments.statistics.label_quality`).

`scored` is always a table of `labels.scored`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import ibis
import msgspec

from ekiben.control.analysis.metrics import moment_sums, moments_of
from ekiben.control.analysis.tables import EventTables, Table
from ekiben.experiments.document import Metric
from ekiben.experiments.statistics.label_quality import LOG_LOSS_CLIP, AucSums
from ekiben.experiments.statistics.moments import Moments

BINS: Final = 10
LOSSES: Final = ("brier", "log_loss", "accuracy")


class LabelSums(msgspec.Struct, frozen=True):
    """What the engine said of one variant's labels."""

    users: int
    areas: tuple[AucSums, ...]  # one, or with classes each one's against the others
    influence: float  # with classes: sum of the squares of the users' influence on the mean of the areas
    losses: Mapping[str, Moments]
    bins: tuple[tuple[int, float, int], ...]  # (count, sum of scores, positives) of each of BINS
    decided: tuple[int, int] = (0, 0)  # with classes: decisions for the likeliest one, as listed and by name

    @property
    def labels(self) -> int:
        """How many predictions have one."""
        return self.areas[0].m + self.areas[0].n


def no_labels(areas: int) -> LabelSums:
    """What there is to say of no labels, with so many areas."""
    nothing = AucSums(*(0,) * len(AucSums.__struct_fields__))
    return LabelSums(0, (nothing,) * areas, 0.0, dict.fromkeys(LOSSES, Moments()), ())


def sums(scored: Table) -> Table:
    """One row for each variant: everything that `LabelSums` is made of but the bins."""
    return user_sums(binary_users(scored))


def binary_users(scored: Table) -> Table:
    """For each user and variant what `user_sums` is made of."""
    return _of_users(_placed(scored, "variant"), _losses, "variant")


def user_sums(users: Table) -> Table:
    """One row for each variant, of `binary_users`."""
    return users.group_by("variant").aggregate(**_area_sums(users), **_loss_sums(users, users.m + users.n))


def differences(users: Table, *by: str) -> Table:
    """The same users (and `by`) as one variant, 0, whose placements and losses are variant 1's minus variant
    0's. Both have the same predictions.
    """
    second = users.variant == 1
    sign = ibis.ifelse(second, 1.0, -1.0)
    signed = {name: (sign * users[name]).sum() for name in ("a", "b", *LOSSES)}
    found = users.group_by("user_hash", *by).aggregate(
        m=users.m.sum(where=second), n=users.n.sum(where=second), **signed
    )
    return found.mutate(variant=ibis.literal(0, "int8"))


def class_users(scored: Table, classes: int) -> Table:
    """For each user, variant and class (its `place`), that one against the others, what `class_areas` and
    `class_sums` are made of.
    """
    each = scored.mutate(place=ibis.array(list(range(classes))).unnest())
    share, truth = each.scores[each.place].cast("float64"), (each.place == each.label).cast("int64")
    against = each.select("user_hash", "variant", "place", score=share, positive=truth, right=each.positive)
    return _of_users(_placed(against, "variant", "place"), _class_losses, "variant", "place")


def class_areas(users: Table) -> Table:
    """`AucSums` of each variant and class (its `place`)."""
    return users.group_by("variant", "place").aggregate(**_area_sums(users))


def class_sums(users: Table) -> Table:
    """One row for each variant: what `LabelSums` is made of but the areas and the bins.

    A user's influence on an area A is (a - A m) / M + (b - A n) / N, of M positives and N negatives in the
    variant.
    """
    whole = ibis.window(group_by=["variant", "place"])
    positives, negatives = (users[name].sum().over(whole).nullif(0) for name in ("m", "n"))
    area = users.a.sum().over(whole) / positives
    of_area = (users.a - area * users.m) / positives + (users.b - area * users.n) / negatives
    placed = users.mutate(influence=of_area)
    each_user = placed.group_by("variant", "user_hash").aggregate(
        influence=placed.influence.mean(),
        labels=placed.m.sum(),
        **{name: placed[name].sum() for name in LOSSES},
    )
    return each_user.group_by("variant").aggregate(
        users=each_user.count(),
        influence=(each_user.influence * each_user.influence).sum(),
        **_loss_sums(each_user, each_user.labels),
    )


def orders(scored: Table) -> Table:
    """One row for each variant: how often the decision is the likeliest class, in either order of them."""
    return scored.group_by("variant").aggregate(
        decided_listed=scored.listed.sum(), decided_sorted=scored.sorted.sum()
    )


def _of_users(placed: Table, losses: Callable[[Table], Mapping[str, Any]], *by: str) -> Table:
    """For each user and (by): m, n, a and b as in `AucSums`, and the sums of the `losses` of a prediction."""
    return placed.group_by(*by, "user_hash").aggregate(
        m=placed.positive.sum(),
        n=placed.negative.sum(),
        a=(placed.placement * placed.positive).sum(),
        b=(placed.placement * placed.negative).sum(),
        **{name: loss.sum() for name, loss in losses(placed).items()},
    )


def _loss_sums(users: Table, labels: Any) -> dict[str, Any]:
    """The aggregates of `LabelSums.losses`; `labels` is how many predictions each user has."""
    columns: dict[str, Any] = {}
    for name in LOSSES:
        columns |= moment_sums(name, users[name], labels)
    return columns


def _area_sums(users: Table) -> dict[str, Any]:
    """The aggregates that `AucSums` has."""
    columns: dict[str, Any] = {
        "users": users.count(),
        "users_positive": users.count(where=users.m > 0),
        "users_negative": users.count(where=users.n > 0),
    }
    for name in ("m", "n", "a", "b"):
        columns[name] = users[name].sum()
    for first, second in ("aa", "bb", "ab", "am", "an", "bm", "bn", "mm", "nn", "mn"):
        columns[first + second] = (users[first] * users[second]).sum()
    return columns


def calibration(scored: Table) -> Table:
    """(variant, bin, count, scores, positives); scores outside 0 to 1 count as 0 or 1."""
    share = _as_share(scored.score)
    place = ibis.least((share * BINS).floor(), BINS - 1).cast("int64")
    binned = scored.mutate(bin=place, share=share)
    return binned.group_by("variant", "bin").aggregate(
        count=binned.count(), scores=binned.share.sum(), positives=binned.positive.sum()
    )


def gathered(
    tables: EventTables, scored: Table, metric: Metric, bins: Sequence[Mapping[str, Any]] = ()
) -> dict[int, LabelSums]:
    """The sums of `labels.scored`, which is kept, by variant (its place); `bins` are the rows of
    `calibration`.
    """
    if metric.classes is None:
        rows = areas = tables.rows(sums(scored))
    else:
        users = tables.keep(class_users(scored, len(metric.classes)))
        rows, areas = (tables.rows(of(users)) for of in (class_sums, class_areas))
        tables.drop(users)
        held = {row["variant"]: row for row in tables.rows(orders(scored))}
        rows = [row | held[row["variant"]] for row in rows]
    return collected(rows, areas, bins)


def collected(
    sums: Sequence[Mapping[str, Any]], areas: Sequence[Mapping[str, Any]], bins: Sequence[Mapping[str, Any]]
) -> dict[int, LabelSums]:
    """By variant (its place), from the rows of `calibration` and of `sums`, which are also the `areas`. With
    classes they are those of `class_sums` and `class_areas`.
    """
    found = {}
    for row in sums:
        theirs = [each for each in areas if each["variant"] == row["variant"]]
        held = {
            each["bin"]: (each["count"], each["scores"], each["positives"])
            for each in bins
            if each["variant"] == row["variant"]
        }
        found[row["variant"]] = LabelSums(
            users=row["users"],
            areas=tuple(
                msgspec.convert(each, AucSums, strict=False)
                for each in sorted(theirs, key=lambda area: area.get("place", 0))
            ),
            influence=row.get("influence") or 0.0,
            losses={name: moments_of(name, row["users"], row) for name in LOSSES},
            bins=tuple(held.get(place, (0, 0.0, 0)) for place in range(BINS)),
            decided=(row.get("decided_listed", 0), row.get("decided_sorted", 0)),
        )
    return found


def _as_share(score: Any) -> Any:
    # A version may answer anything, and one absurd score must not end everybody's report.
    return ibis.greatest(ibis.least(score, 1.0), 0.0)


def _clipped(score: Any) -> Any:
    return ibis.least(ibis.greatest(score, LOG_LOSS_CLIP), 1 - LOG_LOSS_CLIP)


def _losses(placed: Table) -> dict[str, Any]:
    score, positive = placed.score, placed.positive
    share, clipped = _as_share(score), _clipped(score)
    return {
        "brier": (share - positive) * (share - positive),
        "log_loss": -ibis.ifelse(positive == 1, clipped, 1 - clipped).ln(),
        "accuracy": ((score >= 0.5) == (positive == 1)).cast("float64"),
    }


def _class_losses(placed: Table) -> dict[str, Any]:
    """What one class adds to the losses of a prediction. Only the true one adds to the last two."""
    share, positive = _as_share(placed.score), placed.positive
    return {
        "brier": (share - positive) * (share - positive),
        "log_loss": ibis.ifelse(positive == 1, -_clipped(placed.score).ln(), 0.0),
        "accuracy": (placed.right * positive).cast("float64"),
    }


def _placed(scored: Table, *by: str) -> Table:
    """Each prediction with its placement: the share of the other class's predictions that it is rightly above
    (a positive) or below (a negative), ties half.
    """
    negative = 1 - scored.positive
    up = ibis.range_window(group_by=by, order_by=scored.score, preceding=None, following=0)
    ties = ibis.window(group_by=[*by, scored.score])
    whole = ibis.window(group_by=by)
    counted = scored.mutate(
        negative=negative,
        negatives_to=negative.sum().over(up),
        positives_to=scored.positive.sum().over(up),
        negatives_tied=negative.sum().over(ties),
        positives_tied=scored.positive.sum().over(ties),
        negatives_all=negative.sum().over(whole),
        positives_all=scored.positive.sum().over(whole),
    )
    above = (counted.negatives_to - counted.negatives_tied / 2) / counted.negatives_all.nullif(0)
    below = (
        counted.positives_all - counted.positives_to + counted.positives_tied / 2
    ) / counted.positives_all.nullif(0)
    return counted.mutate(placement=ibis.ifelse(counted.positive == 1, above, below).fill_null(0.0))
