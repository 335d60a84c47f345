"""The panic switch: a file that sends everyone of a model to live, and needs neither Redis nor controller."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

ALL_MODELS: Final = "*"
_LOOK_S: Final = 0.25
RELEASE_S: Final = 2.0
"""Whom the switch releases is released when it has said so for so long."""


def panic_file(environ: Mapping[str, str], data_dir: Path) -> Path:
    """Where the switch is: `EKIBEN_PANIC_FILE`, else `panic` in the data directory."""
    return Path(environ.get("EKIBEN_PANIC_FILE") or data_dir / "panic")


def read_panic(path: Path) -> frozenset[str]:
    """The models named in the file, one a line; `*` is all of them, `#` begins a remark. Nobody where there
    is no file.

    A file that is there and names nobody, or cannot be read, means everybody: somebody who presses the
    switch in a hurry is not asked for its syntax.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except FileNotFoundError:
        return frozenset()
    except (OSError, UnicodeDecodeError):
        return frozenset({ALL_MODELS})
    names = frozenset(line for line in lines if line and not line.startswith("#"))
    return names or frozenset({ALL_MODELS})


def write_panic(path: Path, models: Collection[str]) -> None:
    """Let the file name these models, or go away when there are none. Raises `OSError`."""
    if not models:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # Put in place whole: a file that is still empty would mean everybody.
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text("".join(f"{model}\n" for model in sorted(models)), encoding="utf-8")
    draft.chmod(0o644)  # the routers may be another user's; one that cannot read it sends everyone to live
    draft.replace(path)


async def watch_panic(
    path: Path,
    panicked: Callable[[frozenset[str]], None],
    clock: Callable[[], float] = time.monotonic,
    look_s: float = _LOOK_S,
) -> None:
    """Hand over what the file says until cancelled: at once whom it sends to live, but whom it releases when
    it has said so for 2 s, since a file that is being written names fewer for a moment.
    """
    held: frozenset[str] = frozenset()
    before, since = held, clock()
    while True:
        said = read_panic(path)
        if said != before:
            before, since = said, clock()
        more = held if ALL_MODELS in held else held | said
        now = said if clock() - since >= RELEASE_S or ALL_MODELS in said else more
        if now != held:
            held = now
            panicked(now)
            log.warning("panic switch %s: to live go %s", path, ", ".join(sorted(now)) or "no models")
        await asyncio.sleep(look_s)
