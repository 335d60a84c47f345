"""What changed from one document to another, in lines: "experiments.credit-boosting.coverage: 10 → 50"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from ekiben.experiments.document import Document
from ekiben.experiments.problems import Path, dotted, word

# In these the order says something: the first variant is the control, the first metric decides.
_ORDERED = frozenset({"variants", "metrics"})
_EMPTY: Mapping[str, Any] = {"models": {}, "experiments": {}}


def differences(before: Document | None, after: Document) -> tuple[str, ...]:
    """A line for each value that differs, with its path in the file. None is an empty store.

    Fields that were left at their defaults count with their values, but in what is new as a whole, or gone.
    """
    return data_differences(_plain(before, after), _plain(after, before))


def data_differences(before: object, after: object) -> tuple[str, ...]:
    """The same for plain data as JSON gives it."""
    return tuple(_lines((), _named(_EMPTY if before is None else before, ()), _named(after, ())))


def lines_about(lines: Sequence[str], key: str) -> tuple[str, ...]:
    """Those of `lines` that are about the experiment `key`."""
    place = dotted(("experiments", key))
    return tuple(line for line in lines if line.startswith((f"{place}.", f"{place}:")))


def _plain(document: Document | None, other: Document | None) -> dict[str, Any]:
    """A document as plain data; what the other has too with the values of its defaults."""
    if document is None:
        return dict(_EMPTY)
    full = document.model_dump(mode="json", by_alias=True)
    short = document.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    for section in _EMPTY:
        shared: Mapping[str, Any] = getattr(other, section, {})
        short[section] = {
            key: full[section][key] if key in shared else each for key, each in short.get(section, {}).items()
        }
    return short


def _named(value: object, path: Path) -> object:
    """A list of things that have names as a mapping by name, so that one is compared with itself."""
    if isinstance(value, Mapping):
        return {str(key): _named(each, (*path, str(key))) for key, each in value.items()}
    if isinstance(value, list):
        names = [each.get("name") if isinstance(each, Mapping) else None for each in value]
        if value and all(isinstance(name, str) for name in names) and len(set(names)) == len(names):
            return {
                cast("str", name): {key: part for key, part in each.items() if key != "name"}
                for name, each in zip(names, value, strict=True)
            }
    return value


def _lines(path: Path, before: object, after: object) -> Iterator[str]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        yield from _mapping_lines(path, before, after)
    elif before != after:
        yield f"{dotted(path)}: {flow(before)} → {flow(after)}"


def _mapping_lines(path: Path, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for key, each in before.items():
        if key not in after:
            yield f"{dotted((*path, key))}: removed {flow(each)}"
    for key, each in after.items():
        if key in before:
            yield from _lines((*path, key), before[key], each)
        else:
            yield f"{dotted((*path, key))}: added {flow(each)}"
    if path and path[-1] in _ORDERED:
        was, now = [key for key in before if key in after], [key for key in after if key in before]
        if was != now:
            yield f"{dotted(path)}: in the order {', '.join(was)} → {', '.join(now)}"


def flow(value: object) -> str:
    """A value on one line, much as YAML writes it, without the fields that say nothing."""
    if value is None or value == {}:
        return "nothing"
    if isinstance(value, Mapping):
        inner = ", ".join(
            f"{word(str(key))}: {flow(each)}" for key, each in value.items() if each not in (None, {})
        )
        return "{" + inner + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(flow(each) for each in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.10g}"
    return word(value) if isinstance(value, str) else str(value)
