"""A file is taken when it has been left alone: by its own age at first, by what was seen afterwards."""

from __future__ import annotations

import os
from pathlib import Path

from ekiben.state.documents.watched_file import WatchedFile


def test_a_file_is_as_old_as_its_modification_at_first_and_as_what_was_seen_afterwards(
    tmp_path: Path,
) -> None:
    file, now = tmp_path / "file", [100.0]
    watched = WatchedFile(file, 10, lambda: now[0], lambda: 1e9 + now[0])
    assert watched.look() is None

    def write(content: str, modified: float) -> None:
        file.write_text(content)
        os.utime(file, (1e9 + modified, 1e9 + modified))

    write("one", modified=40)
    first = WatchedFile(file, 10, lambda: now[0], lambda: 1e9 + now[0]).look()
    assert first is not None
    assert (first.content, first.steady_s) == (b"one", 60)
    # Seen to come: its time may be another clock's.
    seen = watched.look()
    assert seen is not None
    assert seen.steady_s == 0
    now[0] += 3
    again = watched.look()
    assert again is not None
    assert again.steady_s == 3
    write("another", modified=10)
    changed = watched.look()
    assert changed is not None
    assert (changed.content, changed.steady_s) == (b"another", 0)


def test_a_file_of_the_future_is_no_older_than_now_and_no_more_is_read_than_needed(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x" * 100)
    os.utime(file, (2e9, 2e9))
    seen = WatchedFile(file, 10, lambda: 5.0, lambda: 1e9).look()
    assert seen is not None
    assert (len(seen.content), seen.steady_s) == (11, 0)
