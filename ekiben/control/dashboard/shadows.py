"""What the page of a model's shadow versions shows, and the same on an experiment's page."""

from __future__ import annotations

from dataclasses import dataclass

from ekiben.control.dashboard.charts import bands, distributions
from ekiben.control.desk import Desk
from ekiben.control.traffic import VersionTraffic
from ekiben.experiments.document import Model
from ekiben.experiments.reports.shadow import ShadowReport


@dataclass(frozen=True, slots=True)
class ShadowView:
    """A model's shadow versions."""

    name: str
    model: Model
    reports: tuple[ShadowReport, ...]
    traffic: dict[str, VersionTraffic]

    @property
    def unseen(self) -> tuple[str, ...]:
        """Shadow versions of which nothing is known yet."""
        seen = {report.version for report in self.reports}
        return tuple(version for version in self.model.shadow if version not in seen)


def shadow_view(desk: Desk, name: str) -> ShadowView | None:
    """The shadow versions of the model with that name, None when there is none."""
    if desk.stored is None or name not in desk.stored.document.models:
        return None
    return ShadowView(
        name=name,
        model=desk.stored.document.models[name],
        reports=tuple(report for report in desk.shadow_reports if report.model == name),
        traffic={each.version: each for each in desk.traffic.versions if each.model == name},
    )


def histograms(report: ShadowReport) -> tuple[str, ...]:
    """How the scores differ, drawn for wide and for narrow screens."""
    if not any(each.count for each in report.difference):
        return ()
    return tuple(
        distributions.differences(report.difference, width, report.of_several)
        for width in (bands.WIDE, bands.NARROW)
    )
