"""YAML as plain data, read from libyaml's events: bounded before anything is expanded, and without surprises.

Where YAML 1.1 and 1.2 read a value differently it is refused with both readings; `yes`, `on` and dates are
text. What stands once is read once: of two equal keys the first would be lost.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from ekiben.experiments.problems import Path, problem

MOST_VALUES: Final = 200_000
"""Values in a file, with what aliases and merge keys stand for: 630 bytes of them can mean millions."""
DEEPEST: Final = 40
_REST_EVERY: Final = 500


class BadYaml(ValueError):
    """The text cannot be read; the message says why, `line` where (from 1; None for the whole of it)."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True, slots=True)
class YamlData:
    """What was read, and the line (from 1) of every key and item."""

    data: Any
    lines: Mapping[Path, int]

    def line(self, place: Path) -> int | None:
        """The line of `place`, or of the nearest thing around it that stands in the text."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place)


def read_yaml(content: bytes) -> YamlData:
    """Read one YAML document. Raises `BadYaml`. Lets other threads run every few hundred values."""
    reader = _Reader()
    try:
        for number, event in enumerate(yaml.parse(content, yaml.CSafeLoader)):
            reader.take(event)
            if number % _REST_EVERY == 0:
                time.sleep(0)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        message = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
        raise BadYaml(f"not YAML: {message}", mark.line + 1 if mark is not None else None) from None
    except UnicodeDecodeError:
        raise BadYaml("not YAML in UTF-8") from None
    return YamlData(reader.data, reader.lines)


@dataclass(slots=True)
class _Open:
    """A list or a mapping whose end has not come."""

    value: Any
    place: Path
    anchor: str | None
    began: int  # how many values there were before it
    key: str | None = None  # of a mapping: the key whose value comes next
    merging: bool = False  # … which is `<<`
    merged: list[Any] = field(default_factory=list)
    given: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Reader:
    data: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    _open: list[_Open] = field(default_factory=list)
    _anchors: dict[str, tuple[Any, int]] = field(default_factory=dict)
    _values: int = 0
    _documents: int = 0

    def take(self, event: Any) -> None:
        line = event.start_mark.line + 1
        kind = type(event)
        if kind is yaml.ScalarEvent:
            self._scalar(event, line)
        elif kind in (yaml.MappingStartEvent, yaml.SequenceStartEvent):
            self._begin(event, line)
        elif kind in (yaml.MappingEndEvent, yaml.SequenceEndEvent):
            self._end(line)
        elif kind is yaml.AliasEvent:
            if event.anchor not in self._anchors:
                raise BadYaml(f"the alias *{event.anchor} stands for nothing that came before", line)
            self._place(line)
            self._add(*self._anchors[event.anchor], line)
        elif kind is yaml.DocumentStartEvent:
            self._documents += 1
            if self._documents > 1:
                raise BadYaml("not YAML: a second document begins here; a file has one", line)

    def _scalar(self, event: Any, line: int) -> None:
        plain = not event.style and event.tag in (None, "!")
        if event.tag not in (None, "!", "tag:yaml.org,2002:str"):
            raise BadYaml(f"not YAML that is taken here: the tag {event.tag}; write the plain value", line)
        if self._open and isinstance(self._open[-1].value, dict) and self._open[-1].key is None:
            self._key(event.value, plain, line)
            return
        value = _plain_value(event.value, line) if plain and event.tag is None else event.value
        if event.anchor:
            self._anchors[event.anchor] = value, 1
        self._place(line)
        self._add(value, 1, line)

    def _key(self, text: str, plain: bool, line: int) -> None:
        here = self._open[-1]
        if plain and text == "<<":
            here.key, here.merging = text, True
            return
        value = _plain_value(text, line) if plain else text
        if not isinstance(value, str):
            quoted = f'write it in quotes: "{text}"' if text else "it is missing"
            raise BadYaml(problem(here.place, f"the key must be text: {quoted}"), line)
        if value in here.given:
            raise BadYaml(f"the key {value!r} stands here twice", line)
        here.given.add(value)
        here.key = value
        self.lines[(*here.place, value)] = line

    def _begin(self, event: Any, line: int) -> None:
        if event.tag not in (None, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
            raise BadYaml(f"not YAML that is taken here: the tag {event.tag}", line)
        if len(self._open) >= DEEPEST:
            raise BadYaml(f"not YAML that is taken here: it is nested more than {DEEPEST} deep", line)
        if self._open and isinstance(self._open[-1].value, dict) and self._open[-1].key is None:
            raise BadYaml("the key must be text, and a list or a mapping stands here", line)
        value: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
        self._open.append(_Open(value, self._place(line), event.anchor, self._values))

    def _end(self, line: int) -> None:
        done = self._open.pop()
        for merged in done.merged:
            for key, value in merged.items():
                done.value.setdefault(key, value)
        weight = self._values - done.began + 1
        if done.anchor:
            self._anchors[done.anchor] = done.value, weight
        self._add(done.value, 1, line)

    def _place(self, line: int) -> Path:
        """Where the value that comes now stands."""
        if not self._open:
            return ()
        here = self._open[-1]
        if isinstance(here.value, dict):
            return (*here.place, here.key or "")
        place = (*here.place, len(here.value))
        self.lines[place] = line
        return place

    def _add(self, value: Any, weight: int, line: int) -> None:
        self._values += weight
        if self._values > MOST_VALUES:
            raise BadYaml(f"more than {MOST_VALUES:,} values: that is not an experiments file", line)
        if not self._open:
            self.data = value
            return
        here = self._open[-1]
        if isinstance(here.value, list):
            here.value.append(value)
        elif here.merging:
            found = value if isinstance(value, list) else [value]
            if not all(isinstance(each, dict) for each in found):
                raise BadYaml("<< takes a mapping, or a list of mappings", line)
            here.merged += found
            here.key, here.merging = None, False
        else:
            here.value[here.key] = value
            here.key = None


_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_TRUTHS: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
# As YAML 1.1, in which experiments files have been read from the beginning: 1e3 is text.
_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
_DECIMAL = re.compile(r"([-+]?[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)([eE][-+][0-9]+)?")
_TWICE_READ = re.compile(r"[-+]?(0[0-7_]+|0x[0-9A-Fa-f_]+|0b[01_]+|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)")
_NO_NUMBER: Final = {".inf": "inf", "+.inf": "inf", "-.inf": "-inf", ".nan": "nan"}


def _plain_value(text: str, line: int) -> Any:
    """What an unquoted scalar means."""
    if text in _NULLS:
        return None
    if text in _TRUTHS:
        return _TRUTHS[text]
    if text[0] not in "-+.0123456789":
        return text
    if _WHOLE.fullmatch(text):
        # Longer than any number that is meant; Python itself refuses to read 5,000 digits.
        return int(text.replace("_", "")) if len(text) < 400 else float("inf")
    if _TWICE_READ.fullmatch(text):
        raise BadYaml(
            f"{text} is read differently by readers of YAML 1.1 and of 1.2: "
            "write a plain decimal number, or put quotes around text",
            line,
        )
    if _DECIMAL.fullmatch(text):
        return float(text.replace("_", ""))
    return float(_NO_NUMBER[text.lower()]) if text.lower() in _NO_NUMBER else text
