"""A snapshot: one revision of the document, compiled for the hot path.

Each request asks `Plan.assign`; it computes two short hashes and touches nothing outside its arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import msgspec

from ekiben.experiments.assignment import (
    BUCKETS,
    bucket_after,
    bucket_ranges,
    choose_variation,
    fnv32a,
    in_namespace,
)  # fmt: skip
from ekiben.experiments.differing import asked_beside
from ekiben.experiments.document import Capture, Document, Model
from ekiben.experiments.lifecycle import Status
from ekiben.experiments.version import Version

Attributes = Mapping[str, str | int | float | bool | None]
"""What an application says of a user, for conditions that say who takes part: names to plain values."""


class Assignment(msgspec.Struct, frozen=True, gc=False):
    """The pure result for a user; nothing is stored or recorded.

    `experiment` is the experiment that was asked, also when the user is in none of its variants; None
    when there was none to ask, or no user. `variant` is None outside the experiment, and `version` is live
    then. `bucket` is 0 to 9,999. `reason` is what decided: "status", "override", "namespace", "range",
    "retired" (the range is a retired variant's), "pinned" (the request named its version) or "none" (no
    running experiment, or no user). `assigned_by` is
    "hash" or "override", None outside. `phase` is 0 where there is no experiment.
    """

    experiment: str | None
    variant: str | None
    version: str
    bucket: int | None
    reason: str
    assigned_by: str | None
    phase: int

    @property
    def in_experiment(self) -> bool:
        """Whether the user takes part: has a variant, by hash or by override."""
        return self.variant is not None


@dataclass(frozen=True, slots=True)
class _Compiled:
    """An experiment, with everything computed that does not depend on the user."""

    key: str
    status: Status
    phase: int
    live: str
    seed_state: int
    ranges: tuple[tuple[float, float], ...]
    variants: tuple[tuple[str, str], ...]  # (variant, version), in the order of the ranges
    retired: frozenset[str]
    overrides: Mapping[str, str]
    namespace: tuple[str, float, float] | None
    beside: Mapping[str, tuple[str, ...]]

    def by_hash(self, user_id: str) -> Assignment:
        bucket = bucket_after(self.seed_state, user_id)
        index = choose_variation(bucket / BUCKETS, self.ranges)
        if index < 0:
            return Assignment(self.key, None, self.live, bucket, "range", None, self.phase)
        variant, version = self.variants[index]
        if variant in self.retired:
            return Assignment(self.key, None, self.live, bucket, "retired", None, self.phase)
        return Assignment(self.key, variant, version, bucket, "range", "hash", self.phase)

    def by_override(self, user_id: str) -> Assignment:
        variant = self.overrides[user_id]
        bucket = bucket_after(self.seed_state, user_id)
        version = dict(self.variants)[variant]
        return Assignment(self.key, variant, version, bucket, "override", "override", self.phase)

    def outside(self, user_id: str, reason: str) -> Assignment:
        bucket = bucket_after(self.seed_state, user_id)
        return Assignment(self.key, None, self.live, bucket, reason, None, self.phase)

    def decide(self, user_id: str) -> Assignment:
        """Status, override, namespace, range, in this order."""
        if self.status != Status.RUNNING:
            return self.outside(user_id, "status")
        if user_id in self.overrides:
            return self.by_override(user_id)
        if self.namespace is not None and not in_namespace(user_id, self.namespace):
            return self.outside(user_id, "namespace")
        return self.by_hash(user_id)


@dataclass(frozen=True)
class Plan:
    """How requests for one model are routed. `shadow` holds (version, share of requests, 0 to 1).

    `beside` holds for each (experiment, variant) whose metrics compare answers the versions whose answers a
    request needs, its own among them.
    """

    name: str
    live: str
    timeout_s: float
    cache_ttl_s: int
    versions: Mapping[str, Version]
    shadow: tuple[tuple[str, float], ...]
    capture: Capture | None = None
    beside: Mapping[tuple[str | None, str | None], tuple[str, ...]] = field(default_factory=dict)
    _running: tuple[_Compiled, ...] = field(default=(), repr=False)
    _overridden: Mapping[str, Assignment] = field(default_factory=dict, repr=False)
    _nobody: Assignment = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_nobody", Assignment(None, None, self.live, None, "none", None, 0))

    @property
    def experiments(self) -> tuple[str, ...]:
        """The keys of the model's running experiments."""
        return tuple(each.key for each in self._running)

    def assign(self, user_id: str | None, attributes: Attributes | None = None) -> Assignment:
        """Return the user's assignment among the running experiments. None gets live and is in none.

        An override of any of them wins; otherwise the namespaces leave at most one that can take the user.
        `attributes` decide nothing yet, since no experiment has conditions.
        """
        running = self._running
        if user_id is None or not running:
            return self._nobody
        if (overridden := self._overridden.get(user_id)) is not None:
            return overridden
        for experiment in running:
            namespace = experiment.namespace
            if namespace is None or in_namespace(user_id, namespace):
                return experiment.by_hash(user_id)
        return running[0].outside(user_id, "namespace")


class Snapshot:
    """One revision of a document, frozen and compiled. `plans` has a plan for each model."""

    def __init__(self, lineage: str, revision: int, document: Document) -> None:
        self.lineage = lineage
        self.revision = revision
        self.document = document
        running: dict[str, list[_Compiled]] = {name: [] for name in document.models}
        for key, each in document.experiments.items():
            if each.status == Status.RUNNING:
                running[each.model].append(_compile(document, key))
        self.plans: Mapping[str, Plan] = MappingProxyType(
            {name: _plan(name, model, tuple(running[name])) for name, model in document.models.items()}
        )

    def explain(self, experiment_key: str, user_id: str) -> Assignment:
        """Return what an experiment, of any status, does with a user. KeyError when there is none such.

        For a running experiment it agrees with `Plan.assign`: a user whom another running experiment of
        the model overrides is not in this one, and the reason is "override".
        """
        experiment = _compile(self.document, experiment_key)
        if experiment.status == Status.RUNNING:
            served = self.plans[self.document.experiments[experiment_key].model].assign(user_id)
            if served.reason == "override" and served.experiment != experiment_key:
                return experiment.outside(user_id, "override")
        return experiment.decide(user_id)


def _plan(name: str, model: Model, running: tuple[_Compiled, ...]) -> Plan:
    return Plan(
        name=name,
        live=model.live,
        timeout_s=model.timeout_ms / 1000,
        cache_ttl_s=model.cache_ttl_s,
        versions=MappingProxyType(model.versions),
        shadow=tuple((version, percent / 100) for version, percent in model.shadow.items() if percent > 0),
        capture=model.capture,
        beside={(each.key, name): needed for each in running for name, needed in each.beside.items()},
        _running=running,
        _overridden={user: each.by_override(user) for each in running for user in each.overrides},
    )


def _compile(document: Document, key: str) -> _Compiled:
    experiment = document.experiments[key]
    weights = [variant.weight / 100 for variant in experiment.variants.values()]
    namespace = experiment.namespace
    return _Compiled(
        key=key,
        status=experiment.status,
        phase=experiment.phase,
        live=document.models[experiment.model].live,
        seed_state=fnv32a(experiment.seed or key),
        ranges=tuple(bucket_ranges(len(weights), experiment.coverage / 100, weights)),
        variants=tuple((name, variant.version) for name, variant in experiment.variants.items()),
        retired=frozenset(name for name, each in experiment.variants.items() if each.retired),
        overrides=experiment.overrides,
        namespace=(namespace.name, namespace.from_ / 100, namespace.to / 100) if namespace else None,
        beside=asked_beside(experiment),
    )
