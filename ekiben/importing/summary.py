"""What became of an imported file: how many lines, which values they had, and what was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ekiben.importing.rows import ID_FIELDS, Columns
from ekiben.state.user import id_hint

TRACKED: Final = 1_000_000
_TALLIED: Final = 1_000
_SHOWN: Final = 20


@dataclass(slots=True)
class Imported:
    """How many lines there were, how many of them are on disk, were bad, had no value, or repeat another."""

    lines: int = 0
    accepted: int = 0
    bad: int = 0
    without_value: int = 0
    repeated: int = 0
    undated: int = 0
    unnumbered: int = 0
    hints: Counter[str] = field(default_factory=Counter)
    values: Counter[tuple[str, float]] = field(default_factory=Counter)
    more_values: int = 0
    _seen: set[int] = field(default_factory=set)

    def add(self, raw: Any, outcome: Mapping[str, Any], has_id: bool) -> None:
        """Count a good line: its value as the file has it, and the outcome made of it."""
        key = hash(outcome["id"])
        self.repeated += key in self._seen
        if len(self._seen) < TRACKED:
            self._seen.add(key)
        self.unnumbered += not has_id
        self.undated += not has_id and "at" not in outcome
        if (hint := id_hint(outcome.get("user_id", ""))) is not None:
            self.hints[hint] += 1
        value = (str(raw).strip()[:40], outcome["value"])
        if value in self.values or len(self.values) < _TALLIED:
            self.values[value] += 1
        else:
            self.more_values += 1

    @property
    def good(self) -> int:
        """Lines that are outcomes."""
        return self.lines - self.bad - self.without_value

    def report(self, columns: Columns, dry_run: bool) -> Iterator[str]:
        """The summary, line by line."""
        if dry_run:
            yield f"{self.good:,} of {self.lines:,} lines can be imported; nothing was sent"
        else:
            yield f"{self.accepted:,} of {self.lines:,} lines imported"
        if self.without_value:
            yield f"lines without a value in {columns.value}, left out: {self.without_value:,}"
        yield from self._values(columns)
        yield from self._ids()
        blank, decimal = self.hints["blank"], self.hints["decimal"]
        if blank:
            yield f"user ids with a blank around them: {blank:,}. To the router it is a part of the id"
        if decimal:
            yield f"user ids that are numbers such as 7.0: {decimal:,}. To the router 7 is another user"

    def _values(self, columns: Columns) -> Iterator[str]:
        distinct = len(self.values)
        if columns.named or 0 < distinct <= _SHOWN:
            shown = [f"{raw} as {value:g}" if columns.named else raw for raw, value in self.values]
            counts = self.values.values()
            texts = [f"{text} ({count:,})" for text, count in zip(shown, counts, strict=True)][:_SHOWN]
            rest = sum(list(counts)[_SHOWN:]) + self.more_values
            yield f"values: {', '.join(texts)}" + (f" and others ({rest:,})" if rest else "")
        elif distinct:
            numbers = [value for _, value in self.values]
            more = "more than " if self.more_values else ""
            yield f"values: {more}{distinct:,} different ones, such as {min(numbers):g} and {max(numbers):g}"

    def _ids(self) -> Iterator[str]:
        if self.unnumbered:
            yield (
                f"lines without an id: {self.unnumbered:,}. Theirs is made of {', '.join(ID_FIELDS[:-1])} "
                f"and {ID_FIELDS[-1]}: an equal line of this or of another file is the same outcome"
            )
        if self.repeated:
            yield (
                f"lines that repeat another one: {self.repeated:,}. They count once. "
                "Name a column of ids with --id-column where they are outcomes of their own"
            )
        if len(self._seen) == TRACKED:
            yield f"repetitions were looked for among the first {TRACKED:,} different lines only"
        if self.undated:
            yield (
                f"lines with neither a time `at` nor an id: {self.undated:,}. They count as of now, and an "
                "equal line that was imported before is not imported again"
            )
