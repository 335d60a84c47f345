"""Whether users are split as was asked, as a report has it."""

from __future__ import annotations

import msgspec


class Srm(msgspec.Struct, frozen=True):
    """The sequential sample ratio mismatch test, before any exclusion."""

    p_value: float  # anytime-valid
    threshold: float
    mismatch: bool
