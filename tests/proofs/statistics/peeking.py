"""Many experiments, looked at again and again through the functions that the controller uses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import hypot

import numpy as np

from ekiben.experiments.judging.states import hold_alpha, metric_state
from ekiben.experiments.reports.effect import Interval
from ekiben.experiments.reports.metric import Role, State
from ekiben.experiments.statistics.effects import effect
from ekiben.experiments.statistics.moments import Moments
from ekiben.experiments.statistics.sequential import JUDGED_FROM, confidence_sequence
from ekiben.experiments.statistics.srm import SRM_ALPHA, srm_test
from tests.proofs.statistics.populations import Floats, Population

ALPHA = 0.05
_CHUNK = 25


@dataclass(frozen=True)
class Scenario:
    """`experiments` of `users` each, looked at `looks` times, evenly; `share` of users is treated."""

    population: Population
    users: int
    share: float = 0.5
    size: float = 0.0
    max_worse: float | None = None  # judges a guardrail with this margin, a share of the control's mean
    better: str = "higher"
    asked: float | None = None  # the share that the split was meant to have, for SRM
    experiments: int = 1000
    looks: int = 100


@dataclass
class Seen:
    """In how many experiments something happened by each look; all counts but `experiments`."""

    experiments: int
    sequential: list[int]  # called better or worse by this look
    naive: list[int]  # an ordinary p-value below alpha by this look
    unsteadied: int = 0  # as sequential, with the ordinary standard errors
    naive_last: int = 0  # an ordinary p-value below alpha at the last look
    better: int = 0
    missed: int = 0  # an interval without the truth at some look
    relative_missed: int = 0
    holds: int = 0  # a guardrail called so at some look
    violated: int = 0
    srm: int = 0
    naive_srm: int = 0


def peek(scenario: Scenario, seed: Sequence[int]) -> Seen:
    """Simulate and look. Each look sees sums only: `Moments` of both variants."""
    seen = Seen(scenario.experiments, [0] * scenario.looks, [0] * scenario.looks)
    rng = np.random.default_rng(seed)
    for begin in range(0, scenario.experiments, _CHUNK):
        count = min(_CHUNK, scenario.experiments - begin)
        control, treatment = _sums(scenario, rng, count)
        for place in range(count):
            _follow(scenario, _rows(control, place), _rows(treatment, place), seen)
    return seen


def _sums(
    scenario: Scenario, rng: np.random.Generator, count: int
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """For control and treatment the running sums of each experiment at each look."""
    step = -(-scenario.users // scenario.looks)
    shape = (count, scenario.looks, step)
    treated = rng.random(shape) < scenario.share
    x, y = scenario.population.draw(rng, treated, scenario.size)
    terms = {"n": np.ones(shape), "x": x, "xx": x * x, "y": y, "yy": y * y, "xy": x * y}
    both = {name: term.sum(2).cumsum(1) for name, term in terms.items()}
    treatment = {name: (term * treated).sum(2).cumsum(1) for name, term in terms.items()}
    return {name: both[name] - treatment[name] for name in both}, treatment


def _rows(sums: dict[str, Floats], place: int) -> list[Moments]:
    """One experiment's moments at each look."""
    columns = [sums[name][place].tolist() for name in ("n", "x", "xx", "y", "yy", "xy")]
    return [Moments(int(n), *rest) for n, *rest in zip(*columns, strict=True)]


def _follow(scenario: Scenario, control: list[Moments], treatment: list[Moments], seen: Seen) -> None:
    """One experiment, look by look."""
    asked = scenario.share if scenario.asked is None else scenario.asked
    happened: set[str] = set()
    for look, (before, after) in enumerate(zip(control, treatment, strict=True)):
        if srm_test((before.n, after.n), (1 - asked, asked)).mismatch:
            happened.add("srm")
        if _ordinary_srm(before.n, after.n, asked):
            happened.add("naive_srm")
        if min(before.n, after.n) >= JUDGED_FROM:
            now = set(_judged(scenario, before, after))
            if "naive" in now and look == scenario.looks - 1:
                happened.add("naive_last")
            for name, by_look in (("sequential", seen.sequential), ("naive", seen.naive)):
                if name in now - happened:
                    for later in range(look, scenario.looks):
                        by_look[later] += 1
            happened |= now
    for name in happened - {"sequential", "naive"}:
        setattr(seen, name, getattr(seen, name) + 1)


def _judged(scenario: Scenario, control: Moments, treatment: Moments) -> Iterator[str]:
    """What is said, or wrong, at one look."""
    population, users = scenario.population, min(control.n, treatment.n)
    before, after = population.estimate(control, treatment)
    known = effect(before, after, ALPHA)
    state = metric_state(Role.DECIDES, scenario.better, known, None, None, users)
    if state in (State.BETTER, State.WORSE):
        yield "sequential"
    if state is State.BETTER:
        yield "better"
    if before is not None and after is not None and known.absolute is not None:
        ordinary = hypot(before.std_error, after.std_error)
        if misses(confidence_sequence(known.absolute, ordinary, control.n + treatment.n, ALPHA), 0.0):
            yield "unsteadied"
    if known.fixed_p_value is not None and known.fixed_p_value < ALPHA:
        yield "naive"
    truth = population.truth(scenario.size)
    if misses(known.interval, truth):
        yield "missed"
    if misses(known.relative_interval, truth / population.mean):
        yield "relative_missed"
    if scenario.max_worse is not None and before is not None:
        margin = scenario.max_worse
        state = metric_state(
            Role.GUARDRAIL,
            scenario.better,
            known,
            margin,
            before.value,
            users,
            hold_at=hold_alpha(ALPHA, 1),
        )
        if state in (State.HOLDS, State.VIOLATED):
            yield state.value


def misses(interval: Interval, truth: float) -> bool:
    low, high = interval.low, interval.high
    return (low is not None and truth < low) or (high is not None and truth > high)


def _ordinary_srm(control: int, treatment: int, share: float) -> bool:
    """Pearson's test at the same level: its 0.1 % quantile with one degree of freedom is 10.83."""
    users = control + treatment
    return bool((treatment - users * share) ** 2 / (users * share * (1 - share)) > 10.827566170662733)


assert SRM_ALPHA == 0.001  # what the quantile above belongs to
