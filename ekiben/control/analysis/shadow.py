"""Shadow versions beside the versions that answered: the evidence before a version's first user.

Everything is in the shadow event itself (docs/events.md), so that it does not matter whether the request was
in an experiment. Of answers with several scores those count that are farthest apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import NormalDist
from typing import Any, Final

import ibis
import msgspec

from ekiben.control.analysis.otherwise import consequences, decided_otherwise
from ekiben.control.analysis.paired import answered_by_both, paired_quality, truths
from ekiben.control.analysis.tables import EventTables, Table
from ekiben.experiments.document import Document
from ekiben.experiments.reports.shadow import ScoreBin, ShadowReport
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
_MOST: Final = 1e30
"""Scores are recorded in 32 bits, and may be infinite there. Nobody needs to know how much more than this."""


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
    found = list(_reports(figures, bins, distances))
    return [_on_the_same(tables, stored.document, report, now) for report in found]


def _on_the_same(tables: EventTables, document: Document, report: ShadowReport, now: float) -> ShadowReport:
    """The report with what outcomes say of both versions on the same predictions."""
    labels, outcomes = truths(document, report.model), consequences(document, report.model)
    if not labels and not outcomes:
        return report
    both = answered_by_both(tables, report)
    paired = [paired_quality(tables, both, each) for each in labels]
    otherwise = [line for each in outcomes for line in decided_otherwise(tables, both, each, now)]
    return msgspec.structs.replace(
        report, paired=tuple(each for each in paired if each is not None), otherwise=tuple(otherwise)
    )


def comparisons(shadows: Table, wanted: Sequence[tuple[str, str]], since: float) -> Table:
    """(pair, agreed, score, against_score, latency_ms, against_latency_ms, above, apart).

    `above` is shadow minus served, NULL where not both have one score. `apart` is how far the scores are
    apart, also where both have equally many.
    """
    pairs = [(shadows.model == model) & (shadows.version == version) for model, version in wanted]
    chosen = shadows.filter(ibis.or_(*pairs) & (shadows["at"] >= since) & shadows.against.notnull())
    return chosen.select(
        *_PAIR,
        *("agreed", "score", "against_score", "latency_ms", "against_latency_ms"),
        above=chosen.score - chosen.against_score,
        apart=apart(chosen),
    )


def apart(shadows: Table) -> Any:
    """How far the scores of both answers are apart; of equally many those that are farthest. NULL without."""
    both = shadows.scores.zip(shadows.against_scores)
    farthest = both.map(lambda pair: (pair.f1.cast("float64") - pair.f2).abs()).maxs()
    alike = shadows.scores.length() == shadows.against_scores.length()
    several = ibis.ifelse(alike & farthest.notnull(), ibis.least(farthest, _MOST), ibis.null("float64"))
    return ibis.coalesce((shadows.score - shadows.against_score).abs(), several)


def summary(compared: Table) -> Table:
    """One row for each pair: counts, mean differences and quantiles of both latencies."""
    columns: dict[str, Any] = {
        "compared": compared.count(),
        "agreed": compared.count(where=compared.agreed),
        "mean_difference": compared.above.mean(),
        "mean_absolute_difference": compared.apart.mean(),
    }
    for name, share in _QUANTILES.items():
        columns[name] = compared.latency_ms.quantile(share)
        columns[f"against_{name}"] = compared.against_latency_ms.quantile(share)
    return compared.group_by(*_PAIR).aggregate(**columns)


def differences(compared: Table) -> Table:
    """(pair, bin, count): shadow minus served, what lies outside -1 to 1 in the outermost bins. Of several
    scores it has no sign.
    """
    difference = ibis.coalesce(compared.above, compared.apart)
    inside = ibis.greatest(ibis.least(difference, 1.0), -1.0)
    binned = compared.filter(difference.notnull()).mutate(
        bin=ibis.least(((inside + 1) * (BINS / 2)).floor(), BINS - 1).cast("int64")
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
        first = 0 if row["mean_difference"] is not None else BINS // 2
        yield ShadowReport(
            **{name: row[name] for name in (*_PAIR, "compared", *_DIFFERENCES)},
            agreement=row["agreed"] / row["compared"],
            agreement_interval=wilson_interval(row["agreed"], row["compared"], z),
            difference=tuple(
                ScoreBin(_edge(place, first), _edge(place + 1, first), counts.get(place, 0))
                for place in (range(first, BINS) if counts else ())
            ),
            ks_distance=distance.get(_pair(row)),
            latency_ms=_latencies(row, ""),
            against_latency_ms=_latencies(row, "against_"),
        )


def _edge(place: int, first: int) -> float:
    """Where the bin begins; without signs the middle one is the first, and half as wide."""
    return 0.0 if first == place == BINS // 2 else 2 * place / BINS - 1


def _pair(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(row[name] for name in _PAIR)


def _latencies(row: Mapping[str, Any], prefix: str) -> dict[str, float]:
    return {name: row[prefix + name] for name in _QUANTILES if row[prefix + name] is not None}
