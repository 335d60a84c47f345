"""A backup's folder: what lies where, and the manifest that is written last and says that it is whole.

```
DIR/manifest.json   what was saved, when, and the SHA-256 of every other file
DIR/state           the state Redis (`ekiben.backup.state_copy`)
DIR/events/…        event files, under the names they have
DIR/user_salt       what turns user ids into the hashes that the events hold
```
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ekiben.terminal.errors import EkibenError, UsageError

MANIFEST: Final = "manifest.json"
STATE: Final = "state"
SALT: Final = "user_salt"
EVENTS: Final = "events"
FORMAT: Final = 1


class SavedFile(BaseModel):
    """A file of the backup."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Format(BaseModel):
    """What every manifest says, of whatever release."""

    format: int
    release: str


class Manifest(_Format):
    """What a backup holds. Times are seconds since 1970: what was confirmed before `began_at` is in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    began_at: float
    ended_at: float
    lineage: str | None
    revision: int | None
    records: int
    files: dict[str, SavedFile]


def prepare(folder: Path) -> None:
    """Make the folder, which only this user can read. Raises UsageError when something lies in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if any(folder.iterdir()):
            raise UsageError(f"{folder} is not empty: name a new folder for each backup")
        folder.chmod(0o700)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror or error}") from None


def seal(folder: Path, manifest: Manifest) -> None:
    """Write the manifest: with it the backup is there, without it it is none."""
    draft = folder / f".{MANIFEST}"
    with draft.open("w") as file:
        file.write(manifest.model_dump_json(indent=1))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(folder / MANIFEST)


def read_manifest(folder: Path) -> Manifest:
    """Read it. Raises UsageError where there is none, EkibenError for one that cannot be used."""
    try:
        content = (folder / MANIFEST).read_bytes()
    except OSError:
        raise UsageError(f"{folder} holds no finished backup: {MANIFEST} is not there") from None
    try:
        known = _Format.model_validate_json(content)
        if known.format != FORMAT:
            raise EkibenError(
                f"{folder} has format {known.format}: restore it with the release that wrote it, "
                f"Ekiben {known.release}"
            )
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise EkibenError(f"{folder / MANIFEST} is not a manifest: {where}: {first['msg']}") from None


def check_file(folder: Path, name: str, saved: SavedFile) -> None:
    """Raise EkibenError for a file that is not as it was saved, or that lies outside the folder."""
    path = folder / name
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise EkibenError(f"{folder / MANIFEST} names {name}, which is not in the backup")
    try:
        found = fingerprint(path)
    except OSError as error:
        raise EkibenError(f"the backup is damaged: {path}: {error.strerror or error}") from None
    if found != saved:
        raise EkibenError(f"the backup is damaged: {path} is not as it was saved")


def fingerprint(path: Path) -> SavedFile:
    """What the manifest says of a file. Raises `OSError`."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return SavedFile(bytes=file.tell(), sha256=digest)
