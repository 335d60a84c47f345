"""Event files older than they are to be kept."""

from __future__ import annotations

import logging
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta

from ekiben.control.recording.files import EventFiles, Held, check
from ekiben.control.recording.ranges import EventFile

log = logging.getLogger(__name__)


def oldest_kept(now: float, keep_days: int) -> date:
    """The first day (UTC) that is kept: today and `keep_days` full days before it are."""
    return datetime.fromtimestamp(now, UTC).date() - timedelta(days=keep_days)


class Retention:
    """Removes days. `refused` is why some that are too old are still there, or None."""

    def __init__(self, files: EventFiles, keep_days: int) -> None:
        self._files = files
        self._keep_days = keep_days
        self.refused: str | None = None

    def remove_expired(self, now: float, lease: Held, doubt: str | None) -> list[tuple[str, date]]:
        """Remove the days before `oldest_kept`; return which, with their kind. Blocks.

        A day goes when its name and the clock of Redis, by which its entries are named, both call it too old.
        With a `doubt` about the clock nothing goes, nor where the newest event there is would go too: it is a
        clock that is wrong, or an installation that has slept. Raises `LeaseLost` and `OSError`.
        """
        first_kept = oldest_kept(now, self._keep_days)
        days: dict[tuple[str, date], list[EventFile]] = defaultdict(list)
        for kind in self._files.kinds():
            for file in self._files.list(kind):
                days[kind, file.day].append(file)
        expired = sorted(
            key for key, files in days.items() if all(_is_old(file, first_kept) for file in files)
        )
        if len(expired) == len(days):
            doubt = doubt or "By this controller's clock even the newest event is too old to be kept."
        if expired and doubt is not None:
            self._refuse(doubt, len({day for _, day in expired}))
            return []
        for kind, day in expired:
            check(lease)
            self._files.remove_day(kind, day)
            log.info("%s events of %s were removed: older than %d days", kind, day, self._keep_days)
        self._refuse(None, 0)
        return expired

    def _refuse(self, doubt: str | None, days: int) -> None:
        refused = doubt and f"{days} days of events are older than EKIBEN_EVENTS_DAYS and stay: {doubt}"
        if (refused is None) != (self.refused is None):
            log.warning("%s", refused or "the clock is trusted again, so nothing is kept because of it")
        self.refused = refused


def _is_old(file: EventFile, first_kept: date) -> bool:
    return file.day < first_kept and datetime.fromtimestamp(file.last.ms / 1000, UTC).date() < first_kept
