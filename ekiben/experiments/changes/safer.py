"""Two histories of one document made one again: of each experiment the safer state, described in words.

After a failover to a Redis that lagged behind, both sides may have been changed. Neither is right as a whole,
and the higher revision says only who was busier: what somebody stopped stays stopped.
"""

from __future__ import annotations

from typing import Final

from ekiben.experiments.document import Document, Experiment
from ekiben.experiments.lifecycle import ACTIVE, Status
from ekiben.experiments.parsing import parse_document
from ekiben.experiments.problems import DocumentError, word

# The safest first.
_SAFETY: Final = (Status.ROLLED_BACK, Status.PROMOTED, Status.PAUSED, Status.DRAFT, Status.RUNNING)


def safer(first: Document, second: Document) -> tuple[Document, tuple[str, ...]]:
    """One document of two that have forked, and a line for each experiment in which they differ.

    Models are `first`'s (what Redis holds), but where an experiment ended on the other side that side's.
    """
    models = {**second.models, **first.models}
    experiments: dict[str, Experiment] = {}
    lines = []
    for key in dict.fromkeys([*first.experiments, *second.experiments]):
        one, other = first.experiments.get(key), second.experiments.get(key)
        taken = _safer(one, other)
        experiments[key] = taken
        if one == other:
            continue
        lines.append(f"{word(key)}: {_said(one)} and {_said(other)}, taken is {_said(taken)}")
        side = second if taken is other else first
        if taken.status not in ACTIVE and taken.status is not Status.DRAFT and taken.model in side.models:
            models[taken.model] = side.models[taken.model]
    lines += [
        f"model {word(name)}: live is {model.live}"
        for name, model in models.items()
        if first.models.get(name, model) != model
    ]
    merged = Document.model_construct(models=models, experiments=experiments)
    data = merged.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    try:
        return parse_document(data), tuple(lines)
    except DocumentError:
        # They do not fit together: what Redis holds goes on, and whatever is in doubt waits for a person.
        doubtful = {
            key: each for key, each in first.experiments.items() if second.experiments.get(key) != each
        }
        paused = {key: _paused(each) for key, each in doubtful.items()}
        kept = first.model_copy(update={"experiments": {**first.experiments, **paused}})
        return kept, (*lines, "they do not fit together: what differs is paused")


def _safer(one: Experiment | None, other: Experiment | None) -> Experiment:
    if one is None or other is None:
        found = one or other
        assert found is not None
        # Added on one side, or removed on the other: kept, and everyone gets live.
        return _paused(found)
    first, second = _SAFETY.index(one.status), _SAFETY.index(other.status)
    taken, left = (one, other) if (first, one.coverage) <= (second, other.coverage) else (other, one)
    return _with_retired(taken, left)


def _with_retired(taken: Experiment, other: Experiment) -> Experiment:
    """A treatment that one side retired is retired, unless it is the last."""
    variants = {
        name: other.variants[name] if name in other.variants and other.variants[name].retired else each
        for name, each in taken.variants.items()
    }
    _, *treatments = variants.values()
    same = taken.phase == other.phase and not all(each.retired for each in treatments)
    return taken.model_copy(update={"variants": variants}) if same and variants != taken.variants else taken


def _paused(experiment: Experiment) -> Experiment:
    if experiment.status is not Status.RUNNING:
        return experiment
    return experiment.model_copy(update={"status": Status.PAUSED})


def _said(experiment: Experiment | None) -> str:
    if experiment is None:
        return "not there"
    status = str(experiment.status).replace("_", " ")
    return f"{status} at coverage {experiment.coverage:g}" if experiment.status in ACTIVE else status
