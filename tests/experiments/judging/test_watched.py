from __future__ import annotations

import msgspec
import pytest

from ekiben.experiments.judging.watched import corrected
from ekiben.experiments.reports.metric import MetricReport, Role, State
from ekiben.experiments.reports.segments import Breakdown, Segment, SegmentEffect, SegmentKind
from tests.experiments.reports import effect, metric


def watched(name: str, score: float, state: State = State.UNCLEAR, better: str = "higher") -> MetricReport:
    """A metric whose effect is so many standard errors from 0 after 4,000 users."""
    known = msgspec.structs.replace(effect(score), std_error=1.0, users=4000.0)
    return metric(name, {"treatment": state}, effects={"treatment": known}, role=Role.WATCHED, better=better)


def states(*metrics: MetricReport) -> list[State]:
    return [each.states["treatment"] for each in corrected(metrics, (), 0.05)[0]]


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
    assert corrected((), (), 0.05) == ((), ())


def by_country(scores: dict[str, float], state: State = State.UNCLEAR) -> Breakdown:
    """The effect on "profit" in each country, in standard errors from 0 after 4,000 users."""
    segments = []
    for country, score in scores.items():
        known = msgspec.structs.replace(effect(score), std_error=1.0, users=4000.0)
        found = SegmentEffect("profit", "treatment", 4000, known, state)
        segments.append(Segment(country, SegmentKind.VALUE, {"treatment": 2000}, None, (found,)))
    return Breakdown("country", tuple(segments))


@pytest.mark.parametrize(
    ("score", "expected"), [(5.0, State.BETTER), (-5.0, State.WORSE), (2.5, State.UNCLEAR)]
)
def test_a_segment_is_called_where_it_is_sure_among_all(score: float, expected: State) -> None:
    scores = {f"country {number}": 0.3 for number in range(9)} | {"NL": score}
    _, (found,) = corrected((metric("profit", {"treatment": State.UNCLEAR}),), (by_country(scores),), 0.05)
    assert [each.effects[0].state for each in found.segments] == [State.UNCLEAR] * 9 + [expected]


def test_a_watched_metric_and_segments_are_one_family() -> None:
    metrics = (metric("profit", {"treatment": State.UNCLEAR}), watched("orders", 3.5))
    scores = {f"country {number}": 0.3 for number in range(20)}
    assert corrected(metrics, (), 0.05)[0][1].states["treatment"] is State.BETTER
    assert corrected(metrics, (by_country(scores),), 0.05)[0][1].states["treatment"] is State.UNCLEAR


def test_a_segment_with_few_users_is_not_called_and_helps_no_other() -> None:
    few = by_country({"NL": 30.0}, State.NO_DATA)
    _, (found, other) = corrected(
        (metric("profit", {"treatment": State.UNCLEAR}),), (few, by_country({"FR": 3.2})), 0.05
    )
    assert found.segments[0].effects[0].state is State.NO_DATA
    assert other.segments[0].effects[0].state is State.UNCLEAR
