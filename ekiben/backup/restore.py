"""`ekiben restore DIR`: a backup, put into an empty installation.

The experiments begin a new lineage. Routers and controllers that hold a copy of another one take the document
that is in Redis now for a stranger's and follow it; under its old lineage they would bring back what they
know of later revisions.

Event files come first and the document last. Broken off, it is begun again with `--replace`.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from rich.console import Console

from ekiben.backup.folder import EVENTS, SALT, STATE, Manifest, check_file, read_manifest
from ekiben.backup.installation import Installation, open_installation
from ekiben.backup.state_copy import kept_keys, read_records, write_state
from ekiben.control.recording.intake import Intake
from ekiben.control.recording.ranges import EventFile
from ekiben.control.recording.recorder import last_recorded
from ekiben.control.recording.streams import STREAMS
from ekiben.process.private import write_private
from ekiben.process.tasks import end_tasks
from ekiben.showing.standing import moment
from ekiben.state.documents.document import DOCUMENT_KEY
from ekiben.state.lease import Lease, LeaseLost
from ekiben.terminal.errors import EkibenError, UsageError
from ekiben.terminal.screen import bar

_LEASE_S: Final = 15.0


def restore(
    console: Console, folder: Path, *, replace: bool = False, environ: Mapping[str, str] = os.environ
) -> Manifest:
    """Put the backup in `folder` into the installation that `environ` describes.

    Raises EkibenError: for a damaged backup, one that this release cannot read, one whose salt is not the
    installation's, and, unless `replace` is set, for an installation that holds anything. Nothing is touched
    before that is known.
    """
    manifest = read_manifest(folder)
    files = _event_files(manifest)
    with bar(console) as progress:
        for name, saved in progress.track(manifest.files.items(), description="checking"):
            check_file(folder, name, saved)
    try:
        asyncio.run(_restore(console, folder, manifest, files, replace, environ))
    except LeaseLost:
        raise EkibenError(
            "a controller began its work meanwhile: end it, and repeat with --replace"
        ) from None
    return manifest


def _event_files(manifest: Manifest) -> dict[str, EventFile]:
    """The event files among those of a backup, by name. Raises EkibenError for one that is none."""
    found = {}
    for name in manifest.files:
        if name.startswith(f"{EVENTS}/"):
            kind = name.split("/")[1].removeprefix("kind=")
            file = EventFile.parse(kind, name)
            if file is None or name != f"{EVENTS}/{file.path}":
                raise EkibenError(
                    f"the backup holds {name}, which is not an event file of this release: restore it with "
                    f"the release that wrote it, Ekiben {manifest.release}"
                )
            found[name] = file
    return found


async def _restore(
    console: Console,
    folder: Path,
    manifest: Manifest,
    files: Mapping[str, EventFile],
    replace: bool,
    environ: Mapping[str, str],
) -> None:
    async with open_installation(environ, create=True) as installation:
        salt = _salt_of(folder, installation, replace)
        await _check_target(installation, replace)
        async with _alone(installation) as lease:
            await asyncio.to_thread(_put_files, console, folder, files, installation, lease)
            if salt is not None:
                write_private(installation.data_dir / "user_salt", salt)
            if left := [key for key in await kept_keys(installation.redis) if key != DOCUMENT_KEY.encode()]:
                await installation.redis.unlink(*left)
            why = f"a backup of {moment(manifest.began_at)} was restored"
            records = read_records(folder / STATE)
            held = await write_state(installation.redis, records, secrets.token_hex(8), why)
            if not held:
                await installation.redis.delete(DOCUMENT_KEY)
            # Ids of new entries lie above those that files hold, whatever this server's clock says.
            for stream in STREAMS:
                recorded = await asyncio.to_thread(last_recorded, installation.files, stream)
                intake = Intake(installation.redis, stream.key)
                if recorded is not None or await intake.exists():
                    await intake.make_group(recorded)


def _salt_of(folder: Path, installation: Installation, replace: bool) -> str | None:
    """The salt to write down, None where there is nothing to write. Raises EkibenError where users would be
    strangers in their own events."""
    try:
        saved = (folder / SALT).read_text()
    except FileNotFoundError:
        return None
    if installation.salt == saved:
        return None
    if installation.salt_is_set:
        raise EkibenError(
            "EKIBEN_USER_SALT is not the salt of the backup, so its users would be strangers: set it to what "
            f"{folder / SALT} holds"
        )
    if installation.salt is not None and not replace:
        raise EkibenError(
            f"{installation.data_dir / 'user_salt'} is not the salt of the backup: --replace replaces it"
        )
    return saved


async def _check_target(installation: Installation, replace: bool) -> None:
    if replace:
        return
    if keys := await kept_keys(installation.redis):
        raise UsageError(
            f"the state Redis is not empty ({len(keys)} keys, such as {keys[0].decode()}): end the routers "
            "and controllers, which fill an empty one, or give --replace, which removes what is there"
        )
    if await asyncio.to_thread(lambda: any(map(installation.files.list, installation.files.kinds()))):
        raise UsageError(
            f"there are event files in {installation.files.root}: --replace removes them, or name another "
            "place with EKIBEN_EVENTS_URL"
        )


@asynccontextmanager
async def _alone(installation: Installation) -> AsyncIterator[Lease]:
    """Hold the lease, so that no controller acts meanwhile."""
    lease = Lease(installation.redis, f"ekiben restore {secrets.token_hex(4)}", _LEASE_S)
    if not await lease.renew():
        raise EkibenError("a controller is at work on this installation: end the controllers first")
    holding = asyncio.create_task(lease.run(lambda _held: None))
    try:
        yield lease
    finally:
        await end_tasks(holding)


def _put_files(
    console: Console, folder: Path, files: Mapping[str, EventFile], installation: Installation, lease: Lease
) -> None:
    """Every file of the backup, and no other."""
    kept = installation.files
    for kind in kept.kinds():
        for old in kept.list(kind):
            kept.remove(old)
    with bar(console) as progress:
        for name, file in progress.track(files.items(), description="event files"):
            kept.publish(kept.stage_copy(folder / name), file, lease)
