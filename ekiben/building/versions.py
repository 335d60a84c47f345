"""`ekiben build`: Bentos, and images where something builds them, of a project's published versions.

A Bento is built in a folder of its own, from the project's code and this library's, so that it serves where
neither is installed.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

from rich.console import Console

import ekiben
from ekiben.building import bentos
from ekiben.building.build_file import LIBRARY, build_file
from ekiben.building.errors import CannotBuild
from ekiben.building.images.build import build as build_image
from ekiben.building.images.build import prepared_engine, work_folder
from ekiben.building.images.engine import Buildah, Docker
from ekiben.building.images.image import MIB, Image
from ekiben.building.requirements import GROUPS, locked, of_service
from ekiben.project.models import FILE, ListedVersion, read_models, service_of
from ekiben.project.names import stored_name
from ekiben.terminal.errors import UsageError

_PACKAGE: Final = Path(ekiben.__file__).parent


def build_versions(console: Console, root: Path, model: str, version: str | None, *, image: bool) -> None:
    """Build the Bento of a version, or of every published one, and with `image` its image.

    Raises UsageError for a version that is not listed, `CannotBuild` for what cannot be built.
    """
    versions = _wanted(root, model, version)
    engine = _engine(console) if image else None
    unpublished = []
    with tempfile.TemporaryDirectory(prefix="ekiben-build-") as folder:
        for each, listed in versions.items():
            name = stored_name(model, each)
            try:
                stored = bentos.stored_model(name)
            except CannotBuild as error:
                unpublished.append(str(error))
                continue
            _check_runs_on(model, each, listed, stored)
            pinned = locked(of_service(listed.requirements))
            bento = _build_bento(root, Path(folder), model, each, listed, pinned, stored)
            console.print(f"{bento.tag} with {stored.tag}", soft_wrap=True)
            if engine is not None:
                wanted = Image(_image_name(root, name), name, "service", tuple(pinned), listed.most_mib)
                built = build_image(wanted, engine, work_folder())
                console.print(f"{wanted.reference}: {built.size / MIB:.0f} MiB", soft_wrap=True)
    if unpublished and (version is not None or len(unpublished) == len(versions)):
        raise CannotBuild("\n".join(unpublished))
    for line in unpublished:
        console.print(f"Not built: {line}", soft_wrap=True)


def _wanted(root: Path, model: str, version: str | None) -> dict[str, ListedVersion]:
    listed = read_models(root)
    if model not in listed:
        known = ", ".join(listed) or "none"
        raise UsageError(f"there is no model {model!r} in {root / FILE} (known: {known})")
    versions = listed[model].versions
    if version is None:
        return {name: one for name, one in versions.items() if one.bento}
    if version not in versions:
        raise UsageError(
            f"{model} has no version {version!r} in {root / FILE} (known: {', '.join(versions)})"
        )
    return {version: versions[version]}


def _engine(console: Console) -> Docker | Buildah | None:
    try:
        return prepared_engine(work_folder())
    except CannotBuild as error:
        console.print(f"No image is built: {error}", soft_wrap=True)
        return None


def _check_runs_on(model: str, version: str, listed: ListedVersion, stored: Any) -> None:
    """Raise `CannotBuild` when what it was published to be served from is not among what it runs on."""
    served_as = str(stored.info.metadata.get("served_as", "")).split(" ")[0]
    packages = {package for each in listed.requirements for package in GROUPS.get(each, (each,))}
    if not set(GROUPS.get(served_as, ())) <= packages:
        raise CannotBuild(
            f"{model} {version} was published to be served from {served_as}: "
            f"write requirements: [{served_as}] for it in {FILE}"
        )


def _build_bento(
    root: Path, folder: Path, model: str, version: str, listed: ListedVersion, pinned: list[str], stored: Any
) -> Any:
    name = stored_name(model, version)
    _copy_code(root, folder, service_of(model, version, listed)[0])
    lock = Path("requirements") / f"{name}.txt"
    (folder / lock).parent.mkdir(exist_ok=True)
    (folder / lock).write_text("".join(f"{line}\n" for line in pinned), encoding="utf-8")
    file = folder / f"{name}.yaml"
    file.write_text(build_file(model, version, listed, lock.as_posix()), encoding="utf-8")
    return bentos.build(file, name, folder, {"git_revision": bentos.git_revision(root)}, stored)


def _copy_code(root: Path, folder: Path, module: str) -> None:
    """Copy this library's services and the package of `module`, once."""
    if not (folder / "ekiben").exists():
        for pattern in LIBRARY:
            for source in _PACKAGE.parent.glob(pattern):
                target = folder / source.relative_to(_PACKAGE.parent)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)
    top = module.partition(".")[0]
    if (folder / top).exists() or (folder / f"{top}.py").exists():
        return
    if (root / top).is_dir():
        shutil.copytree(root / top, folder / top, ignore=shutil.ignore_patterns("__pycache__"))
    elif (root / f"{top}.py").is_file():
        shutil.copy2(root / f"{top}.py", folder)
    else:
        raise CannotBuild(f"there is no {top} in {root}, which {FILE} names as a module")


def _image_name(root: Path, name: str) -> str:
    words = [re.sub(r"[^a-z0-9]+", "-", each.lower()).strip("-") for each in (root.absolute().name, name)]
    return "/".join(word for word in words if word)
