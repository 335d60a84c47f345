"""What became of the users and the outcomes that came in."""

from __future__ import annotations

from typing import Final

import msgspec

WAITING: Final = "waiting"
"""The code of users and outcomes that will count once a window is over."""


class LeftOut(msgspec.Struct, frozen=True):
    """Users or outcomes that do not count, and why. Those of outcomes have a code, and say what to change."""

    reason: str
    what: str  # users | outcomes
    count: int
    code: str = ""
    advice: str = ""


class OutcomeCounts(msgspec.Struct, frozen=True):
    """What became of outcomes. Those accepted since the phase's first exposure, with earlier ones that count:
    exactly the counted ones and every line of `Report.left_out` that is of outcomes.
    """

    accepted: int
    counted: int
