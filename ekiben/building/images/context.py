"""The folder that one image is built from."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

os.environ.setdefault("BENTOML_DO_NOT_TRACK", "true")

import bentoml
from bentoml.exceptions import NotFound
from bentoml.models import BentoModel

from ekiben.building.errors import CannotBuild
from ekiben.building.images.image import Image
from ekiben.building.images.wheelhouse import collect

_HERE = Path(__file__).parent


def stage(image: Image, house: Path, folder: Path) -> Any:
    """Fill the new folder with what the Dockerfile takes, and return the Bento. Raises `CannotBuild`."""
    try:
        bento = bentoml.get(f"{image.bento}:latest")
    except NotFound:
        raise CannotBuild(f"there is no Bento {image.bento} here: build it first") from None
    shutil.copytree(bento.path, folder / "bento", ignore=shutil.ignore_patterns("docker", "__pycache__"))
    for model in bento.info.all_models:
        # Beside the Bento they win over the store of BENTOML_HOME, which is empty in a container.
        (folder / "bento" / "models").mkdir(exist_ok=True)
        BentoModel(model.tag).resolve(folder / "bento" / "models")
    pinned = image.requirements
    # Without its comment: images that install the same share the layer.
    (folder / "requirements.txt").write_text("\n".join(pinned) + "\n")
    collect(pinned, house, folder / "wheels")
    shutil.copy2(_HERE / "healthcheck.py", folder / "healthcheck.py")
    # A layer is known by its files' times too.
    for path in (folder / "requirements.txt", folder / "healthcheck.py"):
        os.utime(path, (0, 0))
    return bento
