"""Which images there are: one for each build file."""

from __future__ import annotations

from typing import Final

from deploy.bentos import ROOT, build_files
from deploy.requirements import FOLDER
from ekiben.building.images.image import Image
from ekiben.project.models import read_models
from ekiben.project.names import stored_name

_MOST_MIB: Final = {"ekiben_router": 300}


def images() -> dict[str, Image]:
    """All images, by name."""
    most = {
        stored_name(model, version): one.most_mib
        for model, its in read_models(ROOT).items()
        for version, one in its.versions.items()
    } | _MOST_MIB
    found = {}
    for bento, file in build_files().items():
        what = bento.removeprefix("ekiben_")
        # An image starts the router and the controller without BentoML.
        target, lock = (
            ("service", file.requirements) if file.serves_a_model else (what, FOLDER / f"{what}_process.txt")
        )
        pinned = tuple(line for line in lock.read_text().splitlines() if line and not line.startswith("#"))
        name = f"ekiben/{what.replace('_', '-')}"
        found[name] = Image(name, bento, target, pinned, most.get(bento))
    return found
