"""A fitted scikit-learn model as skops: no pickle, and the same bytes each time."""

from __future__ import annotations

import io
import json
from typing import Any, Final
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from ekiben.publishing.compiling import CannotConvert, reason_of
from ekiben.publishing.held_out import some
from ekiben.serving.models.skops_io import dumps, get_untrusted_types
from ekiben.serving.models.skops_model import TRUSTED

_SCHEMA: Final = "schema.json"


def write_skops(model: Any) -> bytes:
    """The file. Raises `CannotConvert` for a model with types that no service would trust."""
    try:
        content = same_bytes(dumps(model))
    except Exception as error:  # whatever a type that skops does not know raises
        raise CannotConvert(f"skops cannot store it: {reason_of(error)}") from error
    untrusted = sorted(set(get_untrusted_types(data=content)) - TRUSTED)
    if any("<lambda>" in each for each in untrusted):
        raise CannotConvert(
            "it holds a lambda, which no service can load: use a function of numpy, or prepare that column "
            "before the model and declare the result as the feature"
        )
    if "sklearn.utils.validation.check_array" in untrusted:  # the encoder inside of histogram boosting
        raise CannotConvert(
            "it splits on categories of pandas, and a request has strings: encode them in a ColumnTransformer"
        )
    if untrusted:
        raise CannotConvert(f"skops does not trust {some(untrusted)}: use what scikit-learn itself brings")
    return content


def same_bytes(content: bytes) -> bytes:
    """A skops file with its objects numbered in order, in place of by their addresses, and without dates."""
    source = ZipFile(io.BytesIO(content))
    schema = json.loads(source.read(_SCHEMA))
    numbers: dict[int, int] = {}
    files: dict[str, str] = {}

    def renumber(value: Any) -> Any:
        if isinstance(value, list):
            return [renumber(each) for each in value]
        if not isinstance(value, dict):
            return value
        made: dict[str, Any] = {}
        for key, each in value.items():
            if key == "__id__" and isinstance(each, int):
                made[key] = numbers.setdefault(each, len(numbers))
            elif key == "file" and isinstance(each, str) and "__loader__" in value:
                made[key] = files.setdefault(each, f"{len(files)}.{each.rpartition('.')[2]}")
            else:
                made[key] = renumber(each)
        return made

    written = io.BytesIO()
    with ZipFile(written, "w", ZIP_DEFLATED) as target:
        text = json.dumps(renumber(schema))
        target.writestr(_dateless(_SCHEMA), text, ZIP_DEFLATED)
        for name, new in files.items():
            target.writestr(_dateless(new), source.read(name), ZIP_DEFLATED)
    return written.getvalue()


def _dateless(name: str) -> ZipInfo:
    return ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
