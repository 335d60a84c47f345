from __future__ import annotations

import msgspec

from ekiben.experiments.judging.watched import corrected
from ekiben.experiments.reports.metric import MetricReport, Role, State
from tests.experiments.reports import effect, metric


def watched(name: str, score: float, state: State = State.UNCLEAR, better: str = "higher") -> MetricReport:
    """A metric whose effect is so many standard errors from 0 after 4,000 users."""
    known = msgspec.structs.replace(effect(score), std_error=1.0, users=4000.0)
    return metric(name, {"treatment": state}, effects={"treatment": known}, role=Role.WATCHED, better=better)


def states(*metrics: MetricReport) -> list[State]:
    return [each.states["treatment"] for each in corrected(metrics, 0.05)]


def test_a_watched_metric_that_would_pass_alone_is_unclear_among_many() -> None:
    assert states(watched("alone", 3.5)) == [State.BETTER]
    others = [watched(f"other-{number}", 0.1) for number in range(14)]
    assert states(watched("alone", 3.5, State.BETTER), *others) == [State.UNCLEAR] * 15


def test_several_with_an_effect_help_each_other_and_each_has_its_own_direction() -> None:
    strong = [watched("a", 4.4), watched("b", -4.4), watched("c", -4.4, better="lower")]
    assert states(*strong, watched("d", 0.5)) == [
        State.BETTER, State.WORSE, State.BETTER, State.UNCLEAR
    ]  # fmt: skip


def test_what_decides_and_what_has_no_data_is_left_as_it_is() -> None:
    deciding = metric("profit", {"treatment": State.BETTER})
    few = watched("few", 9.0, State.NO_DATA)
    assert states(deciding, few) == [State.BETTER, State.NO_DATA]
    assert corrected((), 0.05) == ()
