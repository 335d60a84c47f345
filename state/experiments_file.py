"""Reading an experiments file: YAML without surprises, validated as a whole."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from experiments.document import Document
from experiments.parsing import parse_document
from experiments.problems import DocumentError


class BadExperimentsFile(ValueError):
    """The file cannot be used; the message has a line for each problem, with the path in the file."""


@dataclass(frozen=True, slots=True)
class ExperimentsFile:
    """An experiments file that was read: its document, and the SHA-256 of its bytes in hex."""

    document: Document
    digest: str


class _Loader(yaml.SafeLoader):
    """Safe YAML in which a key may stand once: of two experiments of one name the first would be lost."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[str] = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} stands here twice", key.start_mark
                )
            seen.add(key.value)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def parse_experiments(content: bytes) -> ExperimentsFile:
    """Read the bytes of an experiments file. Raises `BadExperimentsFile`."""
    try:
        data = yaml.load(content, _Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark is not None else ""
        raise BadExperimentsFile(f"{where}not YAML: {getattr(error, 'problem', error)}") from None
    except (UnicodeDecodeError, RecursionError):
        raise BadExperimentsFile("not YAML in UTF-8") from None
    except (AttributeError, KeyError, ValueError) as error:
        # PyYAML's own constructors fail so on values such as 2026-13-01 or !!int x.
        raise BadExperimentsFile(f"not YAML: a value that cannot be read: {error}") from None
    try:
        document = parse_document(data)
    except DocumentError as error:
        raise BadExperimentsFile("\n".join(error.problems)) from None
    return ExperimentsFile(document, hashlib.sha256(content).hexdigest())


def read_experiments_file(path: Path) -> ExperimentsFile:
    """Read and check `path`. Raises `BadExperimentsFile`, and `OSError` when it cannot be read."""
    return parse_experiments(path.read_bytes())
