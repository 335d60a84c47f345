"""Users by what clients say of them: sums for each value of an attribute, and few values of each.

A user's value is that of the first exposure. What is said later may be the treatment's doing. The most
frequent values are segments of their own, whoever has them; all others are one, and so are those of whom
nothing was said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import ibis
import msgspec

from ekiben.control.analysis import label_sums, metrics
from ekiben.control.analysis.attributes import column, decoded
from ekiben.control.analysis.label_sums import LabelSums
from ekiben.control.analysis.metrics import moments_of, settles_s
from ekiben.control.analysis.tables import EventTables, Table
from ekiben.experiments.document import Metric
from ekiben.experiments.reports.segments import MOST_SEGMENTS, MOST_VALUES, SegmentKind
from ekiben.experiments.statistics.moments import Moments

_OTHER: Final = MOST_VALUES
_NOT_SENT: Final = MOST_VALUES + 1


class SegmentSums(msgspec.Struct, frozen=True):
    """What the engine said of one segment. Variants are places, and metrics have their names."""

    name: str
    kind: SegmentKind
    users: Mapping[int, int]
    values: Mapping[str, Mapping[int, Moments]] = {}
    labels: Mapping[str, Mapping[int, LabelSums]] = {}


class Segmented:
    """The segments of a phase's users (`exposures.users`), and sums in each. Users' values and predictions
    have what was said of the user, too.
    """

    def __init__(self, tables: EventTables, users: Table, attributes: Sequence[str]) -> None:
        self._tables = tables
        self._attributes = attributes
        self._users = users.filter(~users.crossed)
        self._names = [self._frequent(self._users, column(place)) for place in range(len(attributes))]
        self._values: dict[int, dict[str, dict[tuple[int, int], Moments]]] = {}
        self._labels: dict[int, dict[str, dict[tuple[int, int], LabelSums]]] = {}

    def _frequent(self, users: Table, name: str) -> list[str]:
        """The most frequent values, the most frequent first."""
        said = users.filter(users[name].notnull())
        counts = said.group_by(value=said[name]).aggregate(users=said.count())
        most = counts.order_by([ibis.desc("users"), "value"]).limit(MOST_VALUES)
        return [row["value"] for row in self._tables.rows(most)]

    def add_values(self, values: Table, numbers: Sequence[Metric], now: float) -> None:
        """Sum up `metrics.user_values` of these metrics in each segment."""
        settles = sorted({settles_s(metric) for metric in numbers})
        of = [settles.index(settles_s(metric)) for metric in numbers]
        known = {
            f"{name}_{place}": ibis.ifelse(
                metrics.has_matured(values, metric, now), values[f"{name}_{place}"], 0.0
            )
            for place, metric in enumerate(numbers)
            for name in ("x", "y")
        }
        matured = values.mutate(**known)
        for attribute in range(len(self._attributes)):
            sums = matured.group_by("variant", segment=self._segment(matured, attribute)).aggregate(
                **metrics.sums_of(matured, [str(place) for place in range(len(numbers))])
            )
            found = {(row["variant"], row["segment"]): row for row in self._tables.rows(sums)}
            rows = self._counts(attribute, settles, now)
            self._values[attribute] = {
                metric.name: {
                    (row["segment"], row["variant"]): moments_of(
                        str(place), row[f"n_{of[place]}"], found.get((row["variant"], row["segment"]), {})
                    )
                    for row in rows
                }
                for place, metric in enumerate(numbers)
            }

    def _counts(self, attribute: int, settles: Sequence[float], now: float) -> list[dict[str, Any]]:
        """(variant, segment, n_0, …): the users who had matured by `now`, `settles` after they came."""
        users = self._users
        matured = {
            f"n_{place}": users.count(where=metrics.after(users, each) <= now)
            for place, each in enumerate(settles)
        }
        by = users.group_by("variant", segment=self._segment(users, attribute))
        return self._tables.rows(by.aggregate(**matured))

    def add_labels(self, scored: Table, metric: Metric) -> None:
        """Sum up `labels.scored` of a label in each segment."""
        for attribute in range(len(self._attributes)):
            # A variant of a segment takes a variant's place in the sums, which know nothing of segments.
            both = scored.variant.cast("int64") * MOST_SEGMENTS + self._segment(scored, attribute)
            split = self._tables.keep(scored.mutate(variant=both))
            found = label_sums.gathered(self._tables, split, metric)
            self._tables.drop(split)
            self._labels.setdefault(attribute, {})[metric.name] = {
                (place % MOST_SEGMENTS, place // MOST_SEGMENTS): sums for place, sums in found.items()
            }

    def sums(self) -> dict[str, tuple[SegmentSums, ...]]:
        """The sums by attribute, the most frequent value first."""
        return {name: tuple(self._sums(place)) for place, name in enumerate(self._attributes)}

    def _segment(self, table: Table, attribute: int) -> Any:
        return _place(table[column(attribute)], self._names[attribute])

    def _sums(self, attribute: int) -> list[SegmentSums]:
        users: dict[int, dict[int, int]] = {}
        by = self._users.group_by("variant", segment=self._segment(self._users, attribute))
        for row in self._tables.rows(by.aggregate(users=self._users.count())):
            users.setdefault(row["segment"], {})[row["variant"]] = row["users"]
        return [
            SegmentSums(
                *self._called(attribute, segment),
                users=counts,
                values=_of(self._values.get(attribute, {}), segment),
                labels=_of(self._labels.get(attribute, {}), segment),
            )
            for segment, counts in sorted(users.items())
        ]

    def _called(self, attribute: int, segment: int) -> tuple[str, SegmentKind]:
        if segment == _OTHER:
            return "other", SegmentKind.OTHER
        if segment == _NOT_SENT:
            return "not sent", SegmentKind.NOT_SENT
        return decoded(self._names[attribute][segment]), SegmentKind.VALUE


def _of(held: Mapping[str, Mapping[tuple[int, int], Any]], segment: int) -> dict[str, dict[int, Any]]:
    return {
        metric: {variant: each for (place, variant), each in by.items() if place == segment}
        for metric, by in held.items()
    }


def _place(value: Any, names: Sequence[str]) -> Any:
    known = [(value == name, ibis.literal(place, "int8")) for place, name in enumerate(names)]
    return ibis.cases(
        (value.isnull(), ibis.literal(_NOT_SENT, "int8")), *known, else_=ibis.literal(_OTHER, "int8")
    )
