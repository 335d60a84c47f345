"""What a report says of an effect, in words that a manager understands. No judgement is made here."""

from __future__ import annotations

from math import floor, log10

import msgspec

from ekiben.experiments.kinds.table import kind_of
from ekiben.experiments.reports.effect import Effect
from ekiben.experiments.reports.labels import LabelQuality
from ekiben.experiments.reports.metric import MetricReport, State
from ekiben.experiments.reports.report import Report
from ekiben.experiments.statistics.sequential import JUDGED_FROM


def version_of(report: Report, variant: str) -> str:
    """The variant's version, with the variant's name beside it where several treatments are compared."""
    version = next((each.version for each in report.variants if each.variant == variant), variant)
    return version if len(report.variants) <= 2 else f"{version} ({variant})"


def control_of(report: Report) -> str:
    """The name of the control: the first variant."""
    return report.variants[0].variant


def doubts(report: Report) -> list[str]:
    """What may be wrong with what servers answer: some tell no version, and the scores of some seem to be in
    another order than a metric's classes. And segments whose split is not what was asked.
    """
    return [*_unversioned(report), *_misordered(report), *_split_otherwise(report)]


def _split_otherwise(report: Report) -> list[str]:
    return [
        f"among users with {each.attribute} = {segment.title} the split is not what was asked ("
        + ", ".join(f"{count:,} in {variant}" for variant, count in segment.users.items())
        + "). Find out what is other about their requests before you trust any comparison"
        for each in report.breakdowns
        for segment in each.segments
        if segment.srm is not None and segment.srm.mismatch
    ]


def _misordered(report: Report) -> list[str]:
    return [
        f"the scores of {version_of(report, each.variant)} seem to be in another order than the classes of "
        f"{metric.name}: its decisions fit them better with the classes sorted by name, which is how scores "
        f"of a mapping are recorded. If these are, write classes: [{_names_sorted(each)}]"
        for metric in report.metrics
        for each in metric.labels
        if each.misordered
    ]


def _names_sorted(quality: LabelQuality) -> str:
    return ", ".join(sorted(each.name for each in quality.classes))


def _unversioned(report: Report) -> list[str]:
    return [
        f"the server of {version_of(report, each.variant)} tells no version: nobody can see when it is "
        "redeployed. Write model_version into the experiments file, and change it with every redeployment"
        for each in report.unversioned
    ]


def matured(metric: MetricReport) -> int:
    """The users whose window has closed, in the variant with fewest."""
    return min((each.users for each in metric.variants), default=0)


def difference(report: Report, metric: MetricReport, variant: str) -> str:
    """ "profit per user is 18.0 to 34.2 higher (estimate 26.1) with v2 than with v1"."""
    effect, kind = metric.effects[variant], kind_of(metric.kind)
    title = kind.title(metric.name)
    if effect.absolute is None:
        return f"{title} has no value yet"
    treatment, control = version_of(report, variant), version_of(report, control_of(report))
    low, high = effect.interval.low, effect.interval.high
    return f"{title} is {_between(metric, effect.absolute, low, high)} with {treatment} than with {control}"


def fading_words(metric: MetricReport, variant: str) -> str | None:
    """ "But the effect fades: …" where it is surely smaller among later users than among the first."""
    fades = metric.fading.get(variant)
    if fades is None or fades.first.absolute is None or fades.later.absolute is None:
        return None
    both = fades.first.absolute, fades.later.absolute
    first, later = (f"{amount(metric, each, *both)} {_way(each)}" for each in both)
    days = "day" if fades.days == 1 else f"{fades.days} days"
    return (
        f"But the effect fades: it is {first} among users of the first {days} and {later} among later ones. "
        "It may be one of novelty"
    )


def change(metric: MetricReport, effect: Effect) -> str:
    """ "18.0 to 34.2 higher (estimate 26.1)"."""
    if effect.absolute is None:
        return "no value yet"
    return _between(metric, effect.absolute, effect.interval.low, effect.interval.high)


def uncapped(report: Report, metric: MetricReport) -> list[str]:
    """What each effect is without the cap: "without its cap of 500, profit per user is 31.0 higher …"."""
    whole = msgspec.structs.replace(metric, effects=metric.uncapped)
    return [
        f"without its cap of {metric.cap:g}, {difference(report, whole, each)}" for each in metric.uncapped
    ]


def dominated(report: Report, metric: MetricReport, variant: str) -> str | None:
    """Whose users are too unequal for the metric to be judged, and what to do; None when it is not so.

    "a few users dominate profit by order: the 5,012 users of v2 say as much as 3 equal ones …".
    """
    if metric.states.get(variant) is not State.DOMINATED:
        return None
    compared = [each for each in metric.variants if each.variant in (variant, control_of(report))]
    worst = min(compared, key=lambda each: each.effective_users or 0.0)
    kind = kind_of(metric.kind)
    remedy = "wait for more users with a label" if kind.of_predictions else "give it a cap"
    return (
        f"a few users dominate {kind.title(metric.name)}: the {worst.users:,} users of "
        f"{version_of(report, worst.variant)} say as much as {floor(worst.effective_users or 0.0):,} equal "
        f"ones, and {JUDGED_FROM} are needed. To judge it, {remedy}"
    )


def amount(metric: MetricReport, size: float, *beside: float) -> str:
    """A difference of the metric without its sign: "1.00 percentage points", "26.1". It has as many decimals
    as what stands `beside` it.
    """
    scale, unit = _scale(metric)
    places = _decimals(scale * max(abs(each) for each in (size, *beside)))
    return _plain(scale * size, places) + unit


def allowed(metric: MetricReport) -> str:
    """How much worse the guardrail may become: "1.00 percentage points", "0.50 (5 % of the control's)"."""
    if metric.max_worse is None:
        return amount(metric, metric.max_worse_by or 0.0)
    of_control = f"{100 * metric.max_worse:.3g} % of the control's"
    return of_control if metric.margin is None else f"{amount(metric, metric.margin)} ({of_control})"


def sentence(text: str) -> str:
    """The text with a capital and a full stop, unless it begins with a name that has none."""
    first = (
        text[:1].upper()
        if text.startswith(("the ", "no ", "only ", "step ", "a ", "its ", "rolled "))
        else text[:1]
    )
    return f"{first}{text[1:]}."


def _between(metric: MetricReport, estimate: float, low: float | None, high: float | None) -> str:
    """The interval, the estimate behind it; all with as many decimals."""
    scale, unit = _scale(metric)
    places = _decimals(scale * max(abs(end) for end in (estimate, low, high) if end is not None))

    def number(value: float) -> str:
        return _plain(scale * value, places)

    if low is None or high is None:
        return f"{number(estimate)}{unit} {_way(estimate)}, how surely is not known yet,"
    if low < 0 < high:
        return (
            f"between {number(low)}{unit} lower and {number(high)} higher "
            f"(estimate {number(estimate)} {_way(estimate)})"
        )
    near, far = sorted((low, high), key=abs)
    return f"{number(near)} to {number(far)}{unit} {_way(low + high)} (estimate {number(estimate)})"


def _scale(metric: MetricReport) -> tuple[float, str]:
    return (100.0, " percentage points") if kind_of(metric.kind).is_share else (1.0, "")


def _way(amount: float) -> str:
    return "lower" if amount < 0 else "higher"


def _plain(amount: float, places: int) -> str:
    return f"{abs(amount):,.{places}f}"


def _decimals(amount: float) -> int:
    """Decimals that leave three digits that mean something, none from 100 on."""
    return 1 if amount == 0 else min(max(2 - floor(log10(abs(amount))), 0), 9)
