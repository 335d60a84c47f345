"""A ready ONNX file, changed as little as it takes to be served from features.

A `ZipMap` is taken off, whose list of dicts costs more than the model. Inputs get the names of features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from onnx.external_data_helper import uses_external_data

from ekiben.publishing.card import ModelCard
from ekiben.publishing.compiling import reason_of, same_bytes
from ekiben.publishing.held_out import check_fields, some
from ekiben.serving.features import blank_row
from ekiben.serving.models.onnx_model import SCORES

_TEXT: Final = onnx.TensorProto.STRING
_FLOATS: Final = frozenset({onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE})
_WHOLE: Final = frozenset({onnx.TensorProto.INT64, onnx.TensorProto.INT32})
_LISTS: Final = ("numbers", "tensor")
_STRINGS: Final = ("category", "text")


@dataclass(frozen=True, slots=True)
class Graph:
    """An ONNX file that can be served.

    `inputs` are the features that it looks at, the columns of a matrix in their order. `output` is the output
    with the scores, and `classes` those that the file names. `is_assumed` where the order of the columns is
    taken from the features, and nobody said so.
    """

    content: bytes
    inputs: Sequence[str]
    output: str
    classes: Sequence[Any]
    made_by: str
    is_assumed: bool


def read_graph(card: ModelCard, path: Path, names: Sequence[str] | None, output: str | None) -> Graph:
    """The file at `path`. Raises `PublishingError` for what cannot be served.

    `names` are the features in the order of its inputs, or of the columns of its one input.
    """
    try:
        model = onnx.load(path, load_external_data=False)
        external = any(map(uses_external_data, model.graph.initializer))
        onnx.load_external_data_for_model(model, str(path.parent))
    except OSError as error:
        raise card.refused(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # protobuf's own
        raise card.refused(f"{path} is no ONNX file that can be read: {reason_of(error)}") from error
    if not model.graph.node:
        raise card.refused(f"{path} is no ONNX file that can be read: there is nothing in it")
    before = model.SerializeToString()
    classes = _without_zipmap(model.graph)
    inputs, is_assumed = _named(card, model.graph, names)
    scores = _output_of(card, model.graph, output)
    changed = model.SerializeToString() != before
    content = same_bytes(model) if changed or external else path.read_bytes()
    made_by = f"onnx {model.producer_name} {model.producer_version}".strip()
    return Graph(content, inputs, scores, classes, made_by, is_assumed)


def _without_zipmap(graph: Any) -> Sequence[Any]:
    """Make the tensor behind a `ZipMap` an output, and say which classes the map had."""
    for node in list(graph.node):
        if node.op_type != "ZipMap":
            continue
        (place,) = (n for n, each in enumerate(graph.output) if each.name == node.output[0])
        classes = [
            value.decode() if isinstance(value, bytes) else value
            for each in node.attribute
            for value in (*each.strings, *each.ints)
        ]
        graph.node.remove(node)
        tensor = onnx.helper.make_tensor_value_info(
            node.input[0], onnx.TensorProto.FLOAT, [None, len(classes)]
        )
        graph.output[place].CopyFrom(tensor)
        return classes
    return ()


def _named(card: ModelCard, graph: Any, names: Sequence[str] | None) -> tuple[list[str], bool]:
    """Give the inputs the names of features: which features, and whether their order is a guess."""
    constants = {each.name for each in graph.initializer}
    declared = [each for each in graph.input if each.name not in constants]
    for each in declared:
        _check_type(card, each)
    if len(declared) == 1 and declared[0].name not in card.fields:
        columns = _of_one(card, graph, declared[0], names)
        if columns is not None:
            return columns, names is None
    elif names is not None:
        if len(names) != len(declared):
            raise card.refused(f"it has {len(declared)} inputs and inputs names {len(names)}: name each")
        for each, name in zip(declared, names, strict=True):
            if each.name != name:
                _rename(graph, each, name)
    check_fields(card, [each.name for each in declared])
    for each in declared:
        _check_shape(card, each, card.fields[each.name])
    return [each.name for each in declared], False


def _of_one(card: ModelCard, graph: Any, declared: Any, names: Sequence[str] | None) -> list[str] | None:
    """The columns of the one input, if it is a matrix. It gets the name of its feature otherwise."""
    fields = card.fields
    wanted = list(fields if names is None else names)
    check_fields(card, wanted)
    lists = [name for name in wanted if fields[name] in _LISTS]
    texts = [name for name in wanted if fields[name] in _STRINGS]
    if declared.type.tensor_type.elem_type == _TEXT:
        found, way = texts, "category(…) or text(…)"
    elif len(_sizes(declared)) > 2 or len(lists) == len(wanted):
        found, way = lists, "tensor(…) or numbers(…)"
    else:
        return _columns(card, declared, wanted)
    if len(found) != 1:
        raise card.refused(
            f"its input {declared.name} takes shape {_shape(declared)}: name the one feature for it in "
            f"inputs, which is {way}"
        )
    _rename(graph, declared, found[0])
    return None


def _columns(card: ModelCard, matrix: Any, found: list[str]) -> list[str]:
    """The features that are the columns of a matrix."""
    fields = card.fields
    if other := [name for name in found if fields[name] != "number"]:
        raise card.refused(
            f"its input {matrix.name} takes numbers and {some(other)} is none: name its columns in inputs"
        )
    sizes = _sizes(matrix)
    if len(sizes) != 2:
        raise card.refused(f"its input {matrix.name} takes shape {_shape(matrix)}, not (rows, columns)")
    if sizes[1] and sizes[1] != len(found):
        raise card.refused(
            f"its input {matrix.name} takes {sizes[1]} columns and there are {len(found)}: name these "
            f"{sizes[1]} features in inputs, in its order"
        )
    _check_missing(card, matrix, found)
    return found


def _check_type(card: ModelCard, declared: Any) -> None:
    kind = declared.type.tensor_type.elem_type
    if kind != _TEXT and kind not in _FLOATS | _WHOLE:
        name = onnx.TensorProto.DataType.Name(kind).lower()
        raise card.refused(
            f"its input {declared.name} takes {name}, and features are float, double, int64, int32 or "
            "string: put a Cast in front of it"
        )
    sizes = _sizes(declared)
    if not sizes or sizes[0]:
        taken = f"{sizes[0]} rows at a time" if sizes else "a single value"
        raise card.refused(
            f"its input {declared.name} takes {taken}: export it with a first dimension of any size "
            "(dynamic_axes or dynamic_shapes in torch.onnx.export)"
        )


def _check_shape(card: ModelCard, declared: Any, kind: str) -> None:
    name, sizes = declared.name, _sizes(declared)
    is_text = declared.type.tensor_type.elem_type == _TEXT
    if is_text != (kind in _STRINGS):
        takes = "texts" if is_text else "numbers"
        raise card.refused(
            f"its input {name} takes {takes} and {card.features.__name__}.{name} is a "
            f"{kind}: change the feature"
        )
    if kind in _LISTS:
        shape = np.shape(blank_row(card.features)[name])
        if len(sizes) != len(shape) + 1 or any(
            size and size != ours for size, ours in zip(sizes[1:], shape, strict=True)
        ):
            raise card.refused(
                f"its input {name} takes shape {_shape(declared)} and {card.features.__name__}.{name} has "
                "another: declare its length or shape as the file has it"
            )
        return
    if len(sizes) != 2 or sizes[1] not in (0, 1):
        raise card.refused(f"its input {name} takes shape {_shape(declared)}: export it as (rows, 1)")
    _check_missing(card, declared, [name])


def _check_missing(card: ModelCard, declared: Any, names: Sequence[str]) -> None:
    optional = [name for name in names if not card.features.model_fields[name].is_required()]
    if optional and declared.type.tensor_type.elem_type in _WHOLE:
        raise card.refused(
            f"its input {declared.name} takes whole numbers, which cannot be missing, and {some(optional)} "
            "may: declare it as required, or put a Cast from float in front"
        )


def _output_of(card: ModelCard, graph: Any, wanted: str | None) -> str:
    names = [each.name for each in graph.output]
    if wanted is not None:
        if wanted not in names:
            raise card.refused(f"it has no output {wanted}: it has {some(names)}")
        return wanted
    floats = [str(each.name) for each in graph.output if each.type.tensor_type.elem_type in _FLOATS]
    if SCORES in floats:
        return SCORES
    if len(floats) != 1:
        raise card.refused(
            f"of its outputs {some(names)} {len(floats)} are tensors of floats: say which one holds the "
            'scores, as output="…"'
        )
    return floats[0]


def _rename(graph: Any, declared: Any, name: str) -> None:
    """Call an input by another name, with an Identity behind it: the nodes stay as they are."""
    graph.node.insert(0, onnx.helper.make_node("Identity", [name], [declared.name]))
    declared.name = name


def _sizes(declared: Any) -> list[int]:
    """The shape of an input, with 0 for what is of any size."""
    return [each.dim_value for each in declared.type.tensor_type.shape.dim]


def _shape(declared: Any) -> str:
    return f"({', '.join(str(size or 'any') for size in _sizes(declared))})"
