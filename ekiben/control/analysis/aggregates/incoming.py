"""The events of files that were not taken in, and predictions looked for in those that were."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import ibis

from ekiben.control.analysis.aggregates.kept import KeptTables
from ekiben.control.analysis.aggregates.ledger import Held, New, Outdated, news
from ekiben.control.analysis.phase import count
from ekiben.control.analysis.tables import Table
from ekiben.control.recording.files import EventFiles
from ekiben.control.recording.ranges import EventFile

_FIRST: Final = ""
_LAST: Final = "\U0010ffff"
"""No id is below the one or above the other."""


class Incoming:
    """The news of one kind. Raises `Outdated` and `Overlapping`."""

    def __init__(self, tables: KeptTables, files: EventFiles, kind: str) -> None:
        found = news(tables.standing.held.get(kind, []), files.stamped(kind))
        described = [_describe(files, new) for new in found.new]
        self._tables, self._files, self._kind = tables, files, kind
        self.gone = found.gone
        self.held = [*found.stay, *described]
        """The files that are taken in once this is."""
        self._unread = [
            (new, each)
            for new, each in zip(found.new, described, strict=True)
            if each.rows != sum(held.rows for held in new.inside)
        ]

    def __bool__(self) -> bool:
        return bool(self._unread)

    def events(self) -> Table:
        """The events that are new: none has no rows."""
        whole = [new.file for new, _ in self._unread if not new.inside]
        parts = [events_of(self._tables, self._files, self._kind, whole)] if whole or not self._unread else []
        parts += [self._rest(new, held) for new, held in self._unread if new.inside]
        return ibis.union(*parts) if len(parts) > 1 else parts[0]

    def _rest(self, new: New, held: Held) -> Table:
        """What of a file was received outside the ranges that are known."""
        rows = events_of(self._tables, self._files, self._kind, [new.file])
        known = [
            rows.received_at.between(each.file.first.received_at, each.file.last.received_at)
            for each in new.inside
        ]
        rest = rows.filter(~ibis.or_(*known))
        if held.rows - count(self._tables, rest) != sum(each.rows for each in new.inside):
            raise Outdated(f"{new.file.path} lacks rows of the files that it was merged from")
        return rest


def events_of(tables: KeptTables, files: EventFiles, kind: str, of: Sequence[EventFile]) -> Table:
    """The events of these files, with the keys that tables are kept by."""
    return keyed(tables.read(kind, [files.path(each) for each in of]))


def keyed(events: Table) -> Table:
    """128 bits in place of a user's hash and an event's id: those that its 32 hex digits stand for, as all of
    Ekiben's do, and the MD5 of another one. They take half of the room and of the time of texts, and no two
    ids have one key.
    """
    return events.mutate(user_hash=_key(events.user_hash), event_id=_key(events.event_id))


def _key(text: Any) -> Any:
    digits = (text.length() == 32) & (text == text.lower())
    held = ibis.ifelse(digits, text.try_cast("uuid"), ibis.null("uuid"))
    return ibis.coalesce(held, text.hexdigest("md5").cast("uuid"))


def _describe(files: EventFiles, new: New) -> Held:
    with files.open(new.file) as opened:
        found = opened.metadata
        groups = [found.row_group(number) for number in range(found.num_row_groups)]
        columns = [group.column(number) for group in groups for number in range(group.num_columns)]
        ids = [each.statistics for each in columns if each.path_in_schema == "prediction_id"]
        if not ids or not all(each is not None and each.has_min_max for each in ids):
            return Held(new.file, new.stamp, found.num_rows)
        least, most = min(each.min for each in ids), max(each.max for each in ids)
        return Held(new.file, new.stamp, found.num_rows, least, most)


def predictions(tables: KeptTables, files: EventFiles, held: Sequence[Held], ids: Table) -> Table:
    """The exposures of `ids`, a kept table with a `prediction_id`, of the files `held`.

    Ids rise with time, and so do the rows of files: of each file only those row groups are read that may have
    one. Raises what the engine raises.
    """
    ranges = tables.of_values(
        place=list(range(len(held))),
        least=[_FIRST if each.least is None else each.least for each in held],
        most=[_LAST if each.most is None else each.most for each in held],
    )
    asked = ids.prediction_id
    inside = ids.inner_join(ranges, [asked >= ranges.least, asked <= ranges.most])
    bounds = inside.group_by("place").aggregate(
        first=inside.prediction_id.min(), last=inside.prediction_id.max()
    )
    parts = []
    for row in tables.rows(bounds):
        rows = events_of(tables, files, "exposure", [held[row["place"]].file])
        parts.append(rows.filter(rows.prediction_id.between(row["first"], row["last"])))
    found = (
        ibis.union(*parts)
        if len(parts) > 1
        else parts[0]
        if parts
        else events_of(tables, files, "exposure", [])
    )
    return found.semi_join(ids, "prediction_id")
