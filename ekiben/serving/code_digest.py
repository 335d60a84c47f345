"""The digest in a model version that changes when what computes its answers does, beside the model itself.

It covers the user's code by its source, and this library by its version: a comment edited in the library is
no redeployment.
"""

from __future__ import annotations

import hashlib
import sys
import sysconfig
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Final

LIBRARY: Final = "ekiben"

_INSTALLED: Final = frozenset({"site-packages", "dist-packages"})
_OF_PYTHON: Final = tuple(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib"))


def code_digest(runtime: str, features: type) -> str:
    """8 hex digits over `runtime`, the library's version, and the source of every module that is loaded of
    the project which defines `features`.
    """
    digest = hashlib.sha256(f"{runtime}\0{library_version()}".encode())
    for name, file in project_modules(features):
        digest.update(name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:8]


def library_version(library: str = LIBRARY) -> str:
    """The version that is installed. Where it is a mere copy, as in a Bento, a digest of its source."""
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        digest = hashlib.sha256()
        for file in sorted(Path(__file__).parent.glob("*.py")):
            digest.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
        return digest.hexdigest()


def project_modules(features: type) -> Iterator[tuple[str, Path]]:
    """The loaded modules of the project, in the order of their names, and their files.

    These are the modules of the top-level package that defines `features`, and all others in the folder that
    it lies in but this library, Python's own and what is installed.
    """
    home = sys.modules[features.__module__]
    package = home.__name__.partition(".")[0]
    file = _file_of(home)
    root = None if file is None else file.parents[home.__name__.count(".") + (file.name == "__init__.py")]
    for name, module in sorted(sys.modules.items()):
        file = _file_of(module)
        top = name.partition(".")[0]
        if file is None or top == LIBRARY:
            continue
        if top == package or (root is not None and file.is_relative_to(root) and not _is_installed(file)):
            yield name, file


def _file_of(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(file).absolute() if file and Path(file).is_file() else None


def _is_installed(file: Path) -> bool:
    return not _INSTALLED.isdisjoint(file.parts) or any(map(file.is_relative_to, _OF_PYTHON))
