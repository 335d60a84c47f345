"""Whether a ramp may take its first step: what labels say of the treatments before anybody gets them."""

from __future__ import annotations

from collections.abc import Sequence

from ekiben.experiments.document import Experiment, RampBegin
from ekiben.experiments.judging.paired import paired_words
from ekiben.experiments.reports.metric import State
from ekiben.experiments.reports.paired import PairedQuality
from ekiben.experiments.reports.shadow import ShadowReport
from ekiben.experiments.statistics.sequential import JUDGED_FROM


def waits_for_shadow(experiment: Experiment, shadows: Sequence[ShadowReport]) -> str | None:
    """What the first step waits for; None where it waits for nothing.

    Every label metric of the experiment has to be known of every treatment, on predictions of as many users
    as a step needs and at least `JUDGED_FROM`, and none may be worse. `shadows` are the reports of what is a
    shadow of the model now.
    """
    ramp = experiment.ramp
    if ramp is None or ramp.begin is RampBegin.AT_ONCE:
        return None
    control, *treatments = dict.fromkeys(variant.version for variant in experiment.variants.values())
    truths = [metric for metric in experiment.metrics if metric.kind.of_predictions]
    if not truths:
        return "the experiment has no label metric, which a shadow could be compared by"
    least = max(ramp.min_users_per_step, JUDGED_FROM)
    for version in treatments:
        report = next((each for each in shadows if (each.version, each.against) == (version, control)), None)
        if report is None:
            return f"no answer of {version} as a shadow has been compared with {control} yet"
        for metric in truths:
            quality = _quality(report, metric.outcome, metric.measure)
            users = 0 if quality is None else quality.users
            if quality is None or users < least or quality.state is State.NO_DATA:
                return f"{users:,} of {least:,} users have a prediction with a label for {metric.outcome}"
            if quality.state is State.WORSE:
                return paired_words(report, quality)
    return None


def _quality(report: ShadowReport, outcome: str, measure: str) -> PairedQuality | None:
    return next((each for each in report.paired if (each.outcome, each.measure) == (outcome, measure)), None)
