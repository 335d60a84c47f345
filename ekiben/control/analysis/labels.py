"""Ground truth beside the scores that were served, as sums (`ekiben.experiments.statistics.label_quality`).

A label belongs to a prediction. It counts when its user counts and the user's own version gave the score: of
what live answered in its place the version learns nothing. Of several labels of one prediction the first
received counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import ibis
import msgspec

from ekiben.control.analysis.metrics import moment_sums, moments_of, outside, window_s
from ekiben.control.analysis.outcomes import code
from ekiben.control.analysis.reasons import Reason
from ekiben.control.analysis.tables import Table
from ekiben.experiments.document import Metric
from ekiben.experiments.statistics.label_quality import LOG_LOSS_CLIP, AucSums
from ekiben.experiments.statistics.moments import Moments

BINS: Final = 10
_LOSSES: Final = ("brier", "log_loss", "accuracy")


class LabelSums(msgspec.Struct, frozen=True):
    """What the engine said of one variant's labels."""

    auc: AucSums
    losses: Mapping[str, Moments]
    bins: tuple[tuple[int, float, int], ...]  # (count, sum of scores, positives) of each of BINS

    @property
    def labels(self) -> int:
        """How many predictions have one."""
        return self.auc.m + self.auc.n


NO_LABELS: Final = LabelSums(
    auc=AucSums(*(0,) * len(AucSums.__struct_fields__)), losses=dict.fromkeys(_LOSSES, Moments()), bins=()
)


def usable(outcomes: Table, metric: Metric, now: float) -> Any:
    """Which of the outcomes of users who count are labels that can count, repetitions among them."""
    return (
        (outcomes.name == metric.outcome)
        & outcomes.value.isin([0.0, 1.0])
        & (outcomes["at"] >= outcomes.first_at)
        & (outcomes["at"] < outcomes.first_at + window_s(metric))
        & (outcomes.first_at + window_s(metric) <= now)
        & outcomes.score.notnull()
    )


def repeated(outcomes: Table, metric: Metric, now: float) -> Table:
    """The predictions with several labels: nearly none."""
    labels = outcomes.filter(usable(outcomes, metric, now))
    return labels.group_by("prediction_id").having(lambda t: t.count() > 1).aggregate()


def repetitions_marked(outcomes: Table, repeated: Table | None, metric: Metric, now: float) -> Table:
    """The outcomes with a column for the metric: whether another label of the prediction came before."""
    mark = _mark(metric)
    if repeated is None:
        return outcomes.mutate(**{mark: ibis.literal(False)})
    labels = usable(outcomes, metric, now)
    several = outcomes.filter(labels).semi_join(repeated, "prediction_id")
    order = [several[name] for name in ("received_at", "at", "value")]
    place = ibis.row_number().over(group_by="prediction_id", order_by=order)
    others = outcomes.filter(~labels).union(outcomes.filter(labels).anti_join(repeated, "prediction_id"))
    return several.mutate(**{mark: place > 0}).union(others.mutate(**{mark: ibis.literal(False)}))


def scored(marked: Table, metric: Metric, now: float) -> Table:
    """(user_hash, variant, score, positive) of every prediction with a label that counts."""
    once = marked.filter(usable(marked, metric, now) & ~marked[_mark(metric)])
    return once.select("user_hash", "variant", "score", positive=once.value.cast("int64"))


def reason(marked: Table, metric: Metric, now: float, started_at: float) -> Any:
    """What each outcome whose user counts is to the metric, as `metrics.reason`; counted exactly where it is
    `scored`.
    """
    return ibis.cases(
        (marked.name != metric.outcome, ibis.null("int8")),
        (usable(marked, metric, now) & marked[_mark(metric)], code(Reason.LABEL_REPEATED)),
        (usable(marked, metric, now), code(Reason.COUNTED)),
        (~marked.value.isin([0.0, 1.0]), code(Reason.NOT_BINARY)),
        *outside(marked, started_at),
        (marked["at"] >= marked.first_at + window_s(metric), code(Reason.LATE)),
        (marked.prediction_id.isnull(), code(Reason.LABEL_OF_USER)),
        (marked.score.isnull(), code(Reason.UNSCORED)),
        else_=code(Reason.WAITING),
    )


def sums(scored: Table) -> Table:
    """One row for each variant: everything that `LabelSums` is made of but the bins."""
    users = _of_each_user(_placed(scored))
    y = users.m + users.n
    columns: dict[str, Any] = {
        "users": users.count(),
        "users_positive": users.count(where=users.m > 0),
        "users_negative": users.count(where=users.n > 0),
    }
    for name in ("m", "n", "a", "b"):
        columns[name] = users[name].sum()
    for first, second in ("aa", "bb", "ab", "am", "an", "bm", "bn", "mm", "nn", "mn"):
        columns[first + second] = (users[first] * users[second]).sum()
    for name in _LOSSES:
        columns |= moment_sums(name, users[name], y)
    return users.group_by("variant").aggregate(**columns)


def calibration(scored: Table) -> Table:
    """(variant, bin, count, scores, positives); scores outside 0 to 1 count as 0 or 1."""
    share = _as_share(scored.score)
    place = ibis.least((share * BINS).floor(), BINS - 1).cast("int64")
    binned = scored.mutate(bin=place, share=share)
    return binned.group_by("variant", "bin").aggregate(
        count=binned.count(), scores=binned.share.sum(), positives=binned.positive.sum()
    )


def collected(sums: Sequence[Mapping[str, Any]], bins: Sequence[Mapping[str, Any]]) -> dict[int, LabelSums]:
    """The rows of `sums` and `calibration`, by variant (its place)."""
    found = {}
    for row in sums:
        held = {
            each["bin"]: (each["count"], each["scores"], each["positives"])
            for each in bins
            if each["variant"] == row["variant"]
        }
        found[row["variant"]] = LabelSums(
            auc=msgspec.convert(row, AucSums, strict=False),
            losses={name: moments_of(name, row["users"], row) for name in _LOSSES},
            bins=tuple(held.get(place, (0, 0.0, 0)) for place in range(BINS)),
        )
    return found


def _mark(metric: Metric) -> str:
    return f"again_{metric.name}"


def _as_share(score: Any) -> Any:
    # A version may answer anything, and one absurd score must not end everybody's report.
    return ibis.greatest(ibis.least(score, 1.0), 0.0)


def _placed(scored: Table) -> Table:
    """Each prediction with its placement: the share of the other class's predictions that it is rightly above
    (a positive) or below (a negative), ties half.
    """
    negative = 1 - scored.positive
    up = ibis.range_window(group_by="variant", order_by=scored.score, preceding=None, following=0)
    ties = ibis.window(group_by=["variant", scored.score])
    whole = ibis.window(group_by="variant")
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


def _of_each_user(placed: Table) -> Table:
    score, positive = placed.score, placed.positive
    clipped = ibis.least(ibis.greatest(score, LOG_LOSS_CLIP), 1 - LOG_LOSS_CLIP)
    share = _as_share(score)
    brier = (share - positive) * (share - positive)
    log_loss = -ibis.ifelse(positive == 1, clipped, 1 - clipped).ln()
    right = ((score >= 0.5) == (positive == 1)).cast("float64")
    return placed.group_by("variant", "user_hash").aggregate(
        m=positive.sum(),
        n=placed.negative.sum(),
        a=(placed.placement * positive).sum(),
        b=(placed.placement * placed.negative).sum(),
        brier=brier.sum(),
        log_loss=log_loss.sum(),
        accuracy=right.sum(),
    )
