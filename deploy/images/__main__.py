"""`python -m deploy.images [--record] [NAME …]`: builds container images from the latest Bentos.

NAME is router, controller, credit-v1, …; all of them by default. `--record` writes their sizes into
docs/benchmarks.md.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

from deploy.images.catalogue import images
from deploy.images.sizes import record
from ekiben.building.errors import CannotBuild
from ekiben.building.images.build import build, prepared_engine, work_folder
from ekiben.building.images.engine import BASE
from ekiben.building.images.image import MIB


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str]) -> int:
    """Build. Returns the exit code."""
    names = [f"ekiben/{name}" for name in arguments if name != "--record"]
    there_are = images()
    if unknown := set(names) - set(there_are):
        say(f"images: no {', '.join(sorted(unknown))}; there are {', '.join(there_are)}")
        return 2
    folder = work_folder()
    built = []
    try:
        engine = prepared_engine(folder)
        say(f"images: building with {engine.name}; what is kept is in {folder}")
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
