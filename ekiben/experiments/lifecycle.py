"""The life of an experiment: its statuses, and which may follow which.

draft → running ⇄ paused → promoted | rolled back. The last two are ends: what comes next is another
experiment, with a key of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Status(StrEnum):
    """Where an experiment stands; only a running one assigns users."""

    DRAFT = "draft"
    RUNNING = "running"
    PAUSED = "paused"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"


# What may follow each status, besides itself.
TRANSITIONS: Mapping[Status, frozenset[Status]] = {
    Status.DRAFT: frozenset({Status.RUNNING}),
    Status.RUNNING: frozenset({Status.PAUSED, Status.PROMOTED, Status.ROLLED_BACK}),
    Status.PAUSED: frozenset({Status.RUNNING, Status.PROMOTED, Status.ROLLED_BACK}),
    Status.PROMOTED: frozenset(),
    Status.ROLLED_BACK: frozenset(),
}

# An experiment in one of these holds its users: its model's traffic and its ranges are taken.
ACTIVE = frozenset({Status.RUNNING, Status.PAUSED})
