"""From the text applied last to a new one: only what differs between them is applied to what is in force.

What a verb or a ramp did meanwhile stays as it is, unless the new text is about the very same value: a value
that both changed, and not to the same, is refused with both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ekiben.experiments.changes.differences import flow
from ekiben.experiments.document import Document
from ekiben.experiments.parsing import parse_document
from ekiben.experiments.problems import DocumentError, Path

_GONE: Final = object()


def apply_text(last: Document, wanted: Document, held: Document) -> Document:
    """`held`, with what `wanted` changes of `last`. Equal to `held` where it changes nothing.

    All three have passed every check, and so has what is returned. Raises DocumentError with a line for each
    value that was changed on both sides. Whether the result may follow `held` is `check_change`'s to say.
    """
    refused: list[tuple[Path, str]] = []
    data = _merged((), _data(last), _data(wanted), _data(held), refused)
    if refused:
        raise DocumentError.at(refused)
    for experiment in data["experiments"].values():
        experiment["variants"] = dict(experiment["variants"])
    return parse_document(data)


def _data(document: Document) -> dict[str, Any]:
    """Plain values, defaults too. Variants are a list: their order counts, and mappings have none."""
    data = document.model_dump(mode="json", by_alias=True)
    for experiment in data["experiments"].values():
        experiment["variants"] = list(experiment["variants"].items())
    return data


def _merged(path: Path, last: object, wanted: object, held: object, refused: list[tuple[Path, str]]) -> Any:
    if wanted == last:
        return held
    if held in (last, wanted):
        return wanted
    if wanted is _GONE and len(path) == 2:
        # An experiment or a model is taken out, whatever was done with it; one that runs is refused later.
        return wanted
    if isinstance(last, Mapping) and isinstance(wanted, Mapping) and isinstance(held, Mapping):
        keys = dict.fromkeys([*wanted, *held])
        merged = {
            key: _merged(
                (*path, key), last.get(key, _GONE), wanted.get(key, _GONE), held.get(key, _GONE), refused
            )
            for key in keys
        }
        return {key: value for key, value in merged.items() if value is not _GONE}
    refused.append((path, _both(last, wanted, held)))
    return held


def _both(last: object, wanted: object, held: object) -> str:
    return (
        f"the file goes from {_said(last)} to {_said(wanted)}, and meanwhile it has become {_said(held)}: "
        f"write {_said(held)} into the file first (`ekiben document` prints what is in force), "
        "or change it with a command"
    )


def _said(value: object) -> str:
    return "nothing" if value is _GONE else flow(value)
