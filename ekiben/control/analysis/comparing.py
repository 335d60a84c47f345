"""From sums to effects: tea-tasting's fixed-sample statistics beside the sequential ones of `experiments`.

The intervals and p-values that decide are sequential; tea-tasting's p-value is the ordinary one, for a
single look. Both stand on the same sums.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from math import isfinite, sqrt
from operator import attrgetter
from statistics import NormalDist
from typing import Any, Final

import msgspec
import tea_tasting
from tea_tasting.aggr import Aggregates

from ekiben.control.analysis.metrics import Bucket
from ekiben.experiments.document import Better
from ekiben.experiments.judging.states import metric_state
from ekiben.experiments.kinds.kind import Kind
from ekiben.experiments.reports.effect import Effect, Point
from ekiben.experiments.reports.metric import MetricReport, Role, State, VariantMetric
from ekiben.experiments.statistics import effects
from ekiben.experiments.statistics.label_quality import fixed_interval
from ekiben.experiments.statistics.moments import Moments
from ekiben.experiments.statistics.sequential import JUDGED_FROM

_FIXED_TESTS: Final[Mapping[str, Any]] = {
    "mean": tea_tasting.Mean("x"),
    "proportion": tea_tasting.Proportion("x", method="norm", correction=False),
    "ratio": tea_tasting.RatioOfMeans("x", "y"),
}


def metric_report(
    name: str,
    kind: Kind,
    role: Role,
    better: Better,
    variants: Sequence[VariantMetric],
    changes: dict[str, Effect],
    hold_at: float | None = None,
    unjudged: Mapping[str, State] = {},
    **more: Any,
) -> MetricReport:
    """The report of a metric with its `variants`, the control first, and each treatment's effect; `more` are
    further fields of the report. A comparison with a variant of `unjudged` has that state and no intervals.
    """
    control, *treatments = variants
    doubts = {
        each.variant: doubt
        for each in treatments
        if (doubt := unjudged.get(control.variant, unjudged.get(each.variant))) is not None
    }
    changes |= {variant: effects.without_intervals(changes[variant]) for variant in doubts}
    states = {
        each.variant: metric_state(
            role,
            str(better),
            changes[each.variant],
            more.get("max_worse"),
            control.mean,
            min(control.users, each.users),
            max_worse_by=more.get("max_worse_by"),
            hold_at=hold_at,
        )
        for each in treatments
    }
    states |= {variant: doubt for variant, doubt in doubts.items() if states[variant] is not State.NO_DATA}
    return MetricReport(
        name=name,
        kind=kind.name,
        better=str(better),
        role=role,
        variants=tuple(variants),
        effects=changes,
        states=states,
        **{"window_hours": 0.0, "max_worse": None, **more},
    )


def compare(kind: Kind, control: Moments, treatment: Moments, alpha: float, planned_users: float) -> Effect:
    """Treatment minus control, as `effects.effect`. `alpha` is what this comparison may use up."""
    effect = effects.effect(*kind.pair(control, treatment), alpha, planned_users)
    fixed = _fixed_p_value(kind, control, treatment) if _varies(control) and _varies(treatment) else None
    return effect if fixed is None else msgspec.structs.replace(effect, fixed_p_value=fixed)


def in_variant(kind: Kind, variant: str, moments: Moments, alpha: float) -> VariantMetric:
    """A metric in one variant: its value, known from the first user on, with its fixed-sample interval."""
    effective = moments.effective if kind.is_ratio else None
    # Not the standard error of `estimate`: that of a share is never 0, and a metric without any outcome is.
    plain = kind.plain(moments)
    return VariantMetric(
        variant=variant,
        users=moments.n,
        mean=kind.value(moments),
        std=None if plain is None else plain.std_error * sqrt(plain.users),
        interval=fixed_interval(kind.estimate(moments), NormalDist().inv_cdf(1 - alpha / 2)),
        effective_users=effective,
    )


def total(moments: Mapping[Bucket, Moments], variant: int) -> Moments:
    """All of a variant's users."""
    return sum((each for bucket, each in moments.items() if bucket.variant == variant), start=Moments())


def series(
    kind: Kind, moments: Mapping[Bucket, Moments], treatment: int, alpha: float, planned_users: float
) -> tuple[Point, ...]:
    """The effect of one treatment (its place; the control's is 0) as it was known at the end of each stretch
    of time, from the first with enough users on.
    """
    points = []
    seen = {0: Moments(), treatment: Moments()}
    stretches = sorted((each for each in moments if each.variant in seen), key=attrgetter("ends_at"))
    for at, stretch in groupby(stretches, key=attrgetter("ends_at")):
        for bucket in stretch:
            seen[bucket.variant] += moments[bucket]
        control, treated = seen[0], seen[treatment]
        users = control.n + treated.n
        if min(control.n, treated.n) >= JUDGED_FROM and not any(map(kind.is_dominated, seen.values())):
            effect = effects.effect(*kind.pair(control, treated), alpha, planned_users)
            points.append(Point(at=at, users=users, absolute=effect.absolute, interval=effect.interval))
    return tuple(points)


def _varies(moments: Moments) -> bool:
    """Whether tea-tasting, which divides by the mean too, has something to work with."""
    return bool(moments.n > 1 and moments.x and moments.var)


def _fixed_p_value(kind: Kind, control: Moments, treatment: Moments) -> float | None:
    """tea-tasting's two-sided p-value, None where it has none."""
    test = _FIXED_TESTS.get(kind.fixed_test or "")
    if kind.takes_covariate and (control + treatment).var_y:
        test = tea_tasting.Mean("x", "y")
    if test is None:
        return None
    try:
        found = test.analyze_aggregates(_aggregates(control), _aggregates(treatment)).pvalue
    except (ArithmeticError, ValueError):  # a mean of 0 where it divides by it, on its log scale
        return None
    return float(found) if isfinite(found) else None


def _aggregates(moments: Moments) -> Any:
    return Aggregates(
        count_=moments.n,
        mean_={"x": moments.mean, "y": moments.mean_y},
        var_={"x": moments.var, "y": moments.var_y},
        cov_={("x", "y"): moments.cov},
    )
