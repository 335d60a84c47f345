"""Shares as the buckets have them: 10,000 for an experiment's variants, 1,000 places for a namespace.

What is asked for in percent is rounded to whole buckets: with weights 95 and 5 at a coverage of 0.1 %, 10 and
1 of them. A share that no bucket can express gets nobody.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

from ekiben.experiments.assignment import BUCKETS, bucket_ranges
from ekiben.experiments.document import Experiment, Namespace
from ekiben.experiments.lifecycle import ACTIVE, Status
from ekiben.experiments.problems import Path, Problems, word

PLACES: Final = 1_000
"""Hash version 1, which decides namespaces, knows so many places."""

_LEAST_WEIGHT: Final = 100 / BUCKETS


def buckets_of(experiment: Experiment, coverage: float) -> tuple[range, ...]:
    """The buckets that each variant has at a coverage in percent, in the document's order."""
    weights = [variant.weight / 100 for variant in experiment.variants.values()]
    held, taken = [], 0
    for start, end in bucket_ranges(len(weights), coverage / 100, weights):
        # As `choose_variation` decides: the first range that holds a bucket has it.
        first = max(_first_from(start, BUCKETS), taken)
        taken = max(_first_from(end, BUCKETS), first)
        held.append(range(first, taken))
    return tuple(held)


def buckets_held(experiment: Experiment, coverage: float) -> tuple[int, ...]:
    """How many buckets each variant has at a coverage in percent, in the document's order."""
    return tuple(map(len, buckets_of(experiment, coverage)))


def share_problems(experiment: Experiment) -> Problems:
    """Yield (path in the experiment, message) for each share that gets nobody, with the nearest that does."""
    if experiment.status not in (Status.DRAFT, *ACTIVE):
        return
    nobody = [name for name, variant in experiment.variants.items() if variant.weight < _LEAST_WEIGHT]
    for name in nobody:
        words = (
            f"a weight of {experiment.variants[name].weight:g} gets no users: give it at least "
            f"{_LEAST_WEIGHT:g}, or leave the variant out"
        )
        yield ("variants", name, "weight"), words
    if experiment.namespace is not None and not _places_held(experiment.namespace):
        yield ("namespace",), _namespace_words(experiment.namespace)
    if nobody:
        return
    for path, coverage in _coverages(experiment):
        held = buckets_held(experiment, coverage)
        if coverage > 0 and 0 in held:
            empty = list(experiment.variants)[held.index(0)]
            least = _least_coverage(experiment, coverage)
            words = (
                f"at {coverage:g} % variant {word(empty)} has none of the {BUCKETS:,} buckets, so "
                f"no user gets it: the least coverage at which every variant has one is {least:g} %"
            )
            yield path, words


def same_shares(before: Experiment, after: Experiment) -> bool:
    """Whether nothing changed that decides who takes part: what is stored already is not refused."""
    return _shares(before) == _shares(after)


def _shares(experiment: Experiment) -> object:
    weights = [(name, variant.weight) for name, variant in experiment.variants.items()]
    steps = experiment.ramp.steps if experiment.ramp is not None else ()
    return weights, experiment.coverage, steps, experiment.namespace, experiment.status is Status.DRAFT


def _coverages(experiment: Experiment) -> Iterator[tuple[Path, float]]:
    yield ("coverage",), experiment.coverage
    for place, step in enumerate(experiment.ramp.steps if experiment.ramp is not None else ()):
        yield ("ramp", "steps", place), step


def _least_coverage(experiment: Experiment, above: float) -> float:
    """The least coverage, in percent and whole buckets, that gives every variant one; 100 gives each one."""
    tried = range(int(above * BUCKETS / 100), BUCKETS)
    found = bisect_left(tried, True, key=lambda n: all(buckets_held(experiment, 100 * n / BUCKETS)))
    return 100 * (tried.start + found) / BUCKETS


def _first_from(share: float, places: int) -> int:
    """The first of so many places whose number, as a share, is not below `share`."""
    return bisect_left(range(places), share, key=lambda n: n / places)


def _places_held(namespace: Namespace) -> int:
    start, end = namespace.from_ / 100, namespace.to / 100
    return max(_first_from(end, PLACES) - _first_from(start, PLACES), 0)


def _namespace_words(namespace: Namespace) -> str:
    step = 100 / PLACES
    near = min(int(namespace.from_ / step), PLACES - 1) * step
    return (
        f"{namespace.from_:g} to {namespace.to:g} % holds none of the {PLACES:,} places of a namespace, so "
        f"no user takes part: the nearest range with users is {near:g} to {near + step:g}"
    )
