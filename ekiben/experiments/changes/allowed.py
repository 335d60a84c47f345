"""Which change of a document may follow another.

1. Statuses change as the life cycle says.
2. While an experiment runs or is paused, what decides who gets which variant stays as it is: a change of
   weights would move users, and who moves is who came early. Coverage moves no user and may always change.
   A retired treatment stays retired: its users would come back with what they have missed.
3. A share that the buckets cannot express is refused (`ekiben.experiments.shares`), and so is a margin of 0.
4. Nor does `planned_users` change: intervals keep their promise for one number that was fixed beforehand.
5. The first `only_where` comes with a phase: earlier requests were not answered by both versions.
6. A new phase lifts rules 2, 4 and 5: a higher `phase` together with another seed deals the users again, and
   the analysis begins again.
"""

from __future__ import annotations

from collections.abc import Iterator

from ekiben.experiments.differing import asked_beside
from ekiben.experiments.document import Document, Experiment
from ekiben.experiments.lifecycle import ACTIVE, TRANSITIONS, Status
from ekiben.experiments.metric_checks import margin_problems
from ekiben.experiments.problems import DocumentError, Path, Problems, below, word
from ekiben.experiments.shares import same_shares, share_problems

_OWN_SEED = "a new phase has a seed that was not used before"
_RAISE = "raise phase too, and the analysis begins again"
_NEW_PHASE = "begin a new phase: raise phase and name a seed that was not used before"
_PLANNED: Path = ("planned_users",)
_INSTEAD = f"raise coverage, which moves no user; or {_NEW_PHASE}"


def check_change(before: Document | None, after: Document) -> None:
    """Raise DocumentError unless `after` may follow `before`; None is an empty store.

    Both documents are valid by themselves. A new experiment may begin in any status. A share that gets nobody
    is refused where it comes in and not where it stands already: what is stored has to load.
    """
    held = before.experiments if before is not None else {}
    found: list[tuple[Path, str]] = []
    for key, new in after.experiments.items():
        if key not in held or not same_shares(held[key], new):
            found += below(("experiments", key), share_problems(new))
        if key not in held or held[key].metrics != new.metrics:
            found += below(("experiments", key), margin_problems(new))
    for key, old in held.items():
        path = ("experiments", key)
        if key in after.experiments:
            found += below(path, _changes(old, after.experiments[key], key, after))
        elif old.status in ACTIVE:
            found.append((path, f"is {old.status}: set its status to rolled_back before you remove it"))
    if found:
        raise DocumentError.at(found)


def _changes(old: Experiment, new: Experiment, key: str, after: Document) -> Problems:
    """Yield (path in the experiment, message) for each change from `old` to `new` that is not allowed."""
    if new.status != old.status:
        if new.status not in TRANSITIONS[old.status]:
            yield ("status",), _no_way(old.status, new.status)
        elif new.status == Status.PROMOTED:
            yield from _promotion_problems(new, after)
    if old.status not in ACTIVE:
        return
    same_seed = (old.seed or key) == (new.seed or key)
    if new.phase < old.phase:
        yield ("phase",), f"goes back from {old.phase} to {new.phase}: a phase only rises"
    elif new.phase > old.phase:
        if same_seed:
            yield ("seed",), f"is still {word(new.seed or key)}: {_OWN_SEED}, such as {key}-{new.phase}"
    else:
        refused = f"cannot change while the experiment is {old.status}"
        if not same_seed:
            yield ("seed",), f"{refused}, but with a new phase: {_RAISE}"
        for path in _fixed_paths_changed(old, new):
            yield path, f"{refused}: {_NEW_PHASE if path == _PLANNED else _INSTEAD}"
        yield from _asked_anew(old, new)


def _asked_anew(old: Experiment, new: Experiment) -> Problems:
    """The first `only_where` of a phase that has begun: until now nobody asked both versions."""
    if not asked_beside(old):
        for place, metric in enumerate(new.metrics):
            if metric.only_where is not None:
                message = "needs both versions' answers from the first request of a phase on"
                yield ("metrics", place, "only_where"), f"{message}: {_NEW_PHASE}"


def _fixed_paths_changed(old: Experiment, new: Experiment) -> Iterator[Path]:
    if new.model != old.model:
        yield ("model",)
    if list(new.variants) != list(old.variants):
        yield ("variants",)
    else:
        for name, variant in old.variants.items():
            if new.variants[name].version != variant.version:
                yield "variants", name, "version"
            if new.variants[name].weight != variant.weight:
                yield "variants", name, "weight"
            if variant.retired and not new.variants[name].retired:
                yield "variants", name, "retired"
    if new.namespace != old.namespace:
        yield ("namespace",)
    if new.planned_users != old.planned_users:
        yield _PLANNED


def _promotion_problems(new: Experiment, after: Document) -> Problems:
    treatments = [variant.version for variant in list(new.variants.values())[1:]]
    if after.models[new.model].live not in treatments:
        message = "promoted means that a treatment has become live: set"
        yield ("status",), f"{message} models.{new.model}.live to {' or '.join(treatments)}"


def _no_way(old: Status, new: Status) -> str:
    ways = ", ".join(sorted(TRANSITIONS[old]))
    if not ways:
        return f"cannot go from {old} to {new}: {old} is an end; begin another experiment with its own key"
    return f"cannot go from {old} to {new}: from {old} it can go to {ways}"
