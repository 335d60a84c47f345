"""Putting an entry into a YAML file as text, so that comments and layout stay."""

from __future__ import annotations

from collections.abc import Sequence

import yaml

STEP = "  "


def inserted(text: str, path: Sequence[str], flow: str, block: Sequence[str]) -> str | None:
    """The text with one more entry at the end of the mapping at `path`; None where it is laid out otherwise.

    The entry is `flow` where that mapping is written in braces, else the lines of `block`, whose steps of
    indentation are two spaces. A top-level mapping that is empty or missing is begun.
    """
    root = yaml.compose(text, yaml.SafeLoader)
    if isinstance(root, yaml.ScalarNode) and root.value == "":
        root = None
    if root is not None and not isinstance(root, yaml.MappingNode):
        return None
    place: yaml.Node | None = root
    for key in path:
        place = _value(place, key)
    if isinstance(place, yaml.MappingNode) and place.value:
        return _appended(text, place, flow, block)
    if len(path) != 1:
        return None
    lines = "".join(f"\n{STEP}{line}" for line in block)
    if place is None:
        return f"{text.rstrip()}\n{path[0]}:{lines}\n" if text.strip() else f"{path[0]}:{lines}\n"
    if isinstance(place, yaml.SequenceNode) or (isinstance(place, yaml.ScalarNode) and place.value):
        return None
    start, end = place.start_mark.index, place.end_mark.index
    return text[:start].rstrip(" ") + lines + text[end:]


def _appended(text: str, place: yaml.MappingNode, flow: str, block: Sequence[str]) -> str:
    if place.flow_style:
        last: int = place.value[-1][1].end_mark.index
        return f"{text[:last]}, {flow}{text[last:]}"
    indent, step = " " * place.value[0][0].start_mark.column, _step(place)
    held = text.splitlines(keepends=True)
    after = _last_line(place) + 1
    if not held[after - 1].endswith("\n"):
        held[after - 1] += "\n"
    depths = [(len(line) - len(line.lstrip())) // len(STEP) for line in block]
    lines = [f"{indent}{step * depth}{line.lstrip()}\n" for depth, line in zip(depths, block, strict=True)]
    return "".join([*held[:after], *lines, *held[after:]])


def _value(node: yaml.Node | None, key: str) -> yaml.Node | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else ()
    return next((value for name, value in pairs if name.value == key), None)


def _step(place: yaml.MappingNode) -> str:
    """The indentation of one level, as the first entry has it."""
    name, value = place.value[0]
    inner = value.value[0][0] if isinstance(value, yaml.MappingNode) and value.value else None
    step = inner.start_mark.column - name.start_mark.column if inner is not None else 0
    return " " * step if step > 0 and not value.flow_style else STEP


def _last_line(node: yaml.Node) -> int:
    """The last line (from 0) of a node's own text; the end mark of a block lies after comments and blanks."""
    while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        node = last[1] if isinstance(last, tuple) else last
    line: int = node.end_mark.line
    return line if node.end_mark.column > 0 else line - 1
