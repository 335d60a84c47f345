"""`ekiben backup DIR`: state Redis, event files and user salt, saved while everything runs.

1. The state Redis is read first. An event that was confirmed before is in a stream now, and so in the copy,
   or it has been recorded, and then its file is there.
2. The files are copied afterwards. One that was merged away before its turn is in a file that a new listing
   shows; it is listed until nothing is missing.
3. An event that is recorded in between is in both. Its file's name says that it holds the event's stream
   entry, so the recorder of a restored installation acknowledges the entry and writes nothing.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, cast

from rich.console import Console

from ekiben.backup.folder import EVENTS, FORMAT, SALT, STATE, Manifest, SavedFile, fingerprint, prepare, seal
from ekiben.backup.installation import Installation, open_installation
from ekiben.backup.state_copy import read_state, write_records
from ekiben.control.recording.files import EventFiles
from ekiben.control.recording.ranges import EventFile
from ekiben.process.private import write_private
from ekiben.state.documents.document import DOCUMENT_KEY
from ekiben.terminal.errors import EkibenError
from ekiben.terminal.screen import bar

_ROUNDS: Final = 20


def back_up(console: Console, folder: Path, environ: Mapping[str, str] = os.environ) -> Manifest:
    """Save the installation that `environ` describes in `folder`, a new one. Raises EkibenError."""
    mask = os.umask(0o077)
    try:
        return asyncio.run(_back_up(console, folder, environ))
    finally:
        os.umask(mask)


async def _back_up(console: Console, folder: Path, environ: Mapping[str, str]) -> Manifest:
    async with open_installation(environ, create=False) as installation:
        began_at = time.time()
        held = await cast("Any", installation.redis.hmget(DOCUMENT_KEY, ["lineage", "revision"]))
        await asyncio.to_thread(_check_worth, held[0], installation)
        prepare(folder)
        records = await write_records(folder / STATE, read_state(installation.redis))
        saved = {STATE: fingerprint(folder / STATE)}
        if installation.salt is not None:
            write_private(folder / SALT, installation.salt)
            saved[SALT] = fingerprint(folder / SALT)
        saved |= await asyncio.to_thread(_copy_files, console, folder, installation)
        lineage, revision = held
        manifest = Manifest(
            format=FORMAT,
            release=version("ekiben"),
            began_at=began_at,
            ended_at=time.time(),
            lineage=lineage.decode() if lineage else None,
            revision=int(revision) if revision else None,
            records=records,
            files=saved,
        )
        await asyncio.to_thread(seal, folder, manifest)
    return manifest


def _check_worth(lineage: bytes | None, installation: Installation) -> None:
    """Raise EkibenError for what nobody could restore anything from."""
    files = any(map(installation.files.list, installation.files.kinds()))
    if lineage is None and not files:
        raise EkibenError(
            f"there is nothing to save: the state Redis has no experiments, and {installation.files.root} no "
            "events; set the variables of the controller"
        )
    if files and installation.salt is None:
        raise EkibenError(
            "the salt of these events is not here: set EKIBEN_USER_SALT, or EKIBEN_DATA_DIR to the folder "
            "that has it as `user_salt`. Without it everybody in a restored installation is a stranger"
        )


def _copy_files(console: Console, folder: Path, installation: Installation) -> dict[str, SavedFile]:
    saved: dict[str, SavedFile] = {}
    for _ in range(_ROUNDS):
        wanted = [
            file
            for kind in installation.files.kinds()
            for file in installation.files.list(kind)
            if f"{EVENTS}/{file.path}" not in saved
        ]
        already = len(saved)
        with bar(console) as progress:
            for file in progress.track(wanted, description="event files"):
                target = folder / EVENTS / file.path
                if _copy(installation.files, file, target):
                    saved[f"{EVENTS}/{file.path}"] = fingerprint(target)
        if len(saved) == already + len(wanted):
            return saved
    raise EkibenError("the event files changed again and again while they were copied: try again")


def _copy(files: EventFiles, file: EventFile, target: Path) -> bool:
    """Copy one; False when it is gone."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with files.read(file) as source, target.open("wb") as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
    except FileNotFoundError:
        target.unlink(missing_ok=True)
        return False
    return True
