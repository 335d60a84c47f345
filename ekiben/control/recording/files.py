"""Event files: Parquet in a directory or an object store, read and written.

A file appears whole or not at all (a rename here, a put there), and an answer that it is there survives a
crash. Only forgetting a user writes the same name again. `event_ranges` says what the names mean.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import IO, Any, Final, Protocol

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from ekiben.control.recording.object_store import open_object_store
from ekiben.control.recording.ranges import EventFile, overlapping, without_contained
from ekiben.control.recording.schemas import conform, union
from ekiben.process.private import private_folder
from ekiben.state.lease import LeaseLost

_STAGING: Final = ".staging"
_ROWS_A_GROUP: Final = 131_072
_BATCH_ROWS: Final = 65_536
_COPY_BYTES: Final = 8 * 1024 * 1024
_SKIPPED_REPORTED: Final = 100

log = logging.getLogger(__name__)


class Held(Protocol):
    """The right to act: `ekiben.state.lease.Lease`."""

    def held(self) -> bool:
        """Whether this process may act now."""
        ...


@dataclass(frozen=True, slots=True)
class Readable:
    """Paths for `EventFiles.filesystem` that hold every event of a kind.

    `clean` files hold an event at most once; `overlapping` ones (nearly always none) may hold it in two of
    them, to be reduced to one row an `event_id`.
    """

    clean: list[str]
    overlapping: list[str]


class EventFiles:
    """All event files below one address: a directory, or `s3://bucket/prefix` with the usual AWS_* variables.

    Every method may raise `OSError`; none is async: call them in a thread.
    """

    def __init__(self, url: str, environ: Mapping[str, str] = os.environ) -> None:
        """Nothing is read or written yet. Raises `BadSetting`."""
        self.local = "://" not in url or url.startswith("file://")
        self.filesystem: Any
        self._skipped: set[str] = set()
        if self.local:
            self.filesystem = pafs.LocalFileSystem()
            self.root = os.path.abspath(url.removeprefix("file://"))
            self._staging = Path(self.root) / _STAGING
        else:
            self.filesystem, self.root = open_object_store(url, environ)
            self._staging = _private_folder(url)
        self._mark = f"ekiben-events-{secrets.token_hex(4)}-"

    def path(self, file: EventFile) -> str:
        """The file's path for `filesystem`."""
        return f"{self.root}/{file.path}"

    def kinds(self) -> tuple[str, ...]:
        """The kinds that have a folder, those that only other releases know too."""
        if self.local:
            names = [entry.name for entry in self._entries(self.root) if os.path.isdir(entry)]
        else:
            found = self.filesystem.get_file_info(pafs.FileSelector(self.root, allow_not_found=True))
            names = [info.base_name for info in found if info.type is pafs.FileType.Directory]
        kinds = (name.removeprefix("kind=") for name in names if name.startswith("kind="))
        return tuple(sorted(kind for kind in kinds if kind.isprintable()))

    def list(self, kind: str, first_day: date | None = None) -> list[EventFile]:
        """Every file of a kind, those inside another's range too, sorted by `EventFile.place`."""
        found = (file for file in self.stamped(kind) if first_day is None or file.day >= first_day)
        return sorted(found, key=lambda file: file.place)

    def stamped(self, kind: str) -> dict[EventFile, str]:
        """Every file of a kind with its stamp, which is another once the file was written again."""
        found = {}
        for path, stamp in self._paths(f"{self.root}/kind={kind}"):
            file = EventFile.parse(kind, path)
            if file is None or self.path(file) != path:
                self._skip(path)
            else:
                found[file] = stamp
        return found

    def _paths(self, folder: str) -> Iterator[tuple[str, str]]:
        """Every file two levels below `folder`, whatever its name, and its stamp: size and time. Other things
        there are skipped."""
        if not self.local:
            selector = pafs.FileSelector(folder, allow_not_found=True, recursive=True)
            for info in self.filesystem.get_file_info(selector):
                if info.type is pafs.FileType.File:
                    yield info.path, f"{info.size} {info.mtime_ns}"
            return
        # Not pyarrow's walk: one name that is not UTF-8, or a link to a folder above, ends it.
        for day in self._entries(folder):
            if not day.name.startswith("day="):
                self._skip(day.path)
                continue
            for entry in self._entries(day.path):
                if not entry.is_file():
                    self._skip(entry.path)
                    continue
                # Gone meanwhile: merged into another, which is listed or appears with the next look.
                with suppress(FileNotFoundError):
                    found = entry.stat()
                    yield entry.path, f"{found.st_size} {found.st_mtime_ns}"

    def _entries(self, folder: str) -> Sequence[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as entries:
                return tuple(entries)
        except FileNotFoundError:
            pass  # nothing recorded yet, or a day that was removed meanwhile
        except NotADirectoryError:
            self._skip(folder)
        return ()

    def _skip(self, path: str) -> None:
        """Report, once, what lies among the event files and is none."""
        if path not in self._skipped and len(self._skipped) < _SKIPPED_REPORTED:
            self._skipped.add(path)
            log.warning("%r is not an event file and is skipped", path)

    def readable(self, kind: str, first_day: date | None = None) -> Readable:
        """What a reader opens for the events of a kind that were recorded on `first_day` or later.

        A file may be gone when it is opened, merged into a larger one meanwhile: then list again.
        """
        kept = without_contained(self.list(kind, first_day))
        shared = overlapping(kept)
        return Readable(
            clean=[self.path(file) for file in kept if file not in shared],
            overlapping=[self.path(file) for file in kept if file in shared],
        )

    def open(self, file: EventFile) -> Any:
        """The file as a `pyarrow.parquet.ParquetFile`, to be closed."""
        return pq.ParquetFile(self.path(file), filesystem=self.filesystem)

    def schema(self, files: Sequence[EventFile]) -> Any:
        """The columns of these files, of one kind, read together (`schemas.union`)."""
        found = []
        for file in files:
            with self.open(file) as opened:
                found.append(opened.schema_arrow)
        return union(files[0].kind, found)

    def batches(self, file: EventFile, schema: Any, lease: Held) -> Iterator[Any]:
        """A file's rows with the columns of `schema`, a part at a time. Raises `LeaseLost`."""
        with self.open(file) as opened:
            held = [name for name in schema.names if name in opened.schema_arrow.names]
            for batch in opened.iter_batches(_BATCH_ROWS, columns=held, use_threads=False):
                check(lease)
                yield conform(batch, schema)

    def read(self, file: EventFile) -> Any:
        """The file's bytes as a `pyarrow` stream, to be closed; `FileNotFoundError` when it is gone."""
        return self.filesystem.open_input_stream(self.path(file))

    def write(self, batches: Iterable[Any], schema: Any, file: EventFile, lease: Held) -> None:
        """Stage and publish. Raises `LeaseLost`; after any error nothing is left behind."""
        staged = self.stage(batches, schema)
        try:
            self.publish(staged, file, lease)
        except BaseException:
            self.discard(staged)
            raise

    def stage(self, batches: Iterable[Any], schema: Any) -> Path:
        """Write record batches of `schema` to a file that no reader sees yet; `publish` or `discard` it."""
        return self._stage(lambda sink: _write(sink, batches, schema))

    def stage_copy(self, source: Path) -> Path:
        """Stage a file that was written elsewhere."""
        with source.open("rb") as held:
            return self._stage(lambda sink: shutil.copyfileobj(held, sink, _COPY_BYTES))

    def _stage(self, write: Callable[[IO[bytes]], None]) -> Path:
        private_folder(self._staging)
        handle, name = tempfile.mkstemp(prefix=self._mark, dir=self._staging)
        try:
            with os.fdopen(handle, "wb") as sink:
                write(sink)
                sink.flush()
                if self.local:
                    os.fsync(sink.fileno())
        except BaseException:
            os.unlink(name)
            raise
        return Path(name)

    def publish(self, staged: Path, file: EventFile, lease: Held) -> None:
        """Let readers see it, if the lease is held. When this returns, it is there for good.

        Raises `LeaseLost`; after any error what was staged is still to be discarded.
        """
        if self.local:
            target = Path(self.path(file))
            _make_folders(target.parent, Path(self.root))
            # Features may tell of people: besides this user only a group that may read the root reads them.
            staged.chmod(0o600 | (os.stat(self.root).st_mode & 0o040))
            check(lease)
            staged.replace(target)
            _sync_folder(target.parent)
            return
        check(lease)
        with staged.open("rb") as source, self.filesystem.open_output_stream(self.path(file)) as sink:
            shutil.copyfileobj(source, sink, _COPY_BYTES)
        staged.unlink()

    def discard(self, staged: Path) -> None:
        """Remove what was staged and will not be published."""
        staged.unlink(missing_ok=True)

    def remove(self, file: EventFile) -> None:
        """Remove one file."""
        self.filesystem.delete_file(self.path(file))

    def remove_day(self, kind: str, day: date) -> None:
        """Remove every file of a kind recorded on that day."""
        self.filesystem.delete_dir(f"{self.root}/kind={kind}/day={day}")

    def remove_abandoned(self) -> None:
        """Remove what others than this object have staged: they were killed, or have lost the lease and may
        not publish it any more. It may tell of people, so it goes at once."""
        for staged in self._staging.glob("ekiben-events-*"):
            if not staged.name.startswith(self._mark):
                try:
                    staged.unlink(missing_ok=True)
                except OSError:
                    self._skip(str(staged))


def _private_folder(url: str) -> Path:
    """Where this user stages what goes to the object store at `url`: a folder of its own for each."""
    digest = hashlib.sha256(url.encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"ekiben-staging-{os.getuid()}-{digest}"


def check(lease: Held) -> None:
    """Raise `LeaseLost` when the lease is not held."""
    if not lease.held():
        raise LeaseLost("the lease was lost while event files were worked on: who holds it now goes on")


def _write(sink: Any, batches: Iterable[Any], schema: Any) -> None:
    """Row groups of a fixed size, however small the batches are that they come in."""
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        held: list[Any] = []
        rows = 0
        for batch in batches:
            held.append(batch)
            rows += batch.num_rows
            if rows >= _ROWS_A_GROUP:
                writer.write_table(pa.Table.from_batches(held, schema), row_group_size=_ROWS_A_GROUP)
                held, rows = [], 0
        if rows:
            writer.write_table(pa.Table.from_batches(held, schema), row_group_size=_ROWS_A_GROUP)


def _make_folders(folder: Path, root: Path) -> None:
    """Make the folder and those above it. Below `root` its group may do there what it may do in `root`."""
    if folder.is_dir():
        return
    _make_folders(folder.parent, root)
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_relative_to(root) and folder != root:
        folder.chmod(root.stat().st_mode & 0o2070 | 0o700)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
