"""What a verb will mean for users, in a sentence: what a confirmation repeats before anything happens."""

from __future__ import annotations

from ekiben.experiments.changes.actions import find_experiment
from ekiben.experiments.document import Document, Experiment
from ekiben.experiments.lifecycle import Status


def consequence(before: Document, after: Document, key: str) -> str:
    """What it means for the users of the experiment's model that `after` follows `before`."""
    old, new = find_experiment(before, key), find_experiment(after, key)
    live = before.models[old.model].live
    control, *treatments = new.variants
    once = "" if new.status is Status.RUNNING else "Once it runs, "
    shares = f"{once}{new.coverage:g} % of users take part ({control} {new.variants[control].version}, " + (
        ", ".join(f"{name} {new.variants[name].version}" for name in treatments) + ")"
    )
    if new.status is not old.status:
        match new.status:
            case Status.RUNNING:
                return f"{shares}; the others get {live}.{_ramp(new)}"
            case Status.PAUSED:
                return f"Everyone gets {live} until it is resumed; nobody's variant changes."
            case Status.ROLLED_BACK:
                return f"Everyone gets {live} within a second, and the experiment ends for good."
            case Status.PROMOTED:
                version = after.models[new.model].live
                return (
                    f"{version} becomes the live version of {new.model} instead of {live}: everyone gets it, "
                    "and the experiment ends for good."
                )
    if new.ramp != old.ramp:
        if new.ramp is None:
            return f"Coverage stays at {new.coverage:g} % until somebody changes it."
        return f"{shares}.{_ramp(new)}"
    if new.coverage != old.coverage:
        return f"{shares}; before it was {old.coverage:g} %. Nobody who still takes part changes variant."
    if new.acknowledged_model_versions != old.acknowledged_model_versions:
        return "These redeployments block the verdict no longer."
    return "Nobody gets another version."


def _ramp(experiment: Experiment) -> str:
    ramp = experiment.ramp
    if ramp is None:
        return ""
    steps = ", ".join(f"{step:g}" for step in ramp.steps)
    end = "promotes by itself if the verdict says so" if ramp.then == "promote" else "waits for a person"
    return (
        f" The ramp takes coverage to {steps} %, each step for at least {ramp.every} while its guardrails "
        f"hold; a violation rolls back by itself; after the last step it {end}."
    )
