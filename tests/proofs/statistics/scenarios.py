"""What is simulated: every scenario by its name. Seeds follow from the names' order and one number."""

from __future__ import annotations

from functools import cache

from ekiben.experiments.statistics.sample_size import SampleSize, Spread, sample_size
from tests.proofs.statistics.peeking import ALPHA, Scenario
from tests.proofs.statistics.populations import (
    ALL,
    CAPPED,
    NORMAL,
    PROPORTION,
    PURCHASES,
    RARE,
    SHARES,
    Population,
)

POWER = 0.8
SPLITS = (0.5, 0.2, 0.05)
A_A_USERS = 20_000


def plan(population: Population, share: float) -> SampleSize:
    """The sample that the planned effect asks for."""
    return sample_size(
        population.truth(population.planned),
        Spread(population.std(0.0), population.std(population.planned), population in SHARES),
        (1 - share, share),
        alpha=ALPHA,
        power=POWER,
    )


def split(share: float) -> str:
    return f"{100 * (1 - share):g}/{100 * share:g}"


@cache
def no_difference() -> dict[str, Scenario]:
    """A/A: the same for all."""
    return {
        f"A/A {population.name} {split(share)}": Scenario(population, A_A_USERS, share)
        for population in ALL
        for share in SPLITS
    }


@cache
def difference() -> dict[str, Scenario]:
    """A/B: the planned effect, the planned sample."""
    return {
        f"A/B {population.name} {split(share)}": Scenario(
            population, plan(population, share).users, share, population.planned
        )
        for population in ALL
        for share in (SPLITS if population is CAPPED else SPLITS[:2])
    }


@cache
def at_the_margin() -> dict[str, Scenario]:
    """Guardrails whose true effect is exactly the margin: neither "holds" nor "violated" would be right."""
    cases = ((NORMAL, -0.5, 0.05, "higher"), (PURCHASES, -0.005, 0.1, "higher"))
    cases += ((PROPORTION, 0.01, 0.2, "lower"), (RARE, 0.005, 1.0, "lower"))
    return {
        f"margin {population.name} {split(share)}": Scenario(
            population, A_A_USERS, share, size, max_worse=worse, better=better
        )
        for population, size, worse, better in cases
        for share in (0.5, 0.05)
    }


@cache
def mismatched() -> dict[str, Scenario]:
    """Splits that are not what was asked."""
    return {
        f"SRM asked 50/50, got {split(got)}": Scenario(NORMAL, A_A_USERS, got, asked=0.5, experiments=200)
        for got in (0.49, 0.48, 0.45)
    }


@cache
def scenarios() -> dict[str, Scenario]:
    return no_difference() | difference() | at_the_margin() | mismatched()
