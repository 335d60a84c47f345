"""The words in which a verb says what it means for users, before anything happens."""

from __future__ import annotations

from collections.abc import Mapping

from ekiben.experiments.changes.edits import find_experiment
from ekiben.experiments.document import Document, Experiment, RampBegin
from ekiben.experiments.lifecycle import Status


def words_of(before: Document, after: Document, key: str) -> Mapping[str, str]:
    """What a verb's consequence can name: the `model`, the version that is `live` before and `live_then`, and
    sentences about who `takes_part` afterwards and about the `ramp` that there is then.
    """
    old, new = find_experiment(before, key), find_experiment(after, key)
    return {
        "model": new.model,
        "live": before.models[old.model].live,
        "live_then": after.models[new.model].live,
        "takes_part": _takes_part(new),
        "ramp": _ramp(new),
    }


def _takes_part(experiment: Experiment) -> str:
    once = "" if experiment.status is Status.RUNNING else "Once it runs, "
    shares = ", ".join(
        f"{name} {'retired' if variant.retired else variant.version}"
        for name, variant in experiment.variants.items()
    )
    return f"{once}{experiment.coverage:g} % of users take part ({shares})."


def _ramp(experiment: Experiment) -> str:
    ramp = experiment.ramp
    if ramp is None:
        return f"Coverage stays at {experiment.coverage:g} % until a person changes it."
    steps = ", ".join(f"{step:g}" for step in ramp.steps)
    end = "promotes by itself if the verdict says so" if ramp.then == "promote" else "waits for a person"
    begins = ""
    if ramp.begin is RampBegin.WHEN_SHADOW_IS_NOT_WORSE and experiment.coverage < ramp.steps[0]:
        begins = "It begins once no treatment is worse on the same labelled predictions. "
    return (
        f"{begins}The ramp takes coverage to {steps} %, each step for at least {ramp.every} while its "
        f"guardrails hold. A violation rolls back by itself. After the last step it {end}."
    )
