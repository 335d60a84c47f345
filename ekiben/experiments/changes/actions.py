"""What a person or a ramp does with an experiment: each verb makes one document of another.

Every verb raises DocumentError, in words, for what is not possible; `check_change` and `parse_document` are
the law for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from ekiben.experiments.changes.allowed import check_change
from ekiben.experiments.document import Document, Experiment, Ramp, Version
from ekiben.experiments.lifecycle import ACTIVE, Status
from ekiben.experiments.parsing import parse_document
from ekiben.experiments.problems import DocumentError, listed, problem, unknown, word

# From which statuses a verb can be used, and which it leads to.
_MOVES: Final[Mapping[str, tuple[frozenset[Status], Status]]] = {
    "start": (frozenset({Status.DRAFT}), Status.RUNNING),
    "pause": (frozenset({Status.RUNNING}), Status.PAUSED),
    "resume": (frozenset({Status.PAUSED}), Status.RUNNING),
    "promote": (ACTIVE, Status.PROMOTED),
    "roll back": (ACTIVE, Status.ROLLED_BACK),
}


def start(document: Document, key: str) -> Document:
    """A draft begins to assign users; with a ramp, at the ramp's first step."""
    experiment = find_experiment(document, key)
    coverage = {} if experiment.ramp is None else {"coverage": experiment.ramp.steps[0]}
    return _moved(document, key, "start", **coverage)


def pause(document: Document, key: str) -> Document:
    """Everyone gets live for a while; nobody's variant is forgotten."""
    return _moved(document, key, "pause")


def resume(document: Document, key: str) -> Document:
    """A paused experiment assigns users again, each to the variant of before."""
    return _moved(document, key, "resume")


def roll_back(document: Document, key: str) -> Document:
    """The experiment ends with the control: everyone gets live, for good."""
    return _moved(document, key, "roll back")


def promote(document: Document, key: str, variant: str | None = None) -> Document:
    """The experiment ends and the version of a treatment becomes live, in one change.

    `variant` may be left out where there is one treatment. A version that becomes live is shadowed no longer.
    Other active experiments of the model have to end before: they are compared with the version that is live.
    """
    experiment = find_experiment(document, key)
    version = experiment.variants[_treatment(key, experiment, variant)].version
    others = [
        other
        for other, each in document.experiments.items()
        if other != key and each.model == experiment.model and each.status in ACTIVE
    ]
    if experiment.status in ACTIVE and others:
        live = document.models[experiment.model].live
        raise _refusal(
            key,
            f"cannot be promoted beside other active experiments of {word(experiment.model)}: they compare "
            f"with {word(live)}, which would not be live any more. End {listed(others)} first (`ekiben "
            f"roll-back {others[0]}`), then promote",
        )
    moved = _with_experiment(document, key, experiment, status=_next_status(key, experiment, "promote"))
    model = document.models[experiment.model]
    shadow = {name: percent for name, percent in model.shadow.items() if name != version}
    promoted = model.model_copy(update={"live": version, "shadow": shadow})
    models = {**document.models, experiment.model: promoted}
    return _lawful(document, moved.model_copy(update={"models": models}))


def set_coverage(document: Document, key: str, coverage: float) -> Document:
    """So many percent of users take part from now on; nobody who takes part changes variant."""
    experiment = _not_ended(document, key)
    return _lawful(document, _with_experiment(document, key, experiment, coverage=float(coverage)))


def set_ramp(document: Document, key: str, ramp: Ramp | None) -> Document:
    """Coverage is raised by these steps from now on; None leaves it where it is."""
    experiment = _not_ended(document, key)
    if ramp is None and experiment.ramp is None:
        raise _refusal(key, "has no ramp")
    return _lawful(document, _with_experiment(document, key, experiment, ramp=ramp))


