"""Which event files were taken in, and what of those that are there now is new.

Only two things that may have happened since can be followed: new ranges have come, and files were merged. A
merged file says what those inside its range said, and perhaps more: what was received outside their ranges.
The rows must add up, or somebody's events are gone from it. Everything else is `Outdated`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from ekiben.control.recording.ranges import EventFile, overlapping, without_contained


class Outdated(Exception):
    """What is kept cannot be brought up to date, and is built anew; the message says why."""


class Overlapping(Exception):
    """Two files share entries, until they are merged: nothing is kept of them."""


class Held(msgspec.Struct, frozen=True):
    """A file as it was when it was taken in: its stamp (`EventFiles.stamped`), how many rows it has, and
    between which its predictions' ids are (None where that is not known).
    """

    file: EventFile
    stamp: str
    rows: int
    least: str | None = None
    most: str | None = None


@dataclass(frozen=True)
class New:
    """A file that was not taken in. Of what lies `inside` its range everything is known."""

    file: EventFile
    stamp: str
    inside: tuple[Held, ...]


@dataclass(frozen=True)
class News:
    """What has happened to the files of a kind. `stay` were taken in and are there, `gone` are the oldest
    ones and are no more.
    """

    new: tuple[New, ...]
    stay: tuple[Held, ...]
    gone: tuple[Held, ...]


def news(held: Sequence[Held], listed: Mapping[EventFile, str]) -> News:
    """What has happened since, from the files of a kind with their stamps.

    Raises `Outdated` and `Overlapping`.
    """
    known = {each.file: each for each in held}
    files = without_contained(listed)
    if overlapping(files):
        raise Overlapping("two event files share entries")
    for file in files:
        if file in known and known[file].stamp != listed[file]:
            raise Outdated(f"{file.path} was written again")
    stay = tuple(known[file] for file in files if file in known)
    left = [each for each in held if each.file not in set(files)]
    new = tuple(
        New(file, listed[file], tuple(each for each in left if _inside(each.file, file)))
        for file in files
        if file not in known
    )
    covered = {each.file for file in new for each in file.inside}
    gone = tuple(each for each in left if each.file not in covered)
    if gone and not (files and max(each.file.place for each in gone) < files[0].place):
        raise Outdated("files are gone that are not the oldest")
    return News(new, stay, gone)


def _inside(inner: EventFile, outer: EventFile) -> bool:
    same = inner.generation == outer.generation
    return same and outer.first <= inner.first and inner.last <= outer.last
