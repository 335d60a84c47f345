"""Which operation of the table answers a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from router.doors.operation import Operation
from router.doors.table import OPERATIONS
from router.errors import MethodNotAllowed, UnknownName


class _Node:
    """A place in the tree of paths: what is answered there, and what may follow it."""

    __slots__ = ("literal", "methods", "named")

    def __init__(self) -> None:
        self.methods: dict[str, Operation] = {}
        self.literal: dict[str, _Node] = {}
        self.named: _Node | None = None


def _tree(operations: Sequence[Operation]) -> _Node:
    root = _Node()
    for operation in operations:
        node = root
        for part in operation.path.split("/"):
            if part.startswith("{"):
                if node.named is None:
                    node.named = _Node()
                node = node.named
            else:
                node = node.literal.setdefault(part, _Node())
        node.methods[operation.method] = operation
        if operation.method == "GET":
            node.methods["HEAD"] = operation
    return root


_PATHS: Final = 256
_LONGEST_REMEMBERED: Final = 256
_ROOT: Final = _tree(OPERATIONS)


def find(method: str, path: str) -> tuple[Operation, tuple[str, ...]]:
    """What answers a request, and the names in its path. Raises `UnknownName` and `MethodNotAllowed`."""
    methods, names = _remembered(path) if len(path) <= _LONGEST_REMEMBERED else _look_up(path)
    operation = methods.get(method)
    if operation is not None:
        return operation, names
    if methods:
        raise MethodNotAllowed(", ".join(methods))
    bare = path.rstrip("/")
    if bare != path and _look_up(bare)[0]:
        raise UnknownName("there is no such page; leave out the slash at its end")
    raise UnknownName("there is no such page; /docs lists what there is")


def _look_up(path: str) -> tuple[Mapping[str, Operation], tuple[str, ...]]:
    names: list[str] = []
    node = _ROOT
    for part in path.split("/"):
        following = node.literal.get(part)
        if following is None and part:
            following = node.named
            names.append(part)
        if following is None:
            return {}, ()
        node = following
    return node.methods, tuple(names)


# The paths seen last: they come back.
_remembered: Final = lru_cache(_PATHS)(_look_up)
