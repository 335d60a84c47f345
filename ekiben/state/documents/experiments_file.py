"""Reading an experiments file: YAML without surprises, validated as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ekiben.experiments.document import Document
from ekiben.experiments.parsing import parse_document
from ekiben.experiments.problems import DocumentError
from ekiben.state.documents.record import digest_of
from ekiben.state.documents.yaml_data import BadYaml, read_yaml

MOST_BYTES: Final = 4 * 1024 * 1024
"""The largest experiments file that is read."""
_MOST_LINES: Final = 100


class BadExperimentsFile(ValueError):
    """The file cannot be used; the message has a line for each problem, with the path and the line in the
    file.
    """


@dataclass(frozen=True, slots=True)
class ExperimentsFile:
    """An experiments file that was read: its document, its text, and the SHA-256 of its bytes in hex."""

    document: Document
    digest: str
    text: bytes


def parse_experiments(content: bytes) -> ExperimentsFile:
    """Read the bytes of an experiments file. Raises `BadExperimentsFile`.

    1 MB of 1,000 experiments takes about half a second: call it in a thread where others wait. It lets other
    threads run all along.
    """
    if len(content) > MOST_BYTES:
        raise BadExperimentsFile(f"it has {len(content):,} bytes: at most {MOST_BYTES:,} are read")
    try:
        read = read_yaml(content)
    except BadYaml as error:
        where = f"line {error.line}: " if error.line is not None else ""
        raise BadExperimentsFile(f"{where}{error}") from None
    try:
        document = parse_document(read.data)
    except DocumentError as error:
        lines = list(map(_with_line, error.problems, map(read.line, error.places)))
        if len(lines) > _MOST_LINES:
            lines[_MOST_LINES:] = [f"… and {len(lines) - _MOST_LINES:,} problems more"]
        raise BadExperimentsFile("\n".join(lines)) from None
    return ExperimentsFile(document, digest_of(content), content)


def read_experiments_file(path: Path) -> ExperimentsFile:
    """Read and check `path`. Raises `BadExperimentsFile`, and `OSError` when it cannot be read."""
    with path.open("rb") as file:
        return parse_experiments(file.read(MOST_BYTES + 1))


def _with_line(problem: str, line: int | None) -> str:
    return problem if line is None else f"{problem} (line {line})"
