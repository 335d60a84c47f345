"""The rows that a model was not trained on, as its service would get them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pydantic import TypeAdapter, ValidationError

from ekiben.publishing.card import ModelCard
from ekiben.serving.features import Features, blank_row
from ekiben.serving.models.model import Row

_RANGES = frozenset({"greater_than_equal", "less_than_equal", "string_too_long", "text_too_long"})


def pair(card: ModelCard, held_out: Any) -> tuple[Any, Any]:
    """The held-out rows and targets. Raises `PublishingError` for anything else, and for no rows."""
    if not isinstance(held_out, tuple | list) or len(held_out) != 2:
        raise card.refused("held_out must be a pair: held_out=(rows, targets)")
    rows, targets = held_out
    if isinstance(rows, str) or not hasattr(rows, "__len__") or not hasattr(targets, "__len__"):
        raise card.refused("held_out must be rows and targets: held_out=(rows, targets)")
    if not len(rows):
        raise card.refused("there are no held-out rows: keep some that it is not trained on")
    ours: Any = getattr(rows, "index", None)
    theirs: Any = getattr(targets, "index", None)
    if not hasattr(ours, "equals") or not hasattr(theirs, "equals") or ours.equals(theirs):
        return rows, targets
    if set(ours) == set(theirs):
        raise card.refused(
            "the held-out rows and targets have one index in two orders: sort one by the other's"
        )
    return rows, targets


def check_fields(card: ModelCard, names: Sequence[str]) -> None:
    """Raise `PublishingError` for inputs of a model that its features lack."""
    if absent := [name for name in names if name not in card.fields]:
        raise card.refused(
            f"{card.features.__name__} lacks {some(absent)}: add a field of that name for "
            "each, or train without"
        )


def frame_of(card: ModelCard, rows: Any, names: Sequence[str]) -> pd.DataFrame:
    """These columns of the held-out rows as a DataFrame, or texts as the one column that there is.

    Raises `PublishingError` for rows that are neither, and that lack a column.
    """
    if hasattr(rows, "columns"):
        frame = rows
    elif isinstance(rows[0] if isinstance(rows, list | tuple) else None, Mapping):
        frame = pd.DataFrame(list(rows))
    elif len(names) == 1 and card.fields[names[0]] == "text":
        frame = pd.DataFrame({names[0]: list(rows)})
    else:
        raise card.refused(
            f"the held-out rows are a {type(rows).__name__}: give a DataFrame whose columns "
            "are the features, or a list of dicts"
        )
    if absent := [name for name in names if name not in frame.columns]:
        raise card.refused(f"the held-out rows lack {some(absent)}: give them every column")
    if len(frame[list(names)].columns) > len(names):
        twice = next(name for name in names if list(frame.columns).count(name) > 1)
        raise card.refused(f"the held-out rows have the column {twice} twice: rename one")
    return frame[list(names)]


def digest_of(card: ModelCard, rows: Any, targets: Any) -> str:
    """The card's `data_digest`, or one of the held-out data."""
    if card.data_digest:
        return card.data_digest
    digest = hashlib.sha256()
    for each in (rows, targets):
        frame = pd.DataFrame(each if hasattr(each, "columns") else {"": list(each)})
        digest.update(frame.to_csv(index=False, lineterminator="\n").encode())
    return digest.hexdigest()


def json_rows(card: ModelCard, frame: pd.DataFrame) -> list[Row]:
    """The held-out rows as requests have them, with None for what is missing.

    Raises `PublishingError` for values that the features would refuse by their type.
    """
    fields = card.fields
    found: list[Row] = [
        {str(name): _json(value, fields[str(name)]) for name, value in row.items()}
        for row in frame.to_dict("records")
    ]
    for number, error in _errors(card.features, found):
        if error["type"] not in _RANGES:
            name, value = error["loc"][0], error["input"]
            what = "is missing" if value is None else f"is {value!r:.60}"
            raise card.refused(
                f"{name} {what} in held-out row {number}, and {card.features.__name__}.{name} "
                f"refuses that ({error['msg']}): change the feature, or what the model is trained on"
            )
    return found


def refused_notes(card: ModelCard, rows: Sequence[Row]) -> list[str]:
    """A line about held-out rows that the service would refuse, for they are out of a feature's range."""
    outside = _errors(card.features, rows)
    if not outside:
        return []
    count = len({number for number, _ in outside})
    name = str(outside[0][1]["loc"][0])
    why = f"{name}: {outside[0][1]['msg']} (widen the range in {card.features.__name__})"
    return [f"{count} of {len(rows)} held-out rows would be refused: {why}"]


def optional_numbers(card: ModelCard, names: Iterable[str]) -> list[str]:
    """Those of these features that are numbers and may be missing."""
    fields = card.fields
    return [
        name
        for name in names
        if fields[name] == "number" and not card.features.model_fields[name].is_required()
    ]


def some(values: Any, most: int = 5) -> str:
    """The first of these values, in words."""
    shown = [str(value) for value in list(values)[:most]]
    return ", ".join(shown) + (f" and {len(values) - most} more" if len(values) > most else "")


def quoted(values: Any) -> str:
    """The first of these values as Python writes them, which tells '0' from 0."""
    return some([repr(value) for value in values])


def _json(value: Any, kind: str) -> Any:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_json(each, "number") for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NA or value != value:
        return None
    if kind == "category" and value == "":
        return None
    if kind == "text" or not isinstance(value, int | float):
        return value
    return float(value) if kind == "number" else value


def _errors(features: type[Features], rows: Sequence[Row]) -> list[tuple[int, Any]]:
    blank = blank_row(features)
    try:
        TypeAdapter(list[features]).validate_python(  # type: ignore[valid-type]  # a type made at run time
            [{**blank, **row} for row in rows]
        )
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False)
        return [(int(each["loc"][0]), {**each, "loc": each["loc"][1:]}) for each in details]
    return []
