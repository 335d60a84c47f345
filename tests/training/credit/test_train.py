"""The three versions: how good they are, and what of them lies in the store."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import bentoml
import numpy as np
import pytest
import skops.io

from ekiben.publishing.metrics import classification
from ekiben.serving.models.model import Model
from ekiben.serving.models.onnx_model import load_onnx
from ekiben.serving.models.skops_model import TRUSTED
from ekiben.serving.store import LatestModel, check
from services.credit.net import load_credit_net
from training.credit.data import split
from training.credit.profit import profit_per_applicant
from training.credit.train import UnknownVersion, train

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """All three, trained into a store of their own; the rows of the comparison."""
    from bentoml._internal.configuration.containers import BentoMLContainer

    before = BentoMLContainer.model_store.get()
    folder = tmp_path_factory.mktemp("models")
    BentoMLContainer.model_store.set(type(before)(folder))
    begun: list[str] = []
    rows = train(progress=begun.append)
    assert begun == ["v1", "v2", "v3"]
    yield {row.version: row for row in rows}
    BentoMLContainer.model_store.set(before)


def model_of(version: str) -> Model:
    stored = check(LatestModel(f"credit_{version}"))
    return load_credit_net(stored) if version == "v3" else load_onnx(stored)


@pytest.mark.parametrize(("version", "low", "high"), [("v1", 0.68, 0.72), ("v2", 0.82, 1), ("v3", 0.81, 1)])
def test_the_versions_rank_held_out_applicants_as_well_as_is_told(
    trained: Any, version: str, low: float, high: float
) -> None:
    cut = split()
    measured = classification(cut.held_out_bad, model_of(version).scores(cut.held_out_rows), 0.2)
    told = trained[version].metrics
    assert low <= told["auc"] <= high
    for name, value in measured.items():
        assert told[name] == pytest.approx(value, abs=1e-6)


def test_v2_earns_far_more_than_v1_and_about_what_v3_earns(trained: Any) -> None:
    v1, v2, v3 = (trained[version].metrics["profit_per_applicant"] for version in ("v1", "v2", "v3"))
    assert v2 - v1 > 20
    assert abs(v3 - v2) < 6


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_what_serves_equals_the_original_to_a_millionth(trained: Any, version: str) -> None:
    stored = check(LatestModel(f"credit_{version}"))
    original = skops.io.load(stored.path / "model.skops", trusted=list(TRUSTED))
    cut = split()
    expected = original.predict_proba(cut.held_out[list(original.feature_names_in_)])[:, 1]
    assert np.max(np.abs(load_onnx(stored).scores(cut.held_out_rows) - expected)) <= 1e-6


@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
def test_a_row_scores_the_same_in_any_company(trained: Any, version: str) -> None:
    model, rows = model_of(version), split().held_out_rows[:100]
    alone = np.concatenate([model.scores([row]) for row in rows])
    assert np.max(np.abs(model.scores(rows) - alone)) < 1e-6


@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
def test_the_metadata_says_what_it_is_and_names_every_file(trained: Any, version: str) -> None:
    model = bentoml.models.get(trained[version].tag)
    metadata = model.info.metadata
    assert metadata["name"] == "credit"
    assert metadata["version"] == version
    assert metadata["features"]["properties"]["income"]["unit"]
    assert len(metadata["data_digest"]) == 64
    assert metadata.keys() >= {"framework", "served_as", "target", "metrics", "git_revision", "created_at"}
    files = {path.name: path for path in Path(model.path).iterdir() if path.name != "model.yaml"}
    assert metadata["files"] == {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()
    }
    assert {path.suffix for path in files.values()} <= {".onnx", ".skops", ".safetensors", ".json"}


def test_another_user_can_read_what_was_published(trained: Any) -> None:
    for row in trained.values():
        path = Path(bentoml.models.get(row.tag).path)
        assert path.stat().st_mode & 0o777 == 0o755
        assert all(file.stat().st_mode & 0o444 == 0o444 for file in path.iterdir())


def test_training_again_keeps_the_tags_that_are_there(trained: Any) -> None:
    again = train(["v1", "v3"])
    assert [row.tag for row in again] == [trained["v1"].tag, trained["v3"].tag]
    assert not any(row.is_new for row in again)


def test_another_process_trains_the_same_digests(trained: Any, tmp_path: Path) -> None:
    program = "from training.credit.train import train; print(*(row.digest for row in train()))"
    environment = {**os.environ, "BENTOML_HOME": str(tmp_path), "PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [row.digest for row in trained.values()]


def test_a_damaged_version_is_published_anew_under_its_tag(trained: Any) -> None:
    tag = trained["v1"].tag
    (Path(bentoml.models.get(tag).path) / "model.onnx").write_bytes(b"damaged")
    [row] = train(["v1"])
    assert row.tag == tag
    assert row.is_new
    check(LatestModel("credit_v1"))


def test_an_unknown_version_is_refused_with_those_there_are() -> None:
    with pytest.raises(UnknownVersion, match="credit has no version v9: there are v1, v2, v3"):
        train(["v9"])


def test_profit_counts_approved_loans_only() -> None:
    bad = np.array([0, 1, 0, 1])
    probability = np.array([0.1, 0.1, 0.9, 0.9])
    assert profit_per_applicant(bad, probability, np.array([100.0, 100.0, 100.0, 100.0])) == (15 - 60) / 4
