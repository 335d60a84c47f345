"""Torch modules: weights as safetensors, what else rebuilds them as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from ekiben.publishing import PublishingError, publish_onnx, publish_torch
from ekiben.serving.kernel import open_kernel
from ekiben.serving.models.model import Row
from ekiben.serving.output import classes_output
from ekiben.serving.stored import Stored
from tests.ekiben.publishing.patients import NAMES, Patient, card, in_classes, rows

CLASSES = ["low", "middle", "high"]


class Net:
    """Three features through a layer to three classes."""

    inputs = tuple(NAMES)
    runtime = "torch"

    def __init__(self, layer: torch.nn.Linear, offset: float, ends: str = "softmax") -> None:
        self.layer, self.offset, self.ends = layer, offset, ends

    def scores(self, given: Sequence[Row]) -> NDArray[np.float64]:
        table = torch.tensor([[row[name] for name in self.inputs] for row in given], dtype=torch.float32)
        with torch.inference_mode():
            odds = self.layer(table / self.offset)
        made: NDArray[Any] = (odds.softmax(dim=1) if self.ends == "softmax" else odds).double().numpy()
        return made


def read(folder: Path) -> Net:
    layer = torch.nn.Linear(3, 3)
    layer.load_state_dict(load_file(folder / "model.safetensors"))
    return Net(layer, json.loads((folder / "model.json").read_bytes())["offset"])


def load(stored: Stored) -> Net:
    return read(stored.path)


@pytest.fixture
def layer() -> torch.nn.Linear:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return torch.nn.Linear(3, 3)


def publish(layer: torch.nn.Linear, net: Net, offset: float = 100.0, **said: Any) -> Any:
    held_out = (rows(), in_classes(*CLASSES))
    made = card(**{"kind": "multiclass", "classes": CLASSES, **said})
    return publish_torch(net, made, held_out, module=layer, shape={"offset": offset}, load=read)


def test_several_classes_are_served_as_they_were_trained(store: Path, layer: torch.nn.Linear) -> None:
    net = Net(layer, 100.0)
    published = publish(layer, net)
    assert {"log_loss", "auc_low"} <= published.metrics.keys()
    given = rows().to_dict("records")
    answers = open_kernel(published.path, Patient, classes_output(CLASSES), load).answer(given)
    got = [[*each["ok"]["probabilities"].values()] for each in answers]
    assert np.abs(np.array(got) - net.scores(given)).max() < 1e-6


def test_what_is_rebuilt_otherwise_is_refused(store: Path, layer: torch.nn.Linear) -> None:
    with pytest.raises(
        PublishingError, match=r"loaded again it differs by .* keep in shape all that rebuilds it"
    ):
        publish(layer, Net(layer, 100.0), offset=50.0)


def test_log_odds_are_refused(store: Path, layer: torch.nn.Linear) -> None:
    with pytest.raises(
        PublishingError, match="and probabilities from 0 to 1: end it with a sigmoid or a softm"
    ):
        publish(layer, Net(layer, 100.0, ends="odds"))


def test_classes_that_are_not_listed_are_asked_for(store: Path, layer: torch.nn.Linear) -> None:
    with pytest.raises(
        PublishingError, match="gives 3 probabilities a row, and its card lists 0 classes: list"
    ):
        publish(layer, Net(layer, 100.0), classes=())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_export_of_torch_is_an_onnx_file_like_others(store: Path, tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        net = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Softmax(1))
    path, table = tmp_path / "net.onnx", torch.tensor(rows().to_numpy(np.float32))
    axes = {"x": {0: "rows"}}
    torch.onnx.export(net, (table[:2],), str(path), dynamo=False, input_names=["x"], dynamic_axes=axes)
    said = card(kind="multiclass", classes=CLASSES)
    published = publish_onnx(path, said, (rows(), in_classes(*CLASSES)))
    answers = open_kernel(published.path, Patient, classes_output(CLASSES)).answer(rows().to_dict("records"))
    got = [[*each["ok"]["probabilities"].values()] for each in answers]
    assert np.abs(np.array(got) - net(table).detach().numpy()).max() < 1e-6
