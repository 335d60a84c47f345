"""What the demo saw of each version, as the table at the end of `ekiben up`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table

from ekiben.demo.replay import Answer
from ekiben.demo.shadow_counts import Comparison, ShadowCounts
from ekiben.experiments.document import Document
from ekiben.experiments.lifecycle import Status
from ekiben.terminal.tables import NONE, plain_table


@dataclass(frozen=True, slots=True)
class VersionRow:
    """What the demo saw of one version. Shares are 0 to 1, times milliseconds; None is "not seen"."""

    version: str
    role: str
    users: int
    requests: int
    share: float | None
    expected_share: float | None
    cached: int
    p50_ms: float | None
    p99_ms: float | None
    shadow: Mapping[str, Comparison]


def version_rows(
    document: Document, model: str, answers: Sequence[Answer], shadows: ShadowCounts
) -> list[VersionRow]:
    """Sum up the answers by the version that gave them, in the document's order.

    `share` is of the users; `expected_share` what the running experiments' weights and coverage make of it,
    None where they cannot say (several experiments, overrides and namespaces aside).
    """
    roles = _roles(document, model)
    expected = _expected_shares(document, model)
    good = [answer for answer in answers if answer.status == 200 and answer.version is not None]
    users = len({answer.user for answer in good})
    rows = []
    for version in document.models[model].versions:
        own = [answer for answer in good if answer.version == version]
        theirs = len({answer.user for answer in own})
        times = sorted(answer.elapsed_ms for answer in own)
        rows.append(
            VersionRow(
                version=version,
                role=roles.get(version, "idle"),
                users=theirs,
                requests=len(own),
                share=theirs / users if users else None,
                expected_share=expected.get(version, 0.0) if expected is not None else None,
                cached=sum(answer.cached for answer in own),
                p50_ms=quantile(times, 0.50),
                p99_ms=quantile(times, 0.99),
                shadow={
                    against: comparison
                    for (shadow, against), comparison in shadows.comparisons.items()
                    if shadow == version and comparison.compared
                },
            )
        )
    return rows


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """Return the smallest value that at least `share` of the ordered values do not exceed; None of none."""
    if not ordered:
        return None
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def demo_table(title: str, rows: Iterable[VersionRow]) -> Table:
    """The table at the end of `ekiben up`, narrow enough for 80 columns."""
    table = plain_table(f"{title}: what each version answered", gap=0)
    for name in ("version", "role"):
        table.add_column(name)
    shadow = ("shadow\nagrees", "score\ndiff.")
    for name in ("users", "requests", "share /\nweight", "cache\nhits", "p50\nms", "p99\nms", *shadow):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        copies = sum(each.compared for each in row.shadow.values())
        compared = sorted(row.shadow.items())
        table.add_row(
            row.version,
            row.role,
            str(row.users) if row.requests else NONE,
            str(row.requests) if row.requests else f"{copies:.0f}" if copies else NONE,
            _share(row) if row.requests or row.expected_share else NONE,
            str(row.cached) if row.requests else NONE,
            NONE if row.p50_ms is None else f"{row.p50_ms:.1f}",
            NONE if row.p99_ms is None else f"{row.p99_ms:.1f}",
            "\n".join(f"{against}: {_percent(each.agreement)}" for against, each in compared) or NONE,
            "\n".join(_number(each.mean_difference) for _, each in compared) or NONE,
        )
    return table


def _share(row: VersionRow) -> str:
    if row.expected_share is None:
        return _percent(row.share)
    return f"{0 if row.share is None else row.share * 100:.1f}/{row.expected_share * 100:g} %"


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.3f}"


def _percent(share: float | None) -> str:
    return NONE if share is None else f"{share * 100:.1f} %"


def _roles(document: Document, model: str) -> dict[str, str]:
    its = document.models[model]
    roles: dict[str, list[str]] = {its.live: ["live"]}
    for experiment in document.experiments.values():
        if experiment.model == model and experiment.status is Status.RUNNING:
            for variant, one in experiment.variants.items():
                roles.setdefault(one.version, []).append(variant)
    for version, percent in its.shadow.items():
        if percent > 0:
            roles.setdefault(version, []).append("shadow")
    return {version: ", ".join(words) for version, words in roles.items()}


def _expected_shares(document: Document, model: str) -> dict[str, float] | None:
    running = [
        each
        for each in document.experiments.values()
        if each.model == model and each.status is Status.RUNNING
    ]
    live = document.models[model].live
    if not running:
        return {live: 1.0}
    if len(running) > 1 or running[0].namespace is not None:
        return None
    coverage = running[0].coverage / 100
    shares: dict[str, float] = {live: 1.0 - coverage}
    for variant in running[0].variants.values():
        shares[variant.version] = shares.get(variant.version, 0.0) + coverage * variant.weight / 100
    return shares
