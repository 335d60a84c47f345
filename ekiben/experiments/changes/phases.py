"""Which experiments ran, and up to which phase, also of those that are in the document no longer.

Events are kept by the experiment's name and phase. An experiment that was removed and another that is given
its name and phase would share them: what the first one's users did would decide about the second.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ekiben.experiments.document import Document
from ekiben.experiments.lifecycle import ACTIVE, Status
from ekiben.experiments.problems import DocumentError, Path


def ran_by(data: Any) -> dict[str, int]:
    """The phase of each experiment that is no draft, in a document as plain values, of whatever release."""
    found: dict[str, int] = {}
    experiments = data.get("experiments") if isinstance(data, dict) else None
    for key, each in experiments.items() if isinstance(experiments, dict) else ():
        if isinstance(each, dict) and each.get("status", Status.DRAFT) != Status.DRAFT:
            phase = each.get("phase")
            found[key] = phase if isinstance(phase, int) else 1
    return found


def beginning(before: Document | None, after: Document) -> dict[str, int]:
    """The phase of each experiment that gives users a variant by `after` and was not there, or a draft, in
    `before`.
    """
    held = before.experiments if before is not None else {}
    known = {key for key, each in held.items() if each.status is not Status.DRAFT}
    found = after.experiments.items()
    return {key: each.phase for key, each in found if each.status in ACTIVE and key not in known}


def check_phases(begins: Mapping[str, int], ran: Mapping[str, int]) -> None:
    """Raise DocumentError where what begins ran before, in that phase or a later one."""
    found: list[tuple[Path, str]] = []
    for key, phase in begins.items():
        last = ran.get(key, 0)
        if phase <= last:
            message = (
                f"another experiment of this name ran up to phase {last}, and its users would count: begin "
                f"with phase {last + 1} and a seed of its own, such as {key}-{last + 1}, or take another name"
            )
            found.append((("experiments", key, "phase"), message))
    if found:
        raise DocumentError.at(found)
