"""What each outcome of a user who counts is to the metrics, as it is at any time.

It depends on when a report is made in one way only: until a user has matured, what will count waits. So
`told` says what each outcome is once the user has matured, and `at` what it is now.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ibis

from ekiben.control.analysis import differing, labels, metrics
from ekiben.control.analysis.metrics import after, settles_s
from ekiben.control.analysis.outcomes import code
from ekiben.control.analysis.reasons import ORDER, Reason
from ekiben.control.analysis.tables import Table
from ekiben.experiments.document import Metric

_COLUMNS = ("user_hash", "first_at", "name", "accepted")


def settling(declared: Sequence[Metric]) -> list[float]:
    """How many seconds after the first exposure users mature for these metrics, each once."""
    return sorted({settles_s(metric) for metric in declared})


def told(theirs: Table, declared: Sequence[Metric], started_at: float) -> Table:
    """Each outcome with a reason for each of `settling`: the least that it is to a metric of those."""
    columns: dict[str, Any] = {"age_s": theirs.received_at - theirs["at"]}
    for place, settles in enumerate(settling(declared)):
        reasons = [
            labels.reason(theirs, metric, started_at)
            if metric.kind.of_predictions
            else differing.reason(theirs, metric, metrics.reason(theirs, metric, started_at))
            for metric in declared
            if settles_s(metric) == settles
        ]
        columns[_reason(place)] = ibis.least(*reasons) if len(reasons) > 1 else reasons[0]
    return theirs.select(*_COLUMNS, **columns)


def at(told: Table, declared: Sequence[Metric], now: float) -> Table:
    """(reason, name, count, earlier, age_s): what the outcomes are at `now`; `earlier` of them were not
    accepted since the phase started, and count all the same.
    """
    will_count = [ORDER.index(each) for each in (Reason.COUNTED, Reason.LABEL_REPEATED)]
    reasons = [
        ibis.ifelse(
            told[_reason(place)].isin(will_count) & (after(told, settles) > now),
            code(Reason.WAITING),
            told[_reason(place)],
        )
        for place, settles in enumerate(settling(declared))
    ]
    explained = told.mutate(reason=ibis.least(*reasons) if len(reasons) > 1 else reasons[0])
    explained = explained.filter(explained.accepted | (explained.reason == code(Reason.COUNTED)))
    early = explained.reason.isin([ORDER.index(each) for each in (Reason.BEFORE_FIRST, Reason.BEFORE_START)])
    return explained.group_by("reason", "name").aggregate(
        count=explained.count(),
        earlier=explained.count(where=~explained.accepted),
        age_s=explained.age_s.quantile(0.5, where=early),
    )


def _reason(place: int) -> str:
    return f"reason_{place}"
