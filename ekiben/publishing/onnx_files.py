"""Publishing a ready ONNX file, wherever it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime

from ekiben.publishing import answers as answering
from ekiben.publishing.answers import Answers, Floats
from ekiben.publishing.card import ModelCard
from ekiben.publishing.compiling import reason_of
from ekiben.publishing.held_out import digest_of, frame_of, json_rows, pair, refused_notes
from ekiben.publishing.onnx_graph import Graph, read_graph
from ekiben.publishing.store import Published, Servable, check_size, store
from ekiben.serving.features import blank_row
from ekiben.serving.models.model import Row
from ekiben.serving.models.onnx_model import FILE, OnnxModel

_TOLERANCE: Final = 1e-4  # of a row alone and in company


def publish_onnx(
    path: str | Path,
    card: ModelCard,
    held_out: tuple[Any, Any] | None = None,
    *,
    inputs: Sequence[str] | None = None,
    output: str | None = None,
    quiet: bool = False,
) -> Published:
    """Publish the ONNX file at `path`, to be served by ONNX Runtime.

    Each of its inputs is a feature by its name, or its one input has a column for each number. `inputs` names
    the features in the order of its inputs or columns, where that is not the order of `card.features`. The
    scores are in `output`, by default in `probabilities` or the one output of floats. Of two columns the
    second one is the probability of the positive class, unless the file names its classes. A multiclass card
    lists its `classes`, unless the file does.

    Without `held_out` nothing is measured. What was published is printed unless `quiet`. Raises
    `PublishingError`.
    """
    graph = read_graph(card, Path(path), inputs, output)
    check_size(card.label, {FILE: graph.content})
    model = _open(card, graph)
    rows, targets = (None, None) if held_out is None else pair(card, held_out)
    records: Sequence[Row] = (
        [blank_row(card.features)]
        if held_out is None
        else json_rows(card, frame_of(card, rows, graph.inputs))
    )
    computed = _score(card, model, records)
    answers = _answers_of(card, graph, computed, targets)
    scores = answers.take(computed)
    notes = []
    if graph.is_assumed:
        notes.append(
            f"its columns are taken in the order of {card.features.__name__}: {', '.join(graph.inputs)}"
        )
    measured = {name: float(value) for name, value in card.more_metrics.items()}
    if held_out is not None:
        actual = answering.check_targets(card, answers, targets, len(records))
        answering.check_scores(card, answers, scores, len(records))
        measured = answering.measure(card, answers, actual, scores)
        notes += refused_notes(card, records)
    servable = Servable(
        files={FILE: graph.content},
        framework=graph.made_by,
        served_as=f"onnx (onnxruntime {onnxruntime.__version__})",
        inputs=graph.inputs,
        answers=answers,
        output=graph.output,
        notes=notes,
    )
    digest = card.data_digest or ("unknown" if held_out is None else digest_of(card, rows, targets))
    return store(card, servable, measured, digest, quiet)


def _open(card: ModelCard, graph: Graph) -> OnnxModel:
    try:
        return OnnxModel(graph.content, graph.inputs, None, graph.output)
    except Exception as error:  # ONNX Runtime's own, and what serving refuses
        raise card.refused(
            f"ONNX Runtime {onnxruntime.__version__} cannot load it: {reason_of(error)}"
        ) from error


def _score(card: ModelCard, model: OnnxModel, records: Sequence[Row]) -> Floats:
    """What it computes for the rows. Raises `PublishingError` if a row does not score the same in company."""
    try:
        computed = model.scores(records)
        alone, company = model.scores(records[:1]), model.scores([*records[:3]] * 2)
    except Exception as error:
        raise card.refused(f"it cannot score rows of {card.features.__name__}: {reason_of(error)}") from error
    if len(computed) != len(records) or len(company) != 2 * len(records[:3]):
        raise card.refused(
            f"it gives {len(computed)} answers for {len(records)} rows: export it with one answer a row"
        )
    if not np.allclose(alone[0], company[0], rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True):
        raise card.refused(
            "a row scores otherwise beside others: export it for inference (model.eval() before "
            "torch.onnx.export)"
        )
    return computed


def _answers_of(card: ModelCard, graph: Graph, computed: Floats, targets: Any) -> Answers:
    columns = 1 if computed.ndim == 1 else computed.shape[1]
    if computed.ndim > 2:
        raise card.refused(
            f"its output {graph.output} has shape {computed.shape}: export it as (rows, columns)"
        )
    if graph.classes and len(graph.classes) == columns:
        return answering.of_classes(card, graph.classes)
    return answering.of_outputs(card, columns, targets)
