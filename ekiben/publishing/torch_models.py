"""Publishing a trained torch module: its weights as safetensors, what else rebuilds it as JSON."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import orjson
import torch
from safetensors.torch import save

from ekiben.publishing import answers as answering
from ekiben.publishing.answers import Floats, difference
from ekiben.publishing.card import ModelCard
from ekiben.publishing.compiling import reason_of
from ekiben.publishing.held_out import check_fields, digest_of, frame_of, json_rows, pair, refused_notes
from ekiben.publishing.store import Published, Servable, store
from ekiben.serving.models.model import Model
from ekiben.serving.models.torch_files import SHAPE_FILE, WEIGHTS_FILE

TOLERANCE: Final = 1e-6


def publish_torch(
    model: Model,
    card: ModelCard,
    held_out: tuple[Any, Any] | None = None,
    *,
    module: torch.nn.Module,
    shape: Any,
    load: Callable[[Path], Model],
    quiet: bool = False,
) -> Published:
    """Publish the trained `module` of `model`, which turns rows into its tensors and back.

    `shape` is what rebuilds the module beside its weights, as a dataclass or anything else that is JSON.
    `load` makes the model from a folder with both, as its service will. It must score the held-out rows as
    `model` does, within 1e-6. A multiclass card lists its `classes`. What was published is printed unless
    `quiet`. Raises `PublishingError`.
    """
    rows, targets = pair(card, held_out)
    inputs = list(model.inputs)
    check_fields(card, inputs)
    records = json_rows(card, frame_of(card, rows, inputs))
    computed = _score(card, model, records)
    answers = answering.of_outputs(card, 1 if computed.ndim == 1 else computed.shape[1], targets)
    actual = answering.check_targets(card, answers, targets, len(records))
    expected = answers.take(computed)
    answering.check_scores(card, answers, expected, len(records))
    files = {
        WEIGHTS_FILE: save({key: value.contiguous() for key, value in module.state_dict().items()}),
        SHAPE_FILE: orjson.dumps(shape, option=orjson.OPT_INDENT_2),
    }
    with tempfile.TemporaryDirectory() as folder:
        for file, content in files.items():
            (Path(folder) / file).write_bytes(content)
        again = answers.take(_score(card, load(Path(folder)), records))
    if worse := difference(expected, again, card.kind, TOLERANCE):
        raise card.refused(f"loaded again {worse}: keep in shape all that rebuilds it, in its order")
    servable = Servable(
        files=files,
        framework=f"torch {torch.__version__}",
        served_as="torch",
        inputs=inputs,
        answers=answers,
        notes=refused_notes(card, records),
    )
    measured = answering.measure(card, answers, actual, expected)
    return store(card, servable, measured, digest_of(card, rows, targets), quiet)


def _score(card: ModelCard, model: Model, records: Any) -> Floats:
    try:
        return model.scores(records)
    except Exception as error:  # whatever a user's own code raises
        raise card.refused(
            f"it cannot score the held-out rows: {reason_of(error)} (rows are dicts, with None for missing)"
        ) from error
