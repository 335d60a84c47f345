"""Shadow versions beside the versions that answered: the evidence before a version's first user.

Everything is in the shadow event itself (docs/events.md), so that it does not matter whether the request was
in an experiment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import NormalDist
from typing import Any, Final

import ibis

from ekiben.control.analysis.tables import EventTables, Table
from ekiben.experiments.report import ScoreBin, ShadowReport
from ekiben.experiments.statistics.label_quality import wilson_interval
from ekiben.state.documents.document import Stored

SHADOW_DAYS: Final = 7
"""Comparisons of so many days are looked at."""

BINS: Final = 21
"""Bins of the score difference, from -1 to 1; the middle one is around no difference."""

_QUANTILES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_ALPHA: Final = 0.05
_DAY_S: Final = 86_400.0
_PAIR: Final = ("model", "version", "against")
_DIFFERENCES: Final = ("mean_difference", "mean_absolute_difference")


def shadow_reports(tables: EventTables, stored: Stored, now: float) -> list[ShadowReport]:
    """One report for each version that is a shadow now and each version it was compared with."""
    wanted = {(name, version) for name, model in stored.document.models.items() for version in model.shadow}
    if not wanted:
        return []
    compared = tables.keep(comparisons(tables.of("shadow"), sorted(wanted), now - SHADOW_DAYS * _DAY_S))
    figures = tables.rows(summary(compared))
    bins = tables.rows(differences(compared))
    distances = tables.rows(ks_distances(compared))
    tables.drop(compared)
    return list(_reports(figures, bins, distances))


def comparisons(shadows: Table, wanted: Sequence[tuple[str, str]], since: float) -> Table:
    """(model, version, against, agreed, score, against_score, latency_ms, against_latency_ms)."""
    pairs = [(shadows.model == model) & (shadows.version == version) for model, version in wanted]
    chosen = shadows.filter(ibis.or_(*pairs) & (shadows["at"] >= since) & shadows.against.notnull())
    return chosen.select(*_PAIR, "agreed", "score", "against_score", "latency_ms", "against_latency_ms")


def summary(compared: Table) -> Table:
    """One row for each pair: counts, mean differences and quantiles of both latencies."""
    difference = compared.score - compared.against_score
    columns: dict[str, Any] = {
        "compared": compared.count(),
        "agreed": compared.count(where=compared.agreed),
        "mean_difference": difference.mean(),
        "mean_absolute_difference": difference.abs().mean(),
    }
    for name, share in _QUANTILES.items():
        columns[name] = compared.latency_ms.quantile(share)
        columns[f"against_{name}"] = compared.against_latency_ms.quantile(share)
    return compared.group_by(*_PAIR).aggregate(**columns)


def differences(compared: Table) -> Table:
    """(pair, bin, count): shadow minus served, what lies outside -1 to 1 in the outermost bins."""
    difference = compared.score - compared.against_score
    binned = compared.filter(difference.notnull()).mutate(
        bin=ibis.greatest(ibis.least(((difference + 1) * (BINS / 2)).floor(), BINS - 1), 0).cast("int64")
    )
    return binned.group_by(*_PAIR, "bin").aggregate(count=binned.count())


def ks_distances(compared: Table) -> Table:
    """(pair, distance): the largest distance between the two versions' distributions of scores."""
    both = compared.filter(compared.score.notnull() & compared.against_score.notnull())
    ours = both.select(*_PAIR, at_score=both.score, step=ibis.literal(1))
    theirs = both.select(*_PAIR, at_score=both.against_score, step=ibis.literal(-1))
    steps = ours.union(theirs).group_by(*_PAIR, "at_score").aggregate(step=lambda t: t.step.sum())
    up_to = ibis.cumulative_window(group_by=list(_PAIR), order_by="at_score")
    ahead = steps.mutate(ahead=steps.step.sum().over(up_to))
    farthest = ahead.group_by(*_PAIR).aggregate(farthest=ahead.ahead.abs().max())
    counts = both.group_by(*_PAIR).aggregate(scores=both.count())
    joined = farthest.inner_join(counts, list(_PAIR))
    return joined.select(*_PAIR, distance=joined.farthest / joined.scores)


def _reports(
    figures: Sequence[Mapping[str, Any]],
    bins: Sequence[Mapping[str, Any]],
    distances: Sequence[Mapping[str, Any]],
) -> Iterator[ShadowReport]:
    z = NormalDist().inv_cdf(1 - _ALPHA / 2)
    distance = {_pair(each): each["distance"] for each in distances}
    for row in sorted(figures, key=_pair):
        counts = {each["bin"]: each["count"] for each in bins if _pair(each) == _pair(row)}
        yield ShadowReport(
            **{name: row[name] for name in (*_PAIR, "compared", *_DIFFERENCES)},
            agreement=row["agreed"] / row["compared"],
            agreement_interval=wilson_interval(row["agreed"], row["compared"], z),
            difference=tuple(
                ScoreBin(2 * place / BINS - 1, 2 * (place + 1) / BINS - 1, counts.get(place, 0))
                for place in (range(BINS) if counts else ())
            ),
            ks_distance=distance.get(_pair(row)),
            latency_ms=_latencies(row, ""),
            against_latency_ms=_latencies(row, "against_"),
        )


def _pair(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(row[name] for name in _PAIR)


def _latencies(row: Mapping[str, Any], prefix: str) -> dict[str, float]:
    return {name: row[prefix + name] for name in _QUANTILES if row[prefix + name] is not None}
