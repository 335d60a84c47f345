"""Run in the copy: the kind `count`, of which only the table knows, from document to report and page."""

from __future__ import annotations

import pytest

from ekiben.control.dashboard import formatting
from ekiben.experiments.kinds.table import kind_of
from ekiben.experiments.problems import DocumentError
from tests.control.analysis.events import DAY, Log, metric, stored


def test_a_count_is_declared_analysed_and_told(log: Log) -> None:
    for number in range(40):
        user, variant = f"u{number}", "treatment" if number % 2 else "control"
        log.exposure(user, variant)
        for time in range(1 + (number % 2) + number % 3):
            log.outcome(-5, at=1 + time, user=user, name="clicks")
    (clicks, *_) = log.report(stored(metric("clicks", "count")), now=2 * DAY).metrics
    control, treatment = clicks.variants
    assert (clicks.kind, control.users, treatment.users) == ("count", 20, 20)
    effect = clicks.effects["treatment"]
    assert control.mean is not None
    assert treatment.mean is not None
    assert effect.absolute == pytest.approx(treatment.mean - control.mean)
    assert effect.absolute == pytest.approx(0.95, abs=0.1)
    assert effect.fixed_p_value is not None
    assert kind_of(clicks.kind).title(clicks.name) == "clicks per user"
    assert formatting.change(clicks.kind, effect.absolute).startswith("+")


def test_a_kind_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(DocumentError, match="must be one of count, proportion, mean"):
        stored(metric("clicks", "counts"))
