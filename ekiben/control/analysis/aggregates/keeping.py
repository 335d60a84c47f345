"""The kept tables of all experiments: a file each, in one folder of this controller's own.

Only the holder of the lease keeps any, and removes them all when a user is forgotten: nothing of that user
is left in them, not even in pages of a file that it has given up.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

import duckdb

from ekiben.control.analysis.aggregates.definition import definition
from ekiben.control.analysis.aggregates.kept import KeptTables
from ekiben.control.analysis.aggregates.ledger import Outdated, Overlapping
from ekiben.control.analysis.aggregates.source import Aggregates
from ekiben.control.analysis.phase import Phase
from ekiben.control.analysis.source import Source
from ekiben.control.recording.files import EventFiles

log = logging.getLogger(__name__)

_T = TypeVar("_T")
_SUFFIX: Final = ".duckdb"
_TRIES: Final = 3


class Keeping:
    """One thing at a time: what is asked for from several threads waits."""

    def __init__(self, files: EventFiles, folder: Path) -> None:
        self._files = files
        self._folder = folder
        self._lock = threading.Lock()
        self._definitions: dict[str, tuple[Phase, str]] = {}

    def compute(self, phase: Phase, of: Callable[[Source], _T]) -> _T | None:
        """What `of` returns of the phase's tables, brought up to date; None where they cannot be had: then
        it is to be computed from the events.
        """
        if phase.rules:
            return None  # a second answer may come after the outcome: nothing says yet whom it touches
        with self._lock:
            for tries_left in reversed(range(_TRIES)):
                try:
                    with KeptTables(self._files, self._path(phase.key)) as tables:
                        return of(Aggregates(tables, self._files, phase, self._definition(phase)))
                except Outdated as why:
                    log.info("%s is computed from all events: %s", phase.key, why)
                    self._remove(self._path(phase.key))
                except Overlapping:
                    break
                except (OSError, duckdb.Error) as error:
                    # A file was merged away since it was listed, or what is kept cannot be read.
                    if not tries_left:
                        log.info("%s is computed from all events: %s", phase.key, error)
                        self._remove(self._path(phase.key))
            return None

    def let_go(self, but: Collection[str] = ()) -> None:
        """Remove what is kept, but of these experiments."""
        with self._lock:
            stay = {self._path(key).name for key in but}
            for path in self._folder.glob(f"*{_SUFFIX}"):
                if path.name not in stay:
                    self._remove(path)

    def _definition(self, phase: Phase) -> str:
        known = self._definitions.get(phase.key)
        if known is None or known[0] != phase:
            known = self._definitions[phase.key] = (phase, definition(phase))
        return known[1]

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}{_SUFFIX}"

    def _remove(self, path: Path) -> None:
        for each in (path, path.with_name(path.name + ".wal")):
            with suppress(OSError):
                each.unlink(missing_ok=True)
