"""The sums from which means, proportions, ratios and CUPED are computed: all that leaves the engine.

They add up, so that shards and stretches of time merge and no user's row is needed (tea-tasting's and
gbstats' idea). Sums of squares lose digits when a mean is very much larger than its standard deviation: take
a constant off the values before they are summed where that is so.
"""

from __future__ import annotations

from operator import add

import msgspec
from msgspec.structs import astuple


class Moments(msgspec.Struct, frozen=True):
    """Sums over `n` users: of the metric x, of the second value y (a ratio's denominator or CUPED's
    covariate), of their squares and of their product.
    """

    n: int = 0
    x: float = 0.0
    xx: float = 0.0
    y: float = 0.0
    yy: float = 0.0
    xy: float = 0.0

    def __add__(self, other: Moments) -> Moments:
        """The moments of both sets of users together; nobody may be in both."""
        return Moments(*map(add, astuple(self), astuple(other)))

    @property
    def effective(self) -> float:
        """How many users of equal weight say as much of a ratio as these with their y: (Σy)² / Σy² (L. Kish,
        "Survey Sampling", 1965). 0 where y adds up to nothing.
        """
        return self.y * self.y / self.yy if self.yy else 0.0

    @property
    def mean(self) -> float | None:
        """The mean of x, None without users."""
        return self.x / self.n if self.n else None

    @property
    def mean_y(self) -> float | None:
        """The mean of y, None without users."""
        return self.y / self.n if self.n else None

    @property
    def var(self) -> float | None:
        """The sample variance of x (n - 1 in the denominator), None below two users."""
        return self.var_beside(0.0)

    def var_beside(self, coefficient: float) -> float | None:
        """The sample variance of x - coefficient · y (n - 1 in the denominator), None below two users."""
        if self.n < 2:
            return None
        total = self.x - coefficient * self.y
        squares = self.xx - 2 * coefficient * self.xy + coefficient * coefficient * self.yy
        # Rounding can leave a constant's variance just below 0.
        return max(squares - total * total / self.n, 0.0) / (self.n - 1)

    @property
    def var_y(self) -> float | None:
        """The sample variance of y (n - 1 in the denominator), None below two users."""
        return Moments(self.n, self.y, self.yy).var

    @property
    def cov(self) -> float | None:
        """The sample covariance of x and y (n - 1 in the denominator), None below two users."""
        return (self.xy - self.x * self.y / self.n) / (self.n - 1) if self.n > 1 else None
