"""How long outcomes take to arrive: a comparison is fair where they take as long in every variant."""

from __future__ import annotations

import msgspec


class VariantDelays(msgspec.Struct, frozen=True):
    """The outcomes of one variant's matured users that happened in the window."""

    variant: str
    users: int  # with such an outcome
    late: int  # users whose last one arrived more than `after_hours` after the window
    p95_s: float | None  # 95 % arrived within so many seconds of when they happened


class Delays(msgspec.Struct, frozen=True):
    """The delays of all variants, and whether other shares of users have late outcomes."""

    variants: tuple[VariantDelays, ...]
    after_hours: float
    p_value: float  # anytime-valid
    threshold: float
    differ: bool
    unknown: bool  # outcomes come after the window, and too few have come to compare how long they take

    @property
    def by_variant(self) -> dict[str, VariantDelays]:
        """The same by the variant's name."""
        return {each.variant: each for each in self.variants}
