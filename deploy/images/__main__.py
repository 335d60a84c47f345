"""`python -m deploy.images [--record] [NAME …]`: builds container images from the latest Bentos.

NAME is router, controller, credit-v1, …; all of them by default. `--record` writes their sizes into
docs/benchmarks.md.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from deploy.bentos import CannotBuild
from deploy.images.base_image import make_base
from deploy.images.catalogue import MIB, Image, images
from deploy.images.context import stage
from deploy.images.engine import BASE, Buildah, Docker, find_engine
from deploy.images.sizes import Built, record


def work_folder() -> Path:
    """Where wheels, contexts and buildah's store are kept: outside the repository."""
    return Path(os.environ.get("EKIBEN_IMAGES_DIR") or "/var/tmp/ekiben-images")  # noqa: S108


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


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


def main(arguments: Sequence[str]) -> int:
    """Build. Returns the exit code."""
    names = [f"ekiben/{name}" for name in arguments if name != "--record"]
    there_are = images()
    if unknown := set(names) - set(there_are):
        say(f"images: no {', '.join(sorted(unknown))}; there are {', '.join(there_are)}")
        return 2
    folder = work_folder()
    folder.mkdir(parents=True, exist_ok=True)
    built = []
    try:
        engine = find_engine(folder)
        say(f"images: building with {engine.name}; what is kept is in {folder}")
        if isinstance(engine, Buildah) and not engine.has(BASE):
            say(f"{BASE}: by debootstrap, about a minute, once")
            make_base(engine, folder)
        for name in names or there_are:
            say(f"{name}: building")
            one = build(there_are[name], engine, folder)
            built.append(one)
            say(f"{name}: {one.size / MIB:.0f} MiB from {one.bento} in {one.seconds:.0f} s")
        base_size = engine.size(BASE) if engine.has(BASE) else None
    except CannotBuild as error:
        sys.stderr.write(f"images: {error}\n")
        return 1
    if "--record" in arguments:
        record(built, engine.name, base_size)
    free = shutil.disk_usage(folder).free
    say(f"images: done; {free / 1024 / MIB:.0f} GiB are free")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
