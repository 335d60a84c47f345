"""Which operation of the table answers a request."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from router.doors.operation import Operation
from router.doors.table import OPERATIONS
from router.errors import MethodNotAllowed, UnknownName

_PATHS: Final = 256
_LONGEST_REMEMBERED: Final = 256


def _patterns(operations: Sequence[Operation]) -> list[tuple[re.Pattern[str], Mapping[str, Operation]]]:
    """What each path looks like, and which operation answers each method there."""
    paths: dict[str, dict[str, Operation]] = {}
    for operation in operations:
        methods = paths.setdefault(operation.path, {})
        methods[operation.method] = operation
        if operation.method == "GET":
            methods["HEAD"] = operation
    named = re.compile(r"\\{\w+\\}")  # as `re.escape` leaves a name in braces
    return [(re.compile(named.sub("([^/]+)", re.escape(path))), found) for path, found in paths.items()]


_TABLE: Final = _patterns(OPERATIONS)


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
    for pattern, methods in _TABLE:
        if (found := pattern.fullmatch(path)) is not None:
            return methods, found.groups()
    return {}, ()


# The paths seen last: they come back.
_remembered: Final = lru_cache(_PATHS)(_look_up)
