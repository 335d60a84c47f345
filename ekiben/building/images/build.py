"""Building images from the latest Bentos of this machine's store."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from ekiben.building.errors import CannotBuild
from ekiben.building.images.base_image import make_base
from ekiben.building.images.context import stage
from ekiben.building.images.engine import BASE, Buildah, Docker, find_engine
from ekiben.building.images.image import MIB, Built, Image


def work_folder() -> Path:
    """Where wheels, contexts and buildah's store are kept: outside the project."""
    folder = Path(os.environ.get("EKIBEN_IMAGES_DIR") or "/var/tmp/ekiben-images")  # noqa: S108
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def prepared_engine(folder: Path) -> Docker | Buildah:
    """What builds here, with a base image: where no registry can be asked, one is made, which takes about a
    minute, once. Raises `CannotBuild`.
    """
    engine = find_engine(folder)
    if isinstance(engine, Buildah) and not engine.has(BASE):
        make_base(engine, folder)
    return engine


def build(image: Image, engine: Docker | Buildah, folder: Path) -> Built:
    """Build one image. Raises `CannotBuild`."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(dir=folder, prefix="context-") as context:
        bento = stage(image, folder / "wheels", Path(context))
        labels = {f"ekiben.{name}": value for name, value in sorted(bento.info.labels.items())}
        labels |= {"ekiben.bento": str(bento.tag)}
        if packed := bento.info.all_models:
            labels |= {"ekiben.model_tag": ", ".join(str(model.tag) for model in packed)}
        options = ["--target", image.target, "-f", str(Path(__file__).parent / "Dockerfile")]
        for tag in (image.reference, f"{image.name}:{bento.tag.version}"):
            options += ["-t", tag]
        for name, value in labels.items():
            options += ["--label", f"{name}={value}"]
        engine.build([*options, context])
    size = engine.size(image.reference)
    if image.most_mib is not None and size > image.most_mib * MIB:
        raise CannotBuild(f"{image.name} has {size / MIB:.0f} MiB, more than {image.most_mib}")
    return Built(image, str(bento.tag), size, time.monotonic() - begun)
