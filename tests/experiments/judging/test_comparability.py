"""Metrics that cannot be compared are neither good nor bad, and say why."""

from __future__ import annotations

import msgspec
import pytest

from ekiben.experiments.judging.comparability import comparability_lines, fairly
from ekiben.experiments.reports.metric import MetricReport, Role, State
from tests.experiments.judging.test_verdict import BIASED, LATER, UNKNOWN
from tests.experiments.reports import errors, profit, report


def after(metric: MetricReport) -> State:
    (found,) = fairly([metric])
    return found.states["treatment"]


@pytest.mark.parametrize("state", [State.BETTER, State.WORSE])
@pytest.mark.parametrize("why", [{"usable": BIASED}, {"delays": LATER}, {"delays": UNKNOWN}])
@pytest.mark.parametrize("role", [Role.DECIDES, Role.WATCHED])
def test_what_cannot_be_compared_is_neither_better_nor_worse(
    state: State, why: dict[str, object], role: Role
) -> None:
    assert after(profit(state, role=role, **why)) is State.NOT_COMPARABLE


def test_what_is_alike_stays_as_it_is() -> None:
    alike = msgspec.structs.replace(BIASED, differ=False)
    assert after(profit(State.BETTER, usable=alike)) is State.BETTER


def test_a_guardrail_whose_outcomes_come_later_holds_no_longer_and_is_violated_still() -> None:
    assert after(errors(State.HOLDS, delays=LATER)) is State.NOT_COMPARABLE
    assert after(errors(State.VIOLATED, delays=LATER)) is State.VIOLATED
    assert after(errors(State.HOLDS, usable=BIASED)) is State.HOLDS


def test_each_metric_says_why_it_is_not_compared_and_what_to_do() -> None:
    lines = list(comparability_lines(report(profit(usable=BIASED, delays=LATER), errors())))
    assert lines[0].startswith("the share of users who have an outcome for profit is 90.0 % with v1")
    assert "whose outcome came more than 24 h after the window is 0.0 % with v1, 100.0 % with" in lines[1]
    assert lines[1].endswith("in every variant: 95 % arrive within 4 days")
