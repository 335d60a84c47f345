"""The fields of a ramp as a form has them, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ekiben.control.acting.verbs import RampFields
from ekiben.experiments.document import Experiment, Ramp
from ekiben.experiments.problems import DocumentError, problem

_USUAL: Final = (2.0, 10.0, 50.0, 100.0)


def ramp_values(experiment: Experiment) -> dict[str, str]:
    """What the form shows at first: the ramp that there is, else the usual steps that are still ahead."""
    ramp = experiment.ramp
    if ramp is None:
        ahead = tuple(step for step in _USUAL if step >= experiment.coverage)
        ramp = Ramp(steps=ahead or (100.0,))
    return {
        "steps": ", ".join(f"{step:g}" for step in ramp.steps),
        "every": ramp.every,
        "min_users_per_step": str(ramp.min_users_per_step),
        "then": str(ramp.then),
    }


def ramp_fields(form: Mapping[str, str]) -> RampFields:
    """The form's values as the document has them. Raises `DocumentError` for what is no number."""
    try:
        return {
            "steps": tuple(float(step) for step in form.get("steps", "").replace("%", "").split(",")),
            "every": form.get("every", "").strip(),
            "min_users_per_step": int(form.get("min_users_per_step", "")),
            "then": form.get("then", ""),
        }
    except ValueError:
        path = ("ramp",)
        message = "steps are percentages with commas between them, users a whole number"
        raise DocumentError([problem(path, message)]) from None
