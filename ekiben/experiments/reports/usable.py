"""Who has what a metric is taken over: comparing some users is fair where they are alike in all variants."""

from __future__ import annotations

import msgspec


class UsableShare(msgspec.Struct, frozen=True):
    """A variant's matured users, and those of them with an outcome that the metric can use."""

    variant: str
    matured: int
    usable: int

    @property
    def share(self) -> float | None:
        """Between 0 and 1, None without users."""
        return self.usable / self.matured if self.matured else None


class UsableShares(msgspec.Struct, frozen=True):
    """The shares of all variants, and whether they differ by more than chance."""

    variants: tuple[UsableShare, ...]
    p_value: float  # anytime-valid
    threshold: float
    differ: bool
