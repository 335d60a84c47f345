"""`plan`: how many users and days an experiment needs to be promoted, or what it can find in a given time.

What is planned is a promotion: the deciding metric has to show the effect, and every guardrail has to hold at
the same look. The guardrails are taken to have no effect in truth.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import msgspec

from ekiben.experiments.document import Experiment, Metric
from ekiben.experiments.judging.plan_inputs import (
    BadPlan,
    Wish,
    absolute_effect,
    given,
    guardrail_conditions,
    spread_of,
)
from ekiben.experiments.judging.plan_words import sentence_of
from ekiben.experiments.judging.plans import Ends, PlannedPart, SamplePlan
from ekiben.experiments.lifecycle import Status
from ekiben.experiments.reports.history import History, MetricHistory
from ekiben.experiments.reports.metric import Role
from ekiben.experiments.statistics.joint_size import Condition, JointSize, joint_size
from ekiben.experiments.statistics.sample_size import Duration, SampleSize, duration

_WIDER = 1.5
"""The plan says what a margin would need that is so many times as wide."""
_LARGEST = 64.0
"""The smallest effect is sought up to so many times what a single look of one metric would find."""
_HALVINGS = 14
LEAST_PLANNED = 100
"""The least `planned_users` that an experiment may have."""
_LONG_TAILED = 0.25
"""A metric is long-tailed where values beyond its 99th percentile are such a share of the sum of squares."""


def make_plan(key: str | None, experiment: Experiment, history: History, wish: Wish) -> SamplePlan:
    """The plan of an experiment, which need not exist. Raises `BadPlan`."""
    metric = experiment.deciding_metric
    if metric is None:
        raise BadPlan("no metric decides: declare one that is not a guardrail")
    seen = given(metric, history, wish)
    per_day = wish.users_per_day if wish.users_per_day is not None else history.users_per_day
    planning = _Planning(experiment, metric, seen, history, wish.power)
    try:
        if wish.days is not None:
            effect = planning.smallest_effect(_users_in(wish.days, experiment, metric, per_day))
        else:
            effect = absolute_effect(wish.effect, metric, seen.mean)
        found = planning.size(effect)
        takes = _takes(found.size, experiment, metric, per_day)
    except OverflowError:
        raise BadPlan(
            f"the effect is far too large or too small beside a standard deviation of {seen.std:g}"
        ) from None
    except ValueError as error:
        raise BadPlan(str(error)) from None
    parts = tuple(planning.parts(effect, found))
    plan = SamplePlan(
        experiment=key,
        model=experiment.model,
        metric=metric.name,
        effect=effect,
        relative_effect=effect / abs(seen.mean) if seen.mean else None,
        mean=seen.mean,
        std=seen.std or 0.0,
        alpha=experiment.alpha,
        power=wish.power,
        size=found.size,
        users_per_day=per_day,
        duration=takes,
        sentence="",
        source=history.source,
        parts=parts,
        bottleneck=found.bottleneck,
        unknown=planning.unknown,
        ends=planning.ends(effect),
        planned_users=planning.pair_users(found.size),
        fixed_planned_users=planning.planned_users,
        users_unless_written=planning.users_unless_written(effect),
        cap=_cap(metric, history),
        coverage=experiment.coverage,
        days=wish.days,
        missing=history.missing if planning.unknown else "",
    )
    return msgspec.structs.replace(plan, sentence=sentence_of(plan))


class _Planning:
    """The conditions of one experiment's promotion."""

    def __init__(
        self, experiment: Experiment, metric: Metric, seen: MetricHistory, history: History, power: float
    ) -> None:
        self._experiment = experiment
        self._metric = metric
        self._seen = seen
        self._power = power
        self.weights = [variant.weight for variant in experiment.variants.values()]
        # Later it is fixed for the phase; before the start the plan says what to write.
        is_draft = experiment.status is Status.DRAFT
        self.planned_users = None if is_draft else experiment.planned_users
        known, unknown = [], []
        for guardrail in guardrail_conditions(experiment, history):
            if isinstance(guardrail, str):
                unknown.append(guardrail)
            else:
                known.append(guardrail)
        self._guardrails: Sequence[Condition] = known
        self._history = history
        self.unknown = tuple(unknown)

    def size(self, effect: float) -> JointSize:
        """The users with which the effect is found and every guardrail holds."""
        return self._joint([self._deciding(effect), *self._guardrails])

    def smallest_effect(self, users: float) -> float:
        """The smallest effect for which so many users suffice, good when it is positive."""
        spread = self._deciding(1.0).spread
        low = 2.8 * spread.std / math.sqrt(users)  # less than two samples of half of them find at once
        high = low * _LARGEST
        if self.size(high).size.users > users:
            raise BadPlan(self._hopeless(users))
        for _ in range(_HALVINGS):
            middle = math.sqrt(low * high)
            low, high = (low, middle) if self.size(middle).size.users <= users else (middle, high)
        return high if self._metric.better == "higher" else -high

    def parts(self, effect: float, found: JointSize) -> Iterator[PlannedPart]:
        """What each metric needs alone, the deciding one first."""
        for each in (self._deciding(effect), *self._guardrails):
            role = Role.DECIDES if each.name == self._metric.name else Role.GUARDRAIL
            wider = None
            if role is Role.GUARDRAIL and each.name == found.bottleneck:
                more = msgspec.structs.replace(each, effect=_WIDER * each.effect)
                wider = self._joint([more]).size.users
            mean = self._seen.mean if role is Role.DECIDES else self._history.metrics[each.name].mean
            yield PlannedPart(
                name=each.name,
                role=role,
                effect=each.effect,
                mean=mean,
                std=each.spread.std,
                users=found.alone[each.name].users,
                wider_margin=None if wider is None else _WIDER * each.effect,
                users_with_wider_margin=wider,
            )

    def ends(self, effect: float) -> Ends:
        """The users with which the experiment ends where there is in truth no effect."""
        users = self._joint([self._deciding(effect)]).size.users
        return Ends.of(users)

    def pair_users(self, size: SampleSize) -> int:
        """Those of the control and of the treatment with the least weight, as the boundary counts them."""
        return max(size.planned_users, LEAST_PLANNED)

    def users_unless_written(self, effect: float) -> int | None:
        """The users that a draft needs if its `planned_users` stay what they are."""
        if self.planned_users is not None:
            return None
        conditions = [self._deciding(effect), *self._guardrails]
        return self._joint(conditions, self._experiment.planned_users).size.users

    def _joint(self, conditions: Sequence[Condition], planned_users: int | None = None) -> JointSize:
        return joint_size(
            conditions,
            self.weights,
            power=self._power,
            min_users=self._experiment.min_users,
            planned_users=planned_users or self.planned_users,
        )

    def _deciding(self, effect: float) -> Condition:
        treatments = len(self.weights) - 1
        spread = spread_of(self._metric.kind, self._seen, effect)
        return Condition(self._metric.name, effect, spread, self._experiment.alpha / treatments)

    def _hopeless(self, users: float) -> str:
        needed = self._joint(self._guardrails) if self._guardrails else None
        words = f"{users:,.0f} users are too few to promote anything with a probability of {self._power:.0%}"
        if needed is None:
            return words
        return f"{words}: the guardrail {needed.bottleneck} alone needs {needed.size.users:,}"


def _users_in(days: float, experiment: Experiment, metric: Metric, per_day: float | None) -> float:
    """Those who take part and mature in so many days."""
    if per_day is None:
        raise BadPlan("nothing is known of the model's traffic yet: give the new users a day (users_per_day)")
    joining = days - metric.settles_hours / 24
    users = per_day * experiment.coverage / 100 * joining
    if not math.isfinite(users) or users < 2:
        raise BadPlan(
            f"in {days:g} days nobody's window of {metric.settles_hours:g} hours is over: give more days"
        )
    return users


def _takes(
    size: SampleSize, experiment: Experiment, metric: Metric, per_day: float | None
) -> Duration | None:
    if per_day is None:
        return None
    part = experiment.coverage / 100
    windows = [
        each.settles_hours for each in experiment.metrics if each is metric or each.guardrail is not None
    ]
    return duration(size.users, per_day, part, max(windows), experiment.min_days)


def _cap(metric: Metric, history: History) -> float | None:
    seen = history.metrics.get(metric.name)
    if seen is None or seen.p99 is None or not seen.p99 > 0 or (seen.beyond_p99 or 0.0) < _LONG_TAILED:
        return None
    return seen.p99