def acknowledge(document: Document, key: str, model_versions: Iterable[str]) -> Document:
    """Somebody has looked at these redeployments: they block no verdict any more."""
    experiment = find_experiment(document, key)
    held = experiment.acknowledged_model_versions
    new = [each for each in dict.fromkeys(model_versions) if each not in held]
    if not new:
        raise _refusal(key, "has no redeployment that is not acknowledged")
    return _lawful(
        document, _with_experiment(document, key, experiment, acknowledged_model_versions=(*held, *new))
    )


def shadow(
    document: Document, model: str, version: str, percent: float, endpoints: Iterable[str] = ()
) -> Document:
    """Copy `percent` (0 to 100) of a model's requests to a version that serves nobody by it; 0 ends it.

    With `endpoints` the version is added, or moved there; without it must be known.
    """
    held = document.models.get(model)
    if held is None:
        raise DocumentError([problem(("models",), unknown("model", model, document.models))])
    versions = dict(held.versions)
    if urls := tuple(endpoints):
        known = versions.get(version) or Version.model_construct(endpoints=urls)
        versions[version] = known.model_copy(update={"endpoints": urls})
    if version == held.live and percent > 0:
        raise DocumentError([problem(("models", model, "shadow"), f"{word(version)} is live: it serves")])
    shares = {name: share for name, share in held.shadow.items() if name != version}
    if percent:
        shares[version] = percent
    copied = held.model_copy(update={"versions": versions, "shadow": shares})
    return _lawful(document, document.model_copy(update={"models": {**document.models, model: copied}}))


def forget_user(document: Document, user_id: str) -> Document:
    """No experiment overrides this user any more; an equal document when none did."""
    experiments = {
        key: experiment.model_copy(
            update={
                "overrides": {user: name for user, name in experiment.overrides.items() if user != user_id}
            }
        )
        for key, experiment in document.experiments.items()
    }
    return document.model_copy(update={"experiments": experiments})


def find_experiment(document: Document, key: str) -> Experiment:
    """The experiment of that key. Raises DocumentError."""
    if key not in document.experiments:
        raise DocumentError([unknown("experiment", key, document.experiments)])
    return document.experiments[key]


def _moved(document: Document, key: str, verb: str, **update: Any) -> Document:
    experiment = find_experiment(document, key)
    status = _next_status(key, experiment, verb)
    return _lawful(document, _with_experiment(document, key, experiment, status=status, **update))


def _next_status(key: str, experiment: Experiment, verb: str) -> Status:
    allowed, status = _MOVES[verb]
    if experiment.status in allowed:
        return status
    others = [each for each, (start_from, _) in _MOVES.items() if experiment.status in start_from]
    could = f"what can be done is {', '.join(others)}" if others else "that is an end"
    raise _refusal(key, f"is {_said(experiment.status)}, so you cannot {verb} it: {could}")


def _treatment(key: str, experiment: Experiment, variant: str | None) -> str:
    control, *treatments = experiment.variants
    if variant is None:
        if len(treatments) > 1:
            raise _refusal(key, f"has {len(treatments)} treatments: name one of {listed(treatments)}")
        return treatments[0]
    if variant == control:
        raise _refusal(key, f"{word(variant)} is the control: to end with it, roll back")
    if variant not in treatments:
        raise _refusal(key, unknown("treatment", variant, treatments))
    return variant


def _not_ended(document: Document, key: str) -> Experiment:
    experiment = find_experiment(document, key)
    if experiment.status in (Status.PROMOTED, Status.ROLLED_BACK):
        raise _refusal(key, f"is {_said(experiment.status)}: nobody takes part any more")
    return experiment


def _with_experiment(document: Document, key: str, experiment: Experiment, **update: Any) -> Document:
    experiments = {**document.experiments, key: experiment.model_copy(update=update)}
    return document.model_copy(update={"experiments": experiments})


def _lawful(before: Document, after: Document) -> Document:
    checked = parse_document(after.model_dump(mode="json", by_alias=True, exclude_defaults=True))
    check_change(before, checked)
    return checked


def _said(status: Status) -> str:
    return str(status).replace("_", " ")


def _refusal(key: str, message: str) -> DocumentError:
    return DocumentError([problem(("experiments", key), message)])
