"""Event files older than they are to be kept."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime, timedelta

from control.event_files import KINDS, EventFiles, Held
from control.merging import check

log = logging.getLogger(__name__)


def oldest_kept(now: float, keep_days: int) -> date:
    """The first day (UTC) that is kept: today and `keep_days` full days before it are."""
    return datetime.fromtimestamp(now, UTC).date() - timedelta(days=keep_days)


def remove_expired(files: EventFiles, keep_days: int, now: float, lease: Held) -> list[tuple[str, date]]:
    """Remove the days before `oldest_kept`; return which, with their kind. Blocks.

    Raises `LeaseLost` and `OSError`.
    """
    removed = []
    first_kept = oldest_kept(now, keep_days)
    for kind in KINDS:
        for day in sorted({file.day for file in files.list(kind)}):
            if day >= first_kept:
                break
            check(lease)
            files.remove_day(kind, day)
            removed.append((kind, day))
            log.info("%s events of %s were removed: older than %d days", kind, day, keep_days)
    return removed
