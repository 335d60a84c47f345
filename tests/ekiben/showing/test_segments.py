"""What `ekiben report` prints of segments."""

from __future__ import annotations

from ekiben.experiments.judging.wording import doubts
from ekiben.experiments.reports.metric import Role
from ekiben.showing.segments import breakdown_table
from tests.control.dashboard.broken_down import by
from tests.control.dashboard.samples import Sample, metric
from tests.ekiben.showing.test_report import printed
from tests.experiments.reports import report

GAINS = {"NL": (2_000, 3.0), "FR": (1_000, 0.1), "not sent": (900, 0.0)}
PROFIT, ORDERS = (
    metric(
        name, {"control": Sample(9, 1.0, 2.0), "treatment": Sample(9, 1.0, 2.0)}, role=role, now=0.0, days=1.0
    )
    for name, role in (("profit", Role.DECIDES), ("orders", Role.WATCHED))
)


def test_a_segment_has_what_decides_and_what_is_called_besides() -> None:
    home = by("home", (PROFIT, ORDERS), GAINS, 9.0)
    head, *lines = printed(breakdown_table(report(PROFIT, ORDERS), home))
    assert head == ["home", "metric", "treatment", "matured users", "effect", "interval", "so far"]
    assert [(line[0], line[1], line[3], line[4], line[-1]) for line in lines] == [
        ("NL", "profit", "4,000", "+3", "better"),
        ("NL", "orders", "4,000", "+3", "better"),
        ("FR", "profit", "2,000", "+0.1", "unclear"),
        ("(not sent)", "profit", "1,350", "+0", "unclear"),
    ]


def test_a_segment_whose_split_is_wrong_is_a_doubt() -> None:
    (line,) = doubts(report(breakdowns=(by("home", (PROFIT,), GAINS, 9.0),)))
    assert line.startswith(
        "among users with home = (not sent) the split is not what was asked (900 in control, 450 in"
    )
